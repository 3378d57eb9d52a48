"""Streams computed by ONNX Runtime, a frame at a time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..decoder import Probable
from ..frontend import FrontEndConfig
from .network import OnnxNetwork, Session


@dataclass(frozen=True)
class StreamState:
    """All that a stream keeps between two steps; a value, never changed in place."""

    steps: int  #: computed so far
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OnnxStreams:
    """A network for streams with a look-ahead of R frames.

    Each step computes one frame of one stream. So the numbers are the same to the last digit whatever the
    sizes of blocks; and a batch of streams takes as long as one after the other, joining and parting their
    states not counted (measured: 0.0254 units a stream for eight at once, 0.0295 alone).
    """

    network: OnnxNetwork
    front_end: FrontEndConfig
    look_ahead: int
    most_frames: int = 1

    @cached_property
    def _session(self) -> Session:
        # Held here too: the network keeps a few only, and a server's streams may have many tunings.
        return self.network.step_session(self.front_end, self.look_ahead)

    def start(self) -> StreamState:
        """The state before the first frame."""
        return StreamState(0, self._session.start())

    def kind(self, state: StreamState) -> Hashable:
        """All are alike."""
        return None

    def most_streams(self, frames: int) -> int:
        """One: see the class."""
        return 1

    def step(
        self, samples: np.ndarray, states: Sequence[StreamState]
    ) -> tuple[list[Probable], list[StreamState]]:
        """As ``StreamEngine.step``."""
        found: list[Probable] = []
        after = []
        for own, state in zip(samples, states, strict=True):
            values, arrays = self._session.run({"samples": own[None]}, state.arrays)
            # The first R frames of the graph's lie before the sound.
            count = 0 if state.steps < self.look_ahead else 1
            pedal = values["pedal"][:count] if "pedal" in values else None
            found.append((values["probabilities"][:count], pedal))
            after.append(StreamState(state.steps + 1, arrays))
        return found, after
