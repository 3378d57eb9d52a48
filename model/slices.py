"""Sound, cut into windows for ``Windows``: 20 s, and 5 s of context behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from .spectra import Spectra
from .timebase import FRAMES_PER_SECOND, HOP

WINDOW_FRAMES = 20 * FRAMES_PER_SECOND  #: judged at once, as Recording does
CONTEXT_FRAMES = 5 * FRAMES_PER_SECOND  #: more, in which the backward LSTMs begin


class Slices(Spectra):
    """Sound as it comes, cut into the samples of one window after the other."""

    def slices(self, blocks: Iterable[np.ndarray]) -> Iterator[tuple[Tensor, bool]]:
        """(samples [n] of the frames that the next window adds, whether they are the last); at least one.

        The first has those of a window and its context, later ones a window's, the last what is left: no
        samples at all where nothing is.
        """
        wanted = WINDOW_FRAMES + CONTEXT_FRAMES
        for block in blocks:
            self.keep(block)
            while self.waiting_frames >= wanted:
                yield self.cut(wanted), False
                wanted = WINDOW_FRAMES
        self._end()
        while self.waiting_frames >= wanted:
            yield self.cut(wanted), False
            wanted = WINDOW_FRAMES
        yield self.cut(self.waiting_frames) if self.waiting_frames else torch.zeros(0), True

    def _end(self) -> None:
        """The rest of the sound, and silence until its last frame is whole."""
        rest = self._resampler.flush()
        self._samples += len(rest)
        end = (self.total_frames - 1) * HOP + self._front_end.after
        silence = np.zeros(max(0, end - self._samples) if self.total_frames else 0, dtype=np.float32)
        self._buffer = np.concatenate([self._buffer, rest, silence])
