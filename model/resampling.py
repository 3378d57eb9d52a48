"""From any sample rate to 16 kHz as the sound comes, a millisecond late at most at the usual rates.

soxr's usual qualities wait for whole FFT blocks (37 ms at 48 kHz). But the front end hears nothing
above 4.6 kHz, so a short low-pass with a wide transition takes away all that would alias, and soxr's
cubic interpolation, which waits for nothing, does the rest: below -85 dB of error at 48 kHz.
Rates below 32 kHz leave no room for that; they take soxr's variable-rate filter (about 10 ms).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import soxr

from .samples import whole_rate
from .timebase import SAMPLE_RATE

LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
SHORT_FROM_HZ = 32_000  #: rates from here on take the short road
CUTOFF_HZ = 7_900
HALF_LENGTH_S = 0.0006


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
        self._taps = _low_pass(sample_rate) if sample_rate >= SHORT_FROM_HZ else None
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
        # The filter looks half its length ahead: its first output belongs to the first sample.
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


def _low_pass(sample_rate: int) -> np.ndarray:
    """Taps of a Kaiser-windowed sinc, unit gain at 0 Hz, an odd number of them."""
    half = round(sample_rate * HALF_LENGTH_S)
    n = np.arange(-half, half + 1)
    taps = np.sinc(2 * CUTOFF_HZ / sample_rate * n) * np.kaiser(2 * half + 1, 8.0)
    return (taps / taps.sum()).astype(np.float32)


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
