"""How far a piano is from A = 440 Hz, heard from its partials."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .resampling import Resampler
from .timebase import SAMPLE_RATE

WINDOW = 8192  #: samples: 2 Hz a bin before interpolation
LOWEST_HZ, HIGHEST_HZ = 200.0, 1200.0  #: above, stiff strings' partials are sharp; below, bins are coarse
LISTEN_S = 180.0  #: of sound, at most


def estimate_cents(blocks: Iterable[np.ndarray], sample_rate: int) -> float:
    """The tuning against A = 440 Hz in cents, -50 to 50, from mono blocks [n]; 0.0 where nothing is heard.

    Spectral peaks vote with their magnitude for their distance to the next tempered pitch; the
    circular mean of the votes is the tuning.
    """
    resampler, buffer, total, heard = Resampler(sample_rate), np.zeros(0, dtype=np.float32), 0j, 0
    for block in blocks:
        buffer = np.concatenate([buffer, resampler.feed(np.asarray(block, dtype=np.float32))])
        while len(buffer) >= WINDOW:
            total += _votes(buffer[:WINDOW])
            buffer, heard = buffer[WINDOW // 2 :], heard + WINDOW // 2
        if heard > LISTEN_S * SAMPLE_RATE:
            break
    return float(np.angle(total) / (2 * np.pi) * 100) if abs(total) > 1e-6 else 0.0


def _votes(samples: np.ndarray) -> complex:
    """The sum of magnitude * exp(2 pi i * fraction of a semitone) over a window's peaks."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(WINDOW)))
    first, last = (int(hz * WINDOW / SAMPLE_RATE) for hz in (LOWEST_HZ, HIGHEST_HZ))
    part = spectrum[first:last]
    if part.max(initial=0.0) < 1e-3:
        return 0j
    inner = part[1:-1]
    peaks = (
        np.flatnonzero((inner > part[:-2]) & (inner >= part[2:]) & (inner > 0.05 * part.max())) + 1 + first
    )
    left, top, right = (np.log(spectrum[peaks + k] + 1e-12) for k in (-1, 0, 1))
    exact = peaks + (left - right) / (2 * (left - 2 * top + right) - 1e-12)  # a parabola through three points
    semitones = 12 * np.log2(exact * SAMPLE_RATE / WINDOW / 440.0)
    return complex(np.sum(spectrum[peaks] * np.exp(2j * np.pi * semitones)))
