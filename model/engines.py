"""What computes a network: ONNX Runtime on a CPU, PyTorch on a GPU.

Streams and windows are driven alike by both. PyTorch is imported only where it computes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from .decoder import Probable
from .engine.network import OnnxNetwork
from .frames import Row
from .frontend import FrontEndConfig

if TYPE_CHECKING:
    from .network import HPPNet

Network: TypeAlias = "OnnxNetwork | HPPNet"


class StreamEngine(Protocol):
    """A network for streams with one look-ahead. States are values: a step never changes one in place."""

    @property
    def front_end(self) -> FrontEndConfig:
        """What the samples are transformed by."""

    @property
    def look_ahead(self) -> int:
        """R, in frames."""

    @property
    def most_frames(self) -> int:
        """How many frames of a stream one step may compute."""

    def start(self) -> Any:
        """The state before the first frame."""

    def kind(self, state: Any) -> Hashable:
        """Streams whose states are of one kind may be one batch, if they have as many new frames."""

    def most_streams(self, frames: int) -> int:
        """How many streams with so many new frames each are worth computing as one batch."""

    def step(self, samples: np.ndarray, states: Sequence[Any]) -> tuple[list[Probable], list[Any]]:
        """New frames of B streams, from the samples [B, n] they are computed from (see ``Frames.cut``).

        For each stream the probabilities of the frames whose R frames of future are there now, which
        may be none; and its new state.
        """


class Predicted(Protocol):
    """Probabilities on their way, and the pasts that the next windows need."""

    @property
    def pasts(self) -> Sequence[Any]:
        """What each row's next window goes on from; there at once."""

    @property
    def ready(self) -> bool:
        """Whether ``wait`` would not have to."""

    def wait(self) -> list[Probable]:
        """For each row the probabilities [T, 88, 4] and the pedal's [T] of the frames it predicts."""


class WindowEngine(Protocol):
    """A network for the windows of whole recordings."""

    @property
    def context(self) -> int:
        """Frames at a window's end that are left to the next."""

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""

    def start(self) -> Any:
        """The past before a recording's first window."""

    def predict(self, rows: Sequence[Row]) -> Predicted:
        """One window of each recording. Pasts are not changed: after a failure rows may be tried again.

        Raises MemoryError where a GPU is too small for so many rows.
        """


def stream_engine(network: Network, front_end: FrontEndConfig, look_ahead: int) -> StreamEngine:
    """What computes streams with a look-ahead of R frames."""
    if isinstance(network, OnnxNetwork):
        return network.streams(front_end, look_ahead)
    from .torch_engine import TorchStreams

    return TorchStreams(network, front_end, look_ahead)


def window_engine(network: Network, front_end: FrontEndConfig, half: bool = False) -> WindowEngine:
    """What computes whole recordings; ``half`` is bf16, where PyTorch computes."""
    if isinstance(network, OnnxNetwork):
        return network.windows(front_end)
    from .torch_engine import TorchWindows

    return TorchWindows(network, front_end, half)


def device_of(network: Network) -> str:
    """cpu, cuda or mps."""
    return "cpu" if isinstance(network, OnnxNetwork) else network.bias.device.type


def engine_name(network: Network) -> str:
    """The library that computes, with its version."""
    if isinstance(network, OnnxNetwork):
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"
    import torch

    return f"torch {torch.__version__}"
