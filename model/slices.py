"""Sound, cut into windows for ``Windows``: 20 s, and 5 s of context behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .frames import Frames
from .frontend import FrontEndConfig
from .timebase import FRAMES_PER_SECOND

WINDOW_FRAMES = 20 * FRAMES_PER_SECOND  #: judged at once
CONTEXT_FRAMES = 5 * FRAMES_PER_SECOND  #: more, in which the backward LSTMs begin


@dataclass(frozen=True)
class Row:
    """One recording's part of a batch of windows."""

    past: Any  #: what ``start`` of the windows gives, or came of the recording's window before
    sound: np.ndarray  #: samples [n] as ``Slices`` cuts them, or their spectra [T, 352]
    last: bool


class Slices(Frames):
    """Sound as it comes, cut into the samples of one window after the other.

    The first has those of a window and its context, later ones a window's, the last what is left: no
    samples at all where nothing is.
    """

    def __init__(
        self,
        front_end: FrontEndConfig,
        sample_rate: int,
        window: int = WINDOW_FRAMES,
        context: int = CONTEXT_FRAMES,
    ) -> None:
        super().__init__(front_end, sample_rate)
        self._window = window
        self._wanted = window + context

    def slices(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
        """(samples [n] of the frames that the next window adds, whether they are the last); at least one."""
        for block in blocks:
            for samples in self.take(block):
                yield samples, False
        yield from self.rest()

    def take(self, block: object) -> Iterator[np.ndarray]:
        """Samples [n] of the windows that a block completes; all must be taken before the next block."""
        self.keep(block)
        while self.waiting_frames >= self._wanted:
            yield self._next(self._wanted)

    def rest(self) -> Iterator[tuple[np.ndarray, bool]]:
        """As ``slices``: what is left when the sound is over."""
        self.end()
        while self.waiting_frames >= self._wanted:
            yield self._next(self._wanted), False
        yield self._next(self.waiting_frames) if self.waiting_frames else np.zeros(0, dtype=np.float32), True

    def _next(self, count: int) -> np.ndarray:
        self._wanted = self._window
        return self.cut(count)
