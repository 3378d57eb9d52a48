"""Sound as it comes, at any rate, to the samples of one frame after the other: resampling and buffering."""

from __future__ import annotations

import numpy as np

from .frontend import FrontEndConfig
from .resampling import Resampler
from .samples import as_samples
from .timebase import HOP, SAMPLE_RATE, frames_in


class Frames:
    """One stream's samples at 16 kHz, cut into those of its frames. Silence lies around it."""

    def __init__(self, front_end: FrontEndConfig, sample_rate: int) -> None:
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

    def keep(self, block: object) -> None:
        """Takes a block of samples [n]. Raises TypeError or ValueError for other input, and takes nothing."""
        samples = self._resampler.feed(as_samples(block))
        self._samples += len(samples)
        self._put(samples)

    @property
    def waiting_frames(self) -> int:
        """Whole frames in what is kept."""
        return max(0, (self._kept_samples - self._front_end.span) // HOP + 1)

    def cut(self, count: int) -> np.ndarray:
        """The samples [n] that the next ``count`` frames, which must be there, are computed from."""
        buffer = self._kept[0] if len(self._kept) == 1 else np.concatenate(self._kept)
        self._kept = [buffer[count * HOP :]]
        self._kept_samples -= count * HOP
        return buffer[: (count - 1) * HOP + self._front_end.span]

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
