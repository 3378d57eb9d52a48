"""The tuning of a piano, found from its partials."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .resampling import Resampler
from .timebase import SAMPLE_RATE
from .tuning import Tuning

WINDOW = 8192  #: samples: 2 Hz a bin before interpolation
LOWEST_HZ, HIGHEST_HZ = 200.0, 1200.0  #: above, stiff strings' partials are sharp; below, bins are coarse
STRETCH_S = 30.0  #: of sound, over which a drift is looked for
#: Of a stretch's votes, how much must agree: chords out of tune, speech and noise agree less.
AGREEMENT = 0.3


def estimate_tuning(blocks: Iterable[np.ndarray], sample_rate: int) -> Tuning:
    """The tuning of mono blocks [n]; 0 where nothing sounds.

    Spectral peaks vote with their magnitude for their distance to the next tempered pitch; the circular
    mean of the votes is the tuning. A semitone more or less looks the same. The whole recording is
    listened to, and stretches of it are compared.
    """
    stretches = _stretches(blocks, sample_rate)
    total = sum(votes for votes, _ in stretches)
    if abs(total) < 1e-6:
        return Tuning(0.0, 0.0, 0.0)
    cents = _cents(total)
    clear = [votes for votes, weight in stretches if abs(votes) > AGREEMENT * weight]
    apart = [_cents(votes * np.conj(total)) for votes in clear] or [0.0]
    return Tuning(cents, cents + min(apart), cents + max(apart))


def _stretches(blocks: Iterable[np.ndarray], sample_rate: int) -> list[tuple[complex, float]]:
    """The sum of votes and of their weights over each stretch of a recording."""
    resampler, buffer = Resampler(sample_rate), np.zeros(0, dtype=np.float32)
    hop, in_one = WINDOW // 2, round(STRETCH_S * SAMPLE_RATE / (WINDOW // 2))
    stretches, windows = [(0j, 0.0)], 0
    for block in blocks:
        buffer = np.concatenate([buffer, resampler.feed(np.asarray(block, dtype=np.float32))])
        first = 0
        while len(buffer) - first >= WINDOW:
            votes, weight = _votes(buffer[first : first + WINDOW])
            if windows % in_one == 0 and windows:
                stretches.append((0j, 0.0))
            stretches[-1] = stretches[-1][0] + votes, stretches[-1][1] + weight
            first, windows = first + hop, windows + 1
        buffer = buffer[first:]
    return stretches


def _votes(samples: np.ndarray) -> tuple[complex, float]:
    """Over a window's peaks: the sums of magnitude * exp(2 pi i * fraction of a semitone), of magnitudes."""
    spectrum = np.abs(np.fft.rfft(samples * _HANN))
    first, last = (int(hz * WINDOW / SAMPLE_RATE) for hz in (LOWEST_HZ, HIGHEST_HZ))
    part = spectrum[first:last]
    if part.max(initial=0.0) < 1e-3:
        return 0j, 0.0
    inner = part[1:-1]
    peaks = (
        np.flatnonzero((inner > part[:-2]) & (inner >= part[2:]) & (inner > 0.05 * part.max())) + 1 + first
    )
    left, top, right = (np.log(spectrum[peaks + k] + 1e-12) for k in (-1, 0, 1))
    exact = peaks + (left - right) / (2 * (left - 2 * top + right) - 1e-12)  # a parabola through three points
    semitones = 12 * np.log2(exact * SAMPLE_RATE / WINDOW / 440.0)
    weights = spectrum[peaks]
    return complex(np.sum(weights * np.exp(2j * np.pi * semitones))), float(weights.sum())


def _cents(votes: complex) -> float:
    return float(np.angle(votes) / (2 * np.pi) * 100)


_HANN = np.hanning(WINDOW)
