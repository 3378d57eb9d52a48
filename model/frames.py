"""Sound as it comes, at any rate, to the samples of one frame, or of one window, after the other.

Resampling to 16 kHz delays the sound by a millisecond at most at the usual rates. soxr's usual qualities wait
for whole FFT blocks (37 ms at 48 kHz). But the front end has no bins above 4.6 kHz: a short low-pass with a
wide transition removes all that would alias, and soxr's cubic interpolation, which waits for nothing, does
the rest, below -85 dB of error at 48 kHz. Rates below 32 kHz leave no room for that; they take soxr's
variable-rate filter (about 10 ms).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import soxr

from .frontend import FrontEndConfig
from .samples import as_samples, whole_rate
from .timebase import FRAMES_PER_SECOND, HOP, SAMPLE_RATE, frames_in

LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
SHORT_FROM_HZ = 32_000  #: rates from here on take the short low-pass
CUTOFF_HZ = 7_900
HALF_LENGTH_S = 0.0006
BETA = 8.0


class Resampler:
    """Streaming, mono. What comes out does not depend on how the input was cut into blocks.

    Raises TypeError or ValueError for a rate that is none, or out of range.
    """

    def __init__(self, sample_rate: int) -> None:
        sample_rate = whole_rate(sample_rate)
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise ValueError(f"sample rate must be {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {sample_rate:g}")
        self.sample_rate = sample_rate
        #: None where soxr does it alone
        self._taps = _short_low_pass(sample_rate) if sample_rate >= SHORT_FROM_HZ else None
        self.reset()

    def reset(self) -> None:
        """As new: forgets all sound."""
        self._came = self._went = 0
        self._soxr = None
        if self.sample_rate == SAMPLE_RATE:
            return
        short = self._taps is not None
        self._soxr = soxr.ResampleStream(
            self.sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="QQ" if short else "HQ", vr=not short
        )
        # The filter needs half its length of future: its first output belongs to the first sample.
        self._tail = np.zeros(0 if self._taps is None else len(self._taps) // 2, dtype=np.float32)

    @property
    def delay_s(self) -> float:
        """How much later a sample leaves than it came, at most."""
        if self._soxr is None:
            return 0.0
        if self._taps is None:
            return _measured_delay_s(self.sample_rate)
        return (len(self._taps) // 2) / self.sample_rate + 2 / self.sample_rate

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Samples [n] in; samples at 16 kHz [m] out."""
        if self._soxr is None or not len(samples):
            return samples
        self._came += len(samples)
        out = self._soxr.resample_chunk(self._filter(samples))
        self._went += len(out)
        return out

    def flush(self) -> np.ndarray:
        """The rest: in all, as many samples at 16 kHz as the sound was long."""
        if self._soxr is None:
            return np.zeros(0, dtype=np.float32)
        rest = (
            self._filter(np.zeros(len(self._taps) // 2, dtype=np.float32))
            if self._taps is not None
            else self._tail
        )
        out = self._soxr.resample_chunk(rest, last=True)
        missing = round(self._came * SAMPLE_RATE / self.sample_rate) - self._went
        return np.pad(out, (0, max(0, missing - len(out))))[: max(0, missing)]

    def _filter(self, samples: np.ndarray) -> np.ndarray:
        if self._taps is None:
            return np.ascontiguousarray(samples, dtype=np.float32)
        joined = np.concatenate([self._tail, samples])
        keep = len(self._taps) - 1
        self._tail = joined[max(0, len(joined) - keep) :]
        if len(joined) <= keep:
            return np.zeros(0, dtype=np.float32)
        return np.convolve(joined, self._taps, mode="valid").astype(np.float32)


def low_pass(sample_rate: int, half: int, cutoff_hz: float, beta: float) -> np.ndarray:
    """Taps [2 * half + 1] of a sinc in a Kaiser window of shape ``beta``, unit gain at 0 Hz."""
    n = np.arange(-half, half + 1)
    taps = np.sinc(2 * cutoff_hz / sample_rate * n) * np.kaiser(2 * half + 1, beta)
    return taps / taps.sum()


def _short_low_pass(sample_rate: int) -> np.ndarray:
    taps = low_pass(sample_rate, round(sample_rate * HALF_LENGTH_S), CUTOFF_HZ, BETA)
    return taps.astype(np.float32)


@cache
def _measured_delay_s(sample_rate: int) -> float:
    """What soxr keeps back at this rate, found by feeding it silence."""
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ", vr=True)
    came, went, silence = 0, 0, np.zeros(16, dtype=np.float32)
    delay = 0.0
    for _ in range(sample_rate // 4 // len(silence)):
        came += len(silence)
        went += len(stream.resample_chunk(silence))
        delay = max(delay, came / sample_rate - went / SAMPLE_RATE)
    return delay


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

    @property
    def missing_s(self) -> float:
        """Seconds of sound that the next whole frame still needs; the resampler may need a sample more."""
        return max(0, self._front_end.span - self._kept_samples) / SAMPLE_RATE

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
        """Length in seconds of the sound that has been fed."""
        return self._samples / SAMPLE_RATE

    def _put(self, samples: np.ndarray) -> None:
        self._kept.append(samples)
        self._kept_samples += len(samples)


WINDOW_FRAMES = 20 * FRAMES_PER_SECOND  #: predicted at once
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
