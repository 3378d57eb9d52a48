"""The front end: a variable-Q transform that streams, as one matrix product a group of bins.

Bin *b* lies at 27.5 * 2 ** ((b - 1.5) / 48) Hz, so key *k* owns bins 4k to 4k + 3, centred on its
pitch. Bandwidths are ``alpha * f + gamma`` (Schörkhuber et al., "A Matlab toolbox for efficient
perfect reconstruction time-frequency transforms", 2014): ``gamma`` keeps the low windows finite.

Every window has its peak at the frame's centre and no more than ``look_ahead`` samples after it:

        past                     centre   look-ahead
        ....cos² rise............../\\..cos² fall
        |<------ up to 3584 ------>|<-- 512 -->|

Nothing is relative to the loudest bin of a clip, so a stream and a file give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .timebase import BINS, BINS_PER_OCTAVE, HOP, LOOK_AHEAD, SAMPLE_RATE

FLOOR_DB = -110.0  #: a quiet microphone's detail lies down to here
ALPHA = 2 ** (1 / BINS_PER_OCTAVE) - 2 ** (-1 / BINS_PER_OCTAVE)
#: Where the bins are split so that short windows are not multiplied with thousands of zeros.
GROUPS = (0, 128, 192, 256, BINS)


@dataclass(frozen=True)
class FrontEndConfig:
    """What the transform is made of; part of every checkpoint."""

    gamma_hz: float = 8.0  #: constant part of a bin's bandwidth
    window_factor: float = 2.88  #: window length times bandwidth
    longest: int = 4096  #: no window has more samples
    look_ahead: int = LOOK_AHEAD  #: samples after the centre that a window may reach
    tuning_cents: float = 0.0  #: of the piano against A = 440 Hz; the bins move with it
    symmetric: bool = False  #: centred windows (needs all the future; for checks)

    def __post_init__(self) -> None:
        if not 0 < self.look_ahead <= self.longest:
            raise ValueError(f"look_ahead must be 1 to {self.longest} samples, got {self.look_ahead}")
        if not -1200 <= self.tuning_cents <= 1200:
            raise ValueError(f"tuning must be -1200 to 1200 cents, got {self.tuning_cents:g}")


def frequencies_hz(tuning_cents: float = 0.0) -> np.ndarray:
    """Centre frequencies [BINS] in Hz."""
    steps = (np.arange(BINS) - 1.5) / BINS_PER_OCTAVE
    return 27.5 * 2.0 ** (steps + tuning_cents / 1200)


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
    hz = frequencies_hz(config.tuning_cents)
    lengths = np.minimum(config.window_factor * SAMPLE_RATE / (ALPHA * hz + config.gamma_hz), config.longest)
    after = int(np.ceil(lengths.max() / 2)) if config.symmetric else config.look_ahead
    before = after if config.symmetric else config.longest - config.look_ahead
    matrix = np.zeros((before + after, 2 * BINS), dtype=np.float64)
    for b in range(BINS):
        positions, weights = window(lengths[b], config)
        angle = 2 * np.pi * hz[b] * positions / SAMPLE_RATE
        # Twice, so that a full-scale sine reads 0 dB.
        matrix[before + positions, b] = 2 * weights * np.cos(angle)
        matrix[before + positions, BINS + b] = -2 * weights * np.sin(angle)
    return matrix.astype(np.float32), before


def normal(spectrum: Tensor) -> Tensor:
    """Log power in dB as the network takes it: the floor to 0 dB become -1 to 2."""
    return spectrum / -FLOOR_DB * 3 + 2


class FrontEnd:
    """Sound to log power. Immutable: one may serve any number of streams.

    ``before`` samples of history and ``look_ahead`` of future surround each frame's centre.
    """

    def __init__(self, config: FrontEndConfig | None = None, device: str | torch.device = "cpu") -> None:
        self.config = config or FrontEndConfig()
        matrix, self.before = kernel(self.config)
        self.after = matrix.shape[0] - self.before
        self._groups: list[tuple[int, int, Tensor]] = []
        for first, last in pairwise(GROUPS):
            columns = np.r_[first:last, BINS + first : BINS + last]
            used = np.flatnonzero(np.any(matrix[:, columns] != 0, axis=1))
            start, stop = int(used[0]), int(used[-1]) + 1
            part = torch.from_numpy(np.ascontiguousarray(matrix[start:stop, columns]))
            self._groups.append((start, stop, part.to(device)))

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""
        return self.before + self.after

    def frames(self, samples: Tensor) -> Tensor:
        """Log power [B, T, BINS] in dB (floor -110) of every whole frame in ``samples`` [B, n].

        The first frame is centred on sample ``before``; T = (n - span) // HOP + 1.
        """
        batch, n = samples.shape
        count = (n - self.span) // HOP + 1
        if count < 1:
            return samples.new_zeros(batch, 0, BINS)
        powers = []
        for start, stop, part in self._groups:
            view = samples.as_strided(
                (batch, count, stop - start), (samples.stride(0), HOP, 1), samples.storage_offset() + start
            )
            real, imaginary = (view @ part).chunk(2, dim=-1)
            powers.append(real.square() + imaginary.square())
        power = torch.cat(powers, dim=-1)
        return 10 * torch.log10(power.clamp_min(10 ** (FLOOR_DB / 10)))

    def whole(self, samples: Tensor) -> Tensor:
        """Log power [B, T, BINS] of whole clips [B, n], silence around them; T = ceil(n / HOP)."""
        count = -(-samples.shape[-1] // HOP)
        after = max(0, (count - 1) * HOP + self.after - samples.shape[-1])
        return self.frames(torch.nn.functional.pad(samples, (self.before, after)))[:, :count]


@lru_cache(maxsize=4)
def front_end_of(config: FrontEndConfig) -> FrontEnd:
    """The front end of a configuration; the same for all who ask, since it never changes.

    The last four are kept (8 MB each): a corpus in which each piano is tuned otherwise has thousands.
    """
    return FrontEnd(config)
