"""Random colours of sound: curves over frequency, and noise that follows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..model.timebase import SAMPLE_RATE

WINDOW = 256  #: samples: 16 ms, bins of 62.5 Hz
OCTAVES = 7  #: from the lowest bin above 0 Hz, 62.5 Hz, to 8 kHz


def random_shape(rng: np.random.Generator, step: float, tilt: float = 0.0) -> np.ndarray:
    """A curve over frequency [bins], its mean 0: a random walk of ``step`` an octave beside ``tilt``."""
    knots = np.cumsum(rng.normal(tilt, step, OCTAVES + 1))
    return np.interp(_octaves(), np.arange(OCTAVES + 1), knots - knots.mean())


def shaped_in_time(rng: np.random.Generator, n: int, gains: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Noise [n] with a gain at each frequency and time: ``gains`` makes [bins, T or 1] of T times (s)."""
    hop = WINDOW // 2
    count = n // hop + 2
    size = (count, WINDOW // 2 + 1)
    spectra = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    spectra *= gains(np.maximum(0, np.arange(count) - 0.5) * hop / SAMPLE_RATE).T
    blocks = np.fft.irfft(spectra, axis=1) * _window()
    sound = np.zeros((count + 1) * hop)
    sound[: count * hop] = blocks[:, :hop].ravel()
    sound[hop:] += blocks[:, hop:].ravel()
    return sound[hop : hop + n]


@lru_cache(maxsize=1)
def _octaves() -> np.ndarray:
    """Of each bin, octaves above the first."""
    return np.log2(np.maximum(1, np.arange(WINDOW // 2 + 1)))


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    """Its squares overlap to 1: neighbouring blocks are independent noise."""
    return np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
