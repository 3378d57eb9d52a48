"""HPPNet, causal but for the R frames that the backward LSTMs may look ahead.

After Wei, Li, Yang, Xu and Li, "HPPNet: Modeling the Harmonic Structure and Pitch Invariance in
Piano Transcription" (ISMIR 2022). Letters: B batch, C channels, T frames, F bins, P keys, H heads,
U LSTM units, N = B * P sequences.

        spectrum [B, T, 352] -> stem -> harmonic convolution -> pool 4 bins to a key
          -> residual blocks, and a second body of them where there is one -> features [T, N, C]
             -> forward LSTM, its state carried for ever ----\\
             -> backward LSTM, begun R frames ahead of each --+-> logits [B, T, P, H]
             -> pooled over keys, beside the spectrum -> the pedal's own head -> logits [B, T]
        spectrum -> another head for velocities, where there is one -> added to their logits
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HEADS, NetworkConfig
from .frontend import normal
from .layers import CausalConv, HarmonicConv, ResidualBlock
from .lstm import HeadLSTM, Heads, State, weighed
from .pedal import PedalHead, PedalState
from .timebase import BINS, BINS_PER_KEY, BINS_PER_OCTAVE, KEYS
from .velocity import VelocityHead

VELOCITY = HEADS.index("velocity")
#: Frames that go through the convolutions at once: more would fall out of the processor's cache.
PIECE_FRAMES = 25


@dataclass(frozen=True)
class NetworkState:
    """All that a stream remembers between two calls; a value, never changed in place."""

    pasts: tuple[Tensor, ...]  #: earlier frames, one tensor a causal convolution
    forward: State  #: of the forward LSTMs
    waiting: Tensor  #: features [<= R, N, C] of frames whose future has not come yet
    pedal: PedalState | None = None  #: of the pedal's head, where there is one
    velocity: Tensor | None = None  #: what the velocities' head heard, [B, MEMORY + <= R, P + 3], likewise


class Judged(NamedTuple):
    """What the network makes of frames: logits."""

    keys: Tensor  #: [B, T, P, H]
    pedal: Tensor | None = None  #: [B, T], where the network has the head
    features: Tensor | None = None  #: [T, N, C] of all frames by the first body, in training


#: Of one recording: probabilities [T, 88, 4], and the pedal's [T] where the network has that head.
Probable = tuple[np.ndarray, np.ndarray | None]


class HPPNet(nn.Module):
    """The network. ``forward`` is for training; ``step`` streams; whole recordings: ``FullContext``."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        sizes = [1, *[config.stem_channels] * len(config.stem_kernels)]
        self.stem = nn.ModuleList(
            CausalConv(a, b, kernel)
            for a, b, kernel in zip(sizes, sizes[1:], config.stem_kernels, strict=False)
        )
        harmonics = config.harmonics_up + tuple(-h for h in config.harmonics_down)
        self.harmonic = HarmonicConv(config.stem_channels, config.body_channels, harmonics, BINS_PER_OCTAVE)
        self.blocks, self.second = (
            nn.ModuleList(ResidualBlock(config.body_channels, size, config.block_harmonics) for size in sizes)
            for sizes in (config.block_kernels, config.second_kernels)
        )
        self.ahead = HeadLSTM(len(HEADS), config.features, config.lstm_units)
        self.back = HeadLSTM(len(HEADS), config.features, config.lstm_units)
        self.weight = nn.Parameter(torch.randn(len(HEADS), 2 * config.lstm_units) * config.lstm_units**-0.5)
        # Most frames hold no onset: beginning near zero saves the first hundred steps.
        self.bias = nn.Parameter(torch.tensor([-3.0, -3.0, -3.0, 0.0]))
        self.pedal = PedalHead(config.body_channels, config.pedal_units) if config.pedal_units else None
        self.velocity = VelocityHead(config.velocity_units) if config.velocity_units else None

    @property
    def _stem(self) -> list[CausalConv]:
        return cast("list[CausalConv]", list(self.stem))

    @property
    def _bodies(self) -> list[list[ResidualBlock]]:
        """The body, and the second where there is one."""
        bodies = [list(self.blocks), list(self.second)]
        return cast("list[list[ResidualBlock]]", [body for body in bodies if body])

    def start(self, batch: int = 1) -> NetworkState:
        """The state before the first frame."""
        pasts = [conv.start(batch, BINS) for conv in self._stem]
        pasts += [block.conv.start(batch, KEYS) for body in self._bodies for block in body]
        waiting = self.bias.new_zeros(0, batch * KEYS, self.config.features)
        pedal = self.pedal.start(batch) if self.pedal is not None else None
        velocity = self.velocity.start(batch) if self.velocity is not None else None
        return NetworkState(tuple(pasts), self.ahead.start(batch * KEYS), waiting, pedal, velocity)

    def features(self, levels: Tensor, pasts: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Levels [B, T, 352] (see ``frontend``) to features [T, N, C]; and the pasts for the next call."""
        batch, frames, _ = levels.shape
        x = levels.unsqueeze(1)
        new: list[Tensor] = []
        for conv, past in zip(self._stem, pasts, strict=False):
            x, after = conv(x, past)
            x = F.relu(x)
            new.append(after)
        x = F.relu(self.harmonic(x))
        # One-dimensional pooling is ten times as fast as max_pool2d over one frame.
        x = F.max_pool1d(x.flatten(0, 2), BINS_PER_KEY).view(*x.shape[:3], KEYS)
        ends = []
        for body in self._bodies:
            end = x
            for block in body:
                end, after = block(end, pasts[len(new)])
                new.append(after)
            ends.append(end)
        x = ends[0] if len(ends) == 1 else torch.cat(ends, dim=1)
        return x.permute(2, 0, 3, 1).reshape(frames, batch * KEYS, -1), tuple(new)

    def judge(self, x: Tensor, state: State, count: int, look_ahead: int) -> tuple[Tensor, State]:
        """The LSTMs' logits [B, count, P, H] of the first ``count`` frames of features x [T, N, C].

        Each frame sees exactly ``look_ahead`` frames of future, which x must hold. Returns the forward
        LSTMs' state after those frames too.
        """
        ahead_weight, back_weight = self.weight.split(self.config.lstm_units, dim=1)
        ahead, state = self.ahead.weigh(x[:count], state, ahead_weight)
        back = weighed(self.back.windows(x, count, look_ahead), back_weight)
        return self._logits(ahead + back), state

    def _logits(self, weighed_states: Tensor) -> Tensor:
        """Weighed hidden states [H, T, N] to logits [B, T, P, H]."""
        return (weighed_states.permute(1, 2, 0) + self.bias).unflatten(1, (-1, KEYS)).transpose(0, 1)

    def step(self, spectrum: Tensor, state: NetworkState, look_ahead: int) -> tuple[Judged, NetworkState]:
        """New frames [B, T, 352] to logits of those frames, T', whose R frames of future are there."""
        levels = normal(spectrum)
        features, pasts = self.features(levels, state.pasts)
        x = torch.cat([state.waiting, features])
        count = max(0, x.shape[0] - look_ahead)
        pedal, pedal_state = self._step_pedal(features, levels, state.pedal, count, look_ahead)
        if count == 0:
            keys, forward = spectrum.new_zeros(spectrum.shape[0], 0, KEYS, len(HEADS)), state.forward
        else:
            keys, forward = self.judge(x, state.forward, count, look_ahead)
        heard = state.velocity
        if self.velocity is not None and heard is not None:
            velocity, heard = self.velocity.step(levels, heard, count, look_ahead)
            keys[..., VELOCITY] += velocity
        return Judged(keys, pedal), NetworkState(pasts, forward, x[count:], pedal_state, heard)

    def _step_pedal(
        self, features: Tensor, levels: Tensor, state: PedalState | None, count: int, look_ahead: int
    ) -> tuple[Tensor | None, PedalState | None]:
        if self.pedal is None or state is None:
            return None, None
        heard = torch.cat([state[2], self.pedal.hear(features, levels)])
        if count == 0:
            return levels.new_zeros(levels.shape[0], 0), (*state[:2], heard)
        return self.pedal.judge(heard, state, count, look_ahead)

    def forward(
        self,
        spectrum: Tensor,
        look_ahead: int | None = None,
        chunk: int = 8,
        struck: Tensor | None = None,
        heads: Sequence[str] = HEADS,
    ) -> Judged:
        """Logits of an excerpt [B, T, 352], for training.

        With a look-ahead R, ``chunk`` frames share one backward window of chunk + R: the last of
        them sees R frames of future, the first chunk - 1 more. Returns those of the T' frames of whole
        windows. ``struck`` [B, T', P] says where alone velocities are asked for; no logits but those of
        ``heads`` say anything.
        """
        levels = normal(spectrum)
        x, _ = self.features(levels, self.start(len(levels)).pasts)
        shared = x[..., : self.config.body_channels]
        with torch.autocast(x.device.type, enabled=False):  # an LSTM adds up too much for half precision
            keys = self._excerpt(x.float(), look_ahead, chunk, heads)
            if "velocity" in heads:
                keys = self._with_velocity(keys, levels, look_ahead, struck)
            if self.pedal is None:
                return Judged(keys, None, shared)
            pedal = self.pedal(self.pedal.hear(shared, levels), look_ahead)
        if look_ahead is not None:
            pedal = pedal[:, : pedal.shape[1] // chunk * chunk]
        return Judged(keys, pedal, shared)

    def _with_velocity(
        self, keys: Tensor, levels: Tensor, look_ahead: int | None, struck: Tensor | None
    ) -> Tensor:
        """The LSTMs' logits [B, T', P, H], and what the other head adds to the velocities'."""
        if self.velocity is None:
            return keys
        velocity = self.velocity(levels, keys.shape[1], look_ahead, struck)
        return torch.cat([keys[..., :VELOCITY], keys[..., VELOCITY:] + velocity[..., None]], dim=3)

    def _excerpt(self, x: Tensor, look_ahead: int | None, chunk: int, heads: Sequence[str]) -> Tensor:
        own: Heads = slice(None) if len(heads) == len(HEADS) else [HEADS.index(head) for head in heads]
        ahead_weight, back_weight = self.weight[own].split(self.config.lstm_units, dim=1)
        if look_ahead is None:
            ahead, back = self.ahead.run(x, heads=own), self.back.run(x, reverse=True, heads=own)
        else:
            windows = x.unfold(0, chunk + look_ahead, chunk).permute(3, 0, 1, 2)  # [chunk + R, n, N, C]
            n = windows.shape[1]
            back = self.back.run(windows.flatten(1, 2), reverse=True, keep=chunk, heads=own)
            back = back.unflatten(2, (n, -1)).transpose(1, 2).flatten(1, 2)
            ahead = self.ahead.run(x[: n * chunk], heads=own)
        states = weighed(ahead, ahead_weight) + weighed(back, back_weight)
        if len(states) < len(HEADS):
            states = states.new_zeros(len(HEADS), *states.shape[1:]).index_put((torch.tensor(own),), states)
        return self._logits(states)
