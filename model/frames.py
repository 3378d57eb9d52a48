"""Resamples sound, block by block, and cuts it into the samples of frames or of windows.

Resampling to 16 kHz delays the sound by a millisecond at most at the usual rates. soxr's usual qualities wait
for whole FFT blocks (37 ms at 48 kHz). But the front end has no bins above 4.6 kHz: a short low-pass with a
wide transition band prevents aliasing, and soxr's cubic interpolation, which adds no delay, does the rest
with an error below -85 dB at 48 kHz. Rates below 32 kHz leave no room for that low-pass; they use soxr's
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
SHORT_FROM_HZ = 32_000  #: rates from here on use the short low-pass
CUTOFF_HZ = 7_900
HALF_LENGTH_S = 0.0006
BETA = 8.0


class Resampler:
    """Streaming mono resampler to 16 kHz. The output does not depend on the sizes of the blocks.

    Raises TypeError if the rate is not a number, ValueError if it is not whole or out of range.
    """

    def __init__(self, sample_rate: int) -> None:
        sample_rate = whole_rate(sample_rate)
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise ValueError(f"sample rate must be {LOWEST_RATE} to {HIGHEST_RATE} Hz, got {sample_rate:g}")
        self.sample_rate = sample_rate
        #: None if soxr works alone
        self._taps = _short_low_pass(sample_rate) if sample_rate >= SHORT_FROM_HZ else None
        self.reset()

    def reset(self) -> None:
        """Starts anew: drops all sound."""
        self._came = self._went = 0
        self._soxr = None
        if self.sample_rate == SAMPLE_RATE:
            return
        short = self._taps is not None
        self._soxr = soxr.ResampleStream(
            self.sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="QQ" if short else "HQ", vr=not short
        )
        # Half a filter length of zeros aligns the first output with the first sample.
        self._tail = np.zeros(0 if self._taps is None else len(self._taps) // 2, dtype=np.float32)

    @property
    def delay_s(self) -> float:
        """The largest delay of a sample, in seconds."""
        if self._soxr is None:
            return 0.0
        if self._taps is None:
            return _measured_delay_s(self.sample_rate)
        return (len(self._taps) // 2) / self.sample_rate + 2 / self.sample_rate

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Resamples samples [n] to samples at 16 kHz [m]."""
        if self._soxr is None or not len(samples):
            return samples
        self._came += len(samples)
        out = self._soxr.resample_chunk(self._filter(samples))
        self._went += len(out)
        return out

    def flush(self) -> np.ndarray:
        """The remaining samples at 16 kHz: the whole output is as long as the sound."""
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
    """The delay of soxr at this rate, in seconds, measured with silence."""
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ", vr=True)
    came, went, silence = 0, 0, np.zeros(16, dtype=np.float32)
    delay = 0.0
    for _ in range(sample_rate // 4 // len(silence)):
        came += len(silence)
        went += len(stream.resample_chunk(silence))
        delay = max(delay, came / sample_rate - went / SAMPLE_RATE)
    return delay


class Frames:
    """Resamples one stream to 16 kHz and cuts it into frames' samples, with silence around the sound."""

    def __init__(self, front_end: FrontEndConfig, sample_rate: int) -> None:
        self._front_end = front_end
        self._resampler = Resampler(sample_rate)
        self.reset()

    @property
    def latency_s(self) -> float:
        """Seconds from a frame's centre until its spectrum can be computed."""
        return self._front_end.after / SAMPLE_RATE + self._resampler.delay_s

    def reset(self) -> None:
        """Starts anew: the next sample is sample 0."""
        self._resampler.reset()
        self._kept = [np.zeros(self._front_end.before, dtype=np.float32)]
        self._kept_samples = self._front_end.before
        self._samples = 0  # number of samples at 16 kHz so far

    def keep(self, block: object) -> None:
        """Adds a block of samples [n]. Raises TypeError or ValueError for other input and adds nothing."""
        samples = self._resampler.feed(as_samples(block))
        self._samples += len(samples)
        self._put(samples)

    @property
    def waiting_frames(self) -> int:
        """The number of complete frames that wait to be cut."""
        return max(0, (self._kept_samples - self._front_end.span) // HOP + 1)

    @property
    def missing_s(self) -> float:
        """Seconds of sound that the next whole frame still needs; the resampler may need a sample more."""
        return max(0, self._front_end.span - self._kept_samples) / SAMPLE_RATE

    def cut(self, count: int) -> np.ndarray:
        """The samples [n] that the next ``count`` frames are computed from; all frames must be complete."""
        buffer = self._kept[0] if len(self._kept) == 1 else np.concatenate(self._kept)
        self._kept = [buffer[count * HOP :]]
        self._kept_samples -= count * HOP
        return buffer[: (count - 1) * HOP + self._front_end.span]

    def end(self, extra: int = 0) -> None:
        """Adds the resampler's rest and, after any sound, silence for its last frames and ``extra`` more."""
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


WINDOW_FRAMES = 20 * FRAMES_PER_SECOND  #: frames of a window that are predicted
CONTEXT_FRAMES = 5 * FRAMES_PER_SECOND  #: frames after them, in which the backward LSTMs begin


@dataclass(frozen=True)
class Row:
    """One recording's part of a batch of windows."""

    past: Any  #: the result of ``WindowEngine.start`` or of the recording's previous window
    sound: np.ndarray  #: samples [n] as ``Slices`` cuts them, or their spectra [T, 352]
    last: bool


class Slices(Frames):
    """Cuts sound, block by block, into the samples of successive windows.

    The first slice contains a window and its context, later slices one window each, the last slice the rest,
    which may be empty.
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
        """Yields (samples [n] of the frames that a window adds, whether it is the last), at least once."""
        for block in blocks:
            for samples in self.take(block):
                yield samples, False
        yield from self.rest()

    def take(self, block: object) -> Iterator[np.ndarray]:
        """Yields the samples [n] of each window that a block completes. Exhaust it before the next block."""
        self.keep(block)
        while self.waiting_frames >= self._wanted:
            yield self._next(self._wanted)

    def rest(self) -> Iterator[tuple[np.ndarray, bool]]:
        """Yields the remaining slices at the end of the sound, as ``slices`` does."""
        self.end()
        while self.waiting_frames >= self._wanted:
            yield self._next(self._wanted), False
        yield self._next(self.waiting_frames) if self.waiting_frames else np.zeros(0, dtype=np.float32), True

    def _next(self, count: int) -> np.ndarray:
        self._wanted = self._window
        return self.cut(count)
