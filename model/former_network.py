"""The network of format-1 checkpoints, for inference alone: the weights that ship until the swap.

It differs from ``HPPNet`` in three ways: a second body beside the first, an LSTM for velocities too, and a
velocity head that adds to the logits of that LSTM in every frame. The swap of weights removes this file, and
what imports it in ``checkpoint``.
"""

from __future__ import annotations

import re
from typing import cast

import torch
from torch import Tensor, nn

from .config import FUTURE, HEADS, PAST, FormerConfig
from .layers import ResidualBlock
from .network import HPPNet
from .timebase import KEYS
from .velocity import VelocityHead, levels_around, loudness

VELOCITY = HEADS.index("velocity")
STRETCH = 25  #: frames predicted at once: more would fall out of the processor's cache
#: Names in a file -> names here.
RENAMED = (
    (r"^ahead\.", "forward_lstm."),
    (r"^back\.", "backward_lstm."),
    (r"^velocity\.around$", "velocity.levels"),
    (r"^(blocks|second)\.(\d+)\.second\.", r"\1.\2.harmonic."),
    (r"^(blocks|second)\.(\d+)\.second_norm\.", r"\1.\2.harmonic_norm."),
)


class FormerNetwork(HPPNet):
    """HPPNet as format 1 has it."""

    heads = len(HEADS)

    def __init__(self, config: FormerConfig) -> None:
        super().__init__(config)
        self.second = nn.ModuleList(
            ResidualBlock(config.body_channels, size, config.block_harmonics)
            for size in config.second_kernels
        )
        self.velocity = FormerVelocityHead(config.velocity_units)

    @property
    def channels(self) -> int:
        second = cast(FormerConfig, self.config).second_kernels
        return self.config.body_channels * (2 if second else 1)

    @property
    def bodies(self) -> list[list[ResidualBlock]]:
        bodies = [list(self.blocks), list(self.second)]
        return cast("list[list[ResidualBlock]]", [body for body in bodies if body])

    def probabilities(
        self, logits: Tensor, history: Tensor, features: Tensor, look_ahead: int | None
    ) -> Tensor:
        velocity = cast(FormerVelocityHead, self.velocity).logits(history, logits.shape[1], look_ahead)
        logits = torch.cat([logits[..., :VELOCITY], logits[..., VELOCITY:] + velocity[..., None]], dim=3)
        return torch.sigmoid(logits.float())


class FormerVelocityHead(VelocityHead):
    """Logits of velocities in every frame, from the spectrum alone."""

    def __init__(self, units: int) -> None:
        super().__init__(0, max(1, units))
        del self.features
        if not units:  # the checkpoint has no such head: it adds nothing
            nn.init.zeros_(self.out.weight)
            nn.init.zeros_(self.out.bias)

    def logits(self, history: Tensor, count: int, look_ahead: int | None) -> Tensor:
        """[B, count, P], from summaries [B, MEMORY + T, P + 3]."""
        future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
        frames = PAST + 1 + future
        if torch.is_autocast_enabled(history.device.type):  # before every level is copied into 584 windows
            keys = history[..., :KEYS].to(torch.get_autocast_dtype(history.device.type))
        else:
            keys = history[..., :KEYS]
        windows = levels_around(keys, count, frames)
        weight = self.levels[:frames].flatten(0, 1)
        whole = self.loudness(loudness(history[:, :, KEYS:], count)) + self.future[future]
        place = whole[:, :, None] + self.key
        parts = [
            self._logits(windows[:, n : n + STRETCH].flatten(3) @ weight + place[:, n : n + STRETCH])
            for n in range(0, count, STRETCH)
        ]
        return torch.cat(parts, dim=1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.second(torch.relu(x))))[..., 0]


def fill(network: FormerNetwork, weights: dict[str, Tensor]) -> None:
    """Gives the network a format-1 file's tensors. Raises RuntimeError where they do not fit."""
    own = {} if network.config.velocity_units else network.velocity.state_dict(prefix="velocity.")
    network.load_state_dict({**own, **{_now(name): tensor for name, tensor in weights.items()}})


def _now(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name
