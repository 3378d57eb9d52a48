"""The layers of the network. All work on [B, C, T, F] and are causal in time.

A layer that needs earlier frames receives them as ``past`` and returns the past of the next call, so
frames may be passed one at a time or a thousand at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .timebase import BINS_PER_KEY


class CausalConv(nn.Module):
    """Convolution over (frames, bins) that sees the current frame and the ``frames - 1`` before it."""

    def __init__(self, channels_in: int, channels_out: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=(0, kernel[1] // 2))
        self.channels_in = channels_in
        self.past_frames = kernel[0] - 1

    def start(self, batch: int, bins: int) -> Tensor:
        """The silence before the first frame: zeros [batch, C, past_frames, bins]."""
        weight = self.conv.weight
        return weight.new_zeros(batch, self.channels_in, self.past_frames, bins)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Maps x [B, C, T, F] after ``past`` [B, C, past_frames, F] to [B, C', T, F] and the next past."""
        joined = torch.cat([past.to(x.dtype), x], dim=2) if self.past_frames else x
        return self.conv(joined), joined[:, :, joined.shape[2] - self.past_frames :]


class HarmonicDilatedConv(nn.Module):
    """Each bin sees the bins of its partials: shifted copies as channels, then a 1 x 1 convolution.

    The shifts are ``round(bins_per_octave * log2 h)`` (harmonic dilated convolution, HPPNet, Wei et
    al., ISMIR 2022, section 3.1); a negative h leads down to the note whose partial the bin may be.
    """

    def __init__(
        self, channels_in: int, channels_out: int, harmonics: tuple[int, ...], bins_per_octave: int
    ) -> None:
        super().__init__()
        steps = [round(bins_per_octave * math.log2(abs(h))) for h in harmonics]
        self.shifts = tuple(n if h > 0 else -n for n, h in zip(steps, harmonics, strict=True))
        self.conv = nn.Conv2d(channels_in * len(self.shifts), channels_out, 1)
        #: Training puts a faster kernel here (training/kernels.py).
        self.kernel: Callable[..., Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [B, C, T, F] to [B, C', T, F]."""
        if self.kernel is not None:
            return self.kernel(x, self.conv.weight, self.conv.bias, self.shifts)
        return self.conv(shifted(x, self.shifts))


def shifted(x: Tensor, shifts: tuple[int, ...]) -> Tensor:
    """Copies of x [B, C, T, F], each moved down by a shift (zeros beyond the edge): [B, C * n, T, F]."""
    if x.requires_grad and torch.is_grad_enabled():
        return _Shifted.apply(x, shifts)
    return _stack(x, shifts)


def _stack(x: Tensor, shifts: tuple[int, ...]) -> Tensor:
    below, above = -min(0, *shifts), max(0, *shifts)
    padded = F.pad(x, (below, above))
    return torch.cat([padded[..., below + s : below + s + x.shape[-1]] for s in shifts], dim=1)


class _Shifted(torch.autograd.Function):
    """As :func:`_stack`, with a backward pass that adds in place: autograd's own zero-fills each copy."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shifts: tuple[int, ...]) -> Tensor:
        ctx.shifts = shifts
        return _stack(x, shifts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        parts = grad.chunk(len(ctx.shifts), dim=1)
        bins = grad.shape[-1]
        out = torch.zeros_like(parts[0])
        for part, s in zip(parts, ctx.shifts, strict=True):
            if s >= 0:
                out[..., s:].add_(part[..., : bins - s])
            else:
                out[..., :s].add_(part[..., -s:])
        return out, None


class FrequencyNorm(nn.Module):
    """Instance normalisation over frequency, separately for each frame and channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        #: Training puts a faster kernel here (training/kernels.py).
        self.kernel: Callable[..., Tensor] | None = None

    def forward(self, x: Tensor, relu: bool = False, passing: Tensor | None = None) -> Tensor:
        """Normalises x [B, C, T, F]; then adds it to ``passing``, or takes its positive part (``relu``)."""
        if self.kernel is not None:
            return self.kernel(x, self.weight, self.bias, relu, passing)
        # layer_norm over the last axis computes the statistics fastest.
        normal = F.layer_norm(x, x.shape[-1:], eps=1e-3)
        y = normal * self.weight[:, None, None].to(x.dtype) + self.bias[:, None, None].to(x.dtype)
        if passing is not None:
            return passing + y
        return F.relu(y) if relu else y


class PoolToKeys(nn.Module):
    """The positive part of each key's largest bin: x [B, C, T, 4 P] to [B, C, T, P]."""

    def __init__(self) -> None:
        super().__init__()
        #: Training puts a faster kernel here (training/kernels.py).
        self.kernel: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel is not None:
            return self.kernel(x)
        # One-dimensional pooling is ten times as fast as max_pool2d over one frame.
        return F.max_pool1d(F.relu(x).flatten(0, 2), BINS_PER_KEY).view(*x.shape[:3], -1)


class ResidualBlock(nn.Module):
    """x + norm(harmonic(relu(norm(conv(x))))). The skip path is not normalised: it carries the level."""

    def __init__(self, channels: int, kernel: tuple[int, int], harmonics: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = CausalConv(channels, channels, kernel)
        self.norm = FrequencyNorm(channels)
        self.harmonic: HarmonicDilatedConv | None = None
        self.harmonic_norm: FrequencyNorm | None = None
        if harmonics:
            self.harmonic = HarmonicDilatedConv(channels, channels, harmonics, bins_per_octave=12)
            self.harmonic_norm = FrequencyNorm(channels)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Maps x [B, C, T, P], given its convolution's past, to [B, C, T, P] and the next call's past."""
        y, past = self.conv(x, past)
        if self.harmonic is None or self.harmonic_norm is None:
            return x + self.norm(y, relu=True), past
        y = self.harmonic(self.norm(y, relu=True))
        return self.harmonic_norm(y, passing=x), past
