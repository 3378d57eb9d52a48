"""Runs streams, a frame at a time, and recordings, a window at a time, with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..config import HEADS
from ..decoder import Probable
from ..frames import Row
from ..frontend import FrontEndConfig, normal
from ..timebase import BINS, HOP, KEYS
from .network import OnnxNetwork, Session
from .window_graph import BLOCK


@dataclass(frozen=True)
class OnnxState:
    """The state of a stream between two steps. Immutable."""

    steps: int  #: number of steps computed so far
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class OnnxStreams:
    """Runs a network for streams with a look-ahead of R frames.

    Each step computes one frame of one stream, so results are identical to the last digit for all block
    sizes. A batch takes about as long as its streams one by one, even without joining and splitting their
    states (measured: 0.0254 units per stream for eight at once, 0.0295 alone).
    """

    network: OnnxNetwork
    front_end: FrontEndConfig
    look_ahead: int
    most_frames: int = 1

    @cached_property
    def _session(self) -> Session:
        # Cached here too: the network keeps only a few, and a server's streams may have many tunings.
        return self.network.step_session(self.front_end, self.look_ahead)

    def start(self) -> OnnxState:
        """The state before the first frame."""
        return OnnxState(0, self._session.start())

    def kind(self, state: OnnxState) -> Hashable:
        """All states are of one kind."""
        return None

    def most_streams(self, frames: int) -> int:
        """One: see the class."""
        return 1

    def step(
        self, samples: np.ndarray, states: Sequence[OnnxState]
    ) -> tuple[list[Probable], list[OnnxState]]:
        """As ``StreamEngine.step``."""
        found: list[Probable] = []
        after = []
        for own, state in zip(samples, states, strict=True):
            values, arrays = self._session.run({"samples": own[None]}, state.arrays)
            # The first R frames that the graph predicts lie before the sound.
            count = 0 if state.steps < self.look_ahead else 1
            pedal = values["pedal"][:count] if "pedal" in values else None
            found.append((values["probabilities"][:count], pedal))
            after.append(OnnxState(state.steps + 1, arrays))
        return found, after


@dataclass(frozen=True)
class OnnxPast:
    """The state of a recording between two windows. Immutable."""

    arrays: Mapping[str, np.ndarray] | None  #: the graph's states; None before the first window
    rest: np.ndarray  #: samples, or spectra, of the frames that did not fill a block
    waiting: int = 0  #: frames that passed the trunk and are not predicted yet


@dataclass(frozen=True)
class OnnxPredictions:
    """The predictions of windows, available at once."""

    pasts: list[OnnxPast]
    found: list[Probable]
    ready: bool = True

    def wait(self) -> list[Probable]:
        """For each row, the probabilities of its predicted frames."""
        return self.found


@dataclass(frozen=True)
class OnnxWindows:
    """Runs a network for the windows of recordings, one by one: several would not fit the CPU's cache."""

    network: OnnxNetwork
    front_end: FrontEndConfig
    context: int

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""
        return self.front_end.span

    def start(self) -> OnnxPast:
        """The past before a recording's first window."""
        return OnnxPast(None, np.zeros(0, np.float32))

    def predict(self, rows: Sequence[Row]) -> OnnxPredictions:
        """Predicts one window of each recording. Pasts are not changed."""
        pairs = [self._window(row) for row in rows]
        return OnnxPredictions([past for past, _ in pairs], [found for _, found in pairs])

    def _window(self, row: Row) -> tuple[OnnxPast, Probable]:
        past = row.past
        sound = self._after(past.rest, row.sound)
        spectra = sound.ndim == 2
        there = self._frames(sound)
        # The next window continues from the states after a whole block.
        frames = there if row.last else there - there % BLOCK
        predicted = past.waiting + frames - (0 if row.last else self.context)
        if predicted <= 0:
            return OnnxPast(past.arrays, sound, past.waiting), self._nothing()
        session = self.network.window_session(self.front_end, from_levels=spectra)
        states = session.start() if past.arrays is None else past.arrays
        given = {"frames": np.array([frames]), "predicted": np.array([predicted])}
        name, value = self._filled(sound, frames)
        values, arrays = session.run({name: value, **given}, states)
        rest = sound[frames:] if spectra else sound[frames * HOP :]
        after = OnnxPast(arrays, rest if there > frames else rest[:0], past.waiting + frames - predicted)
        return after, (values["probabilities"], values.get("pedal"))

    def _frames(self, sound: np.ndarray) -> int:
        if sound.ndim == 2 or not len(sound):
            return len(sound)
        return (len(sound) - self.span) // HOP + 1

    def _after(self, rest: np.ndarray, sound: np.ndarray) -> np.ndarray:
        """The rest of the last window, then the new sound; samples that both contain are used once."""
        if not len(rest) or not len(sound):
            return sound if len(sound) else rest
        own = rest if sound.ndim == 2 else rest[: self._frames(rest) * HOP]
        return np.concatenate([own, sound])

    def _filled(self, sound: np.ndarray, frames: int) -> tuple[str, np.ndarray]:
        """The name and value of the graph's input, padded with silence to whole blocks, at least one."""
        blocks = max(1, -(-frames // BLOCK))
        if sound.ndim == 2:
            filled = np.zeros((blocks * BLOCK, BINS), np.float32)
            filled[:frames] = normal(sound[:frames])
            return "levels", filled
        whole = np.zeros((blocks * BLOCK - 1) * HOP + self.span, np.float32)
        used = sound[: len(whole)]
        whole[: len(used)] = used
        return "samples", whole

    def _nothing(self) -> Probable:
        pedal = np.zeros(0, np.float32) if self.network.config.pedal_units else None
        return np.zeros((0, KEYS, len(HEADS)), np.float32), pedal
