"""The front end: a streaming variable-Q transform, computed as one matrix product per group of bins.

Bin *b* lies at 27.5 * 2 ** ((b - 1.5) / 48) Hz, so key *k* owns bins 4k to 4k + 3, centred on its
pitch. Bandwidths are ``alpha * f + gamma`` (Schörkhuber et al., "A Matlab toolbox for efficient
perfect reconstruction time-frequency transforms", 2014): ``gamma`` keeps the low windows finite.

Every window has its peak at the frame's centre and at most ``look_ahead`` samples from there on:

        past                     centre   look-ahead
        ....cos² rise............../\\..cos² fall
        |<------ up to 3584 ------>|<-- 512 -->|

No value is relative to the loudest bin of a clip, so a stream and a file give equal values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from .timebase import BINS, BINS_PER_OCTAVE, LOOK_AHEAD, SAMPLE_RATE

Numbers = TypeVar("Numbers", bound=Any)  #: an array, or a tensor of PyTorch
FLOOR_DB = -110.0  #: lowest level with detail from a quiet microphone
ALPHA = 2 ** (1 / BINS_PER_OCTAVE) - 2 ** (-1 / BINS_PER_OCTAVE)


@dataclass(frozen=True)
class FrontEndConfig:
    """The parameters of the transform; part of every checkpoint."""

    gamma_hz: float = 8.0  #: constant part of a bin's bandwidth
    window_factor: float = 2.88  #: window length times bandwidth
    longest: int = 4096  #: no window has more samples
    look_ahead: int = LOOK_AHEAD  #: samples after the centre that a window may reach
    tuning_cents: float = 0.0  #: the piano's deviation from A = 440 Hz; the bins move with it
    symmetric: bool = False  #: centred windows, which need more future (for checks)

    def __post_init__(self) -> None:
        if not 0 < self.look_ahead <= self.longest:
            raise ValueError(f"look_ahead must be 1 to {self.longest} samples, got {self.look_ahead}")
        if not -1200 <= self.tuning_cents <= 1200:
            raise ValueError(f"tuning must be -1200 to 1200 cents, got {self.tuning_cents:g}")

    @property
    def before(self) -> int:
        """Samples before a frame's centre that the frame is computed from."""
        return self.after if self.symmetric else self.longest - self.look_ahead

    @property
    def after(self) -> int:
        """Samples from a frame's centre on, including it, that the frame is computed from."""
        return int(np.ceil(window_lengths(self).max() / 2)) if self.symmetric else self.look_ahead

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""
        return self.before + self.after


def frequencies_hz(tuning_cents: float = 0.0) -> np.ndarray:
    """Centre frequencies [BINS] in Hz."""
    steps = (np.arange(BINS) - 1.5) / BINS_PER_OCTAVE
    return 27.5 * 2.0 ** (steps + tuning_cents / 1200)


def window_lengths(config: FrontEndConfig) -> np.ndarray:
    """Lengths of the bins' windows [BINS], in samples."""
    hz = frequencies_hz(config.tuning_cents)
    return np.minimum(config.window_factor * SAMPLE_RATE / (ALPHA * hz + config.gamma_hz), config.longest)


def window(length: float, config: FrontEndConfig) -> tuple[np.ndarray, np.ndarray]:
    """Sample positions [n] around the centre and weights [n], summing to 1, of one window.

    ``length`` is in samples. The fall is half of it, or the look-ahead where that is shorter; the
    rise takes the rest.
    """
    fall = length / 2 if config.symmetric else min(length / 2, config.look_ahead)
    rise = length - fall
    positions = np.arange(-int(np.floor(rise)), int(np.ceil(fall)))
    phase = np.where(positions < 0, positions / rise, positions / fall)
    weights = np.cos(np.pi / 2 * np.clip(phase, -1, 1)) ** 2
    return positions, weights / weights.sum()


def kernel(config: FrontEndConfig) -> tuple[np.ndarray, int]:
    """The transform as a matrix [rows, 2 * BINS] (cosines, then minus sines), and the row of the centre."""
    hz, lengths, before = frequencies_hz(config.tuning_cents), window_lengths(config), config.before
    matrix = np.zeros((config.span, 2 * BINS), dtype=np.float64)
    for b in range(BINS):
        positions, weights = window(lengths[b], config)
        angle = 2 * np.pi * hz[b] * positions / SAMPLE_RATE
        # Twice, so that a full-scale sine reads 0 dB.
        matrix[before + positions, b] = 2 * weights * np.cos(angle)
        matrix[before + positions, BINS + b] = -2 * weights * np.sin(angle)
    return matrix.astype(np.float32), before


def normal(spectrum: Numbers) -> Numbers:
    """Scales log power in dB for the network: FLOOR_DB to 0 dB become -1 to 2."""
    return cast("Numbers", spectrum / -FLOOR_DB * 3 + 2)


def decibels(levels: Numbers) -> Numbers:
    """Log power in dB from levels: the inverse of ``normal``."""
    return cast("Numbers", (levels - 2) / 3 * -FLOOR_DB)
