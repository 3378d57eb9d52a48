"""Sound as it comes to spectra as they come: resampling, buffering and the front end of one stream."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .frontend import FrontEnd
from .resampling import Resampler
from .samples import as_samples
from .timebase import BINS, HOP, SAMPLE_RATE, frames_in


class Spectra:
    """One stream's way from samples at any rate to log power frames. Silence lies around it."""

    def __init__(self, front_end: FrontEnd, sample_rate: int) -> None:
        self._front_end = front_end
        self._resampler = Resampler(sample_rate)
        self.reset()

    @property
    def latency_s(self) -> float:
        """How long after a frame's centre has sounded its spectrum is there."""
        return self._front_end.after / SAMPLE_RATE + self._resampler.delay_s

    def reset(self) -> None:
        """As new: the next sample is sample 0."""
        self._resampler.reset()
        self._kept = [np.zeros(self._front_end.before, dtype=np.float32)]
        self._kept_samples = self._front_end.before
        self._samples = 0  # at 16 kHz, so far

    def feed(self, block: object) -> Tensor:
        """New frames [1, T, 352] that a block of samples [n] completes; T may be 0."""
        self.keep(block)
        return self._take(self.waiting_frames)

    def keep(self, block: object) -> None:
        """Takes a block of samples [n] whose frames are computed elsewhere: see ``cut``."""
        samples = self._resampler.feed(as_samples(block))
        self._samples += len(samples)
        self._put(samples)

    @property
    def waiting_frames(self) -> int:
        """Whole frames in what is kept."""
        return max(0, (self._kept_samples - self._front_end.span) // HOP + 1)

    def cut(self, count: int) -> Tensor:
        """The samples [n] that the next ``count`` frames, which must be there, are computed from."""
        buffer = np.concatenate(self._kept)
        self._kept = [buffer[count * HOP :]]
        self._kept_samples -= count * HOP
        return torch.from_numpy(buffer[: (count - 1) * HOP + self._front_end.span])

    def flush(self, extra: int = 0) -> Tensor:
        """The frames still owed, and ``extra`` more of the silence after the end. Nothing for no sound."""
        self.end(extra)
        return self._take(self.waiting_frames)

    def end(self, extra: int = 0) -> None:
        """Keeps what is left in the resampler and, after any sound, the silence that its last frames need."""
        rest = self._resampler.flush()
        self._samples += len(rest)
        self._put(rest)
        if self.total_frames:
            last = (self.total_frames + extra - 1) * HOP + self._front_end.after
            self._put(np.zeros(max(0, last - self._samples), dtype=np.float32))

    @property
    def total_frames(self) -> int:
        """Frames whose centre lies in the sound fed so far."""
        return frames_in(self._samples)

    @property
    def duration_s(self) -> float:
        """Of the sound that has been fed."""
        return self._samples / SAMPLE_RATE

    def _put(self, samples: np.ndarray) -> None:
        self._kept.append(samples)
        self._kept_samples += len(samples)

    def _take(self, count: int) -> Tensor:
        return self._front_end.frames(self.cut(count)[None]) if count else torch.zeros(1, 0, BINS)
