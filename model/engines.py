"""The engines that run a network: ONNX Runtime on a CPU, PyTorch on a GPU.

Both have the same interface for streams and windows. PyTorch is imported only if it is used.
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
    """Runs a network for streams with one look-ahead. States are immutable."""

    @property
    def front_end(self) -> FrontEndConfig:
        """The front end that transforms the samples."""

    @property
    def look_ahead(self) -> int:
        """The look-ahead R, in frames."""

    @property
    def most_frames(self) -> int:
        """The most frames of a stream that one step may compute."""

    def start(self) -> Any:
        """The state before the first frame."""

    def kind(self, state: Any) -> Hashable:
        """A key: streams with equal keys and equally many new frames may form a batch."""

    def most_streams(self, frames: int) -> int:
        """The most streams with ``frames`` new frames each that are worth one batch."""

    def step(self, samples: np.ndarray, states: Sequence[Any]) -> tuple[list[Probable], list[Any]]:
        """Computes the new frames of B streams from their samples [B, n] (see ``Frames.cut``).

        Returns, for each stream, the probabilities of the frames whose R frames of future are complete now
        (possibly none), and its new state.
        """


class Predicted(Protocol):
    """Probabilities being computed, and the pasts for the next windows."""

    @property
    def pasts(self) -> Sequence[Any]:
        """The past from which each row's next window continues; available at once."""

    @property
    def ready(self) -> bool:
        """Whether ``wait`` returns at once."""

    def wait(self) -> list[Probable]:
        """For each row, the probabilities [T, 88, 4] and the pedal's [T] of its predicted frames."""


class WindowEngine(Protocol):
    """Runs a network for the windows of whole recordings."""

    @property
    def context(self) -> int:
        """Frames at a window's end that are left to the next window."""

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""

    def start(self) -> Any:
        """The past before a recording's first window."""

    def predict(self, rows: Sequence[Row]) -> Predicted:
        """Predicts one window of each recording. Pasts are not changed: rows may be retried after a failure.

        Raises MemoryError if a GPU has too little memory for so many rows.
        """


def stream_engine(network: Network, front_end: FrontEndConfig, look_ahead: int) -> StreamEngine:
    """The engine for streams with a look-ahead of R frames."""
    if isinstance(network, OnnxNetwork):
        return network.streams(front_end, look_ahead)
    from .torch_engine import TorchStreams

    return TorchStreams(network, front_end, look_ahead)


def window_engine(network: Network, front_end: FrontEndConfig, half: bool = False) -> WindowEngine:
    """The engine for whole recordings; ``half`` selects bf16 if PyTorch is used."""
    if isinstance(network, OnnxNetwork):
        return network.windows(front_end)
    from .torch_engine import TorchWindows

    return TorchWindows(network, front_end, half)


def device_of(network: Network) -> str:
    """The network's device: cpu, cuda or mps."""
    return "cpu" if isinstance(network, OnnxNetwork) else network.bias.device.type


def engine_name(network: Network) -> str:
    """The library that runs the network, with its version."""
    if isinstance(network, OnnxNetwork):
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"
    import torch

    return f"torch {torch.__version__}"
