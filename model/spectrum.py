"""The front end in PyTorch, for training and for GPUs (see ``frontend``)."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .frames import Frames
from .frontend import FLOOR_DB, FrontEndConfig, kernel
from .timebase import BINS, HOP

#: Boundaries of groups of bins: they save multiplying short windows with thousands of zeros.
GROUPS = (0, 128, 192, 256, BINS)


class FrontEnd:
    """Transforms sound to log power. Immutable: any number of streams may share it.

    A frame is computed from ``before`` samples before its centre and ``after`` samples from its centre on.
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
        """Log power [B, T, BINS] of whole clips [B, n] with silence around them; T = ceil(n / HOP)."""
        count = -(-samples.shape[-1] // HOP)
        after = max(0, (count - 1) * HOP + self.after - samples.shape[-1])
        return self.frames(torch.nn.functional.pad(samples, (self.before, after)))[:, :count]


@lru_cache(maxsize=4)
def front_end_of(config: FrontEndConfig, device: str | torch.device = "cpu") -> FrontEnd:
    """The front end of a configuration on a device. Callers share it, since it never changes.

    Only the last four are kept (8 MB each): a corpus of differently tuned pianos needs thousands.
    """
    return FrontEnd(config, device)


class Spectra(Frames):
    """Converts one stream's samples, at any rate, to frames of log power."""

    def feed(self, block: object) -> Tensor:
        """New frames [1, T, 352] that a block of samples [n] completes; T may be 0."""
        self.keep(block)
        return self._take()

    def flush(self) -> Tensor:
        """The remaining frames [1, T, 352]; none if there was no sound."""
        self.end()
        return self._take()

    def _take(self) -> Tensor:
        count = self.waiting_frames
        if not count:
            return torch.zeros(1, 0, BINS)
        return front_end_of(self._front_end).frames(torch.from_numpy(self.cut(count))[None])
