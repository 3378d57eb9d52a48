"""The heads' LSTMs: one sequence a key, weights shared by the keys (fine-grained, HPPNet section 3.2).

All heads run together: each step is one batched matrix product. Letters: S steps, N sequences,
H heads, C features, U units.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class HeadLSTM(nn.Module):
    """One direction of every head: x [S, N, C] to hidden states [S, H, N, U]."""

    def __init__(self, heads: int, features: int, units: int) -> None:
        super().__init__()
        self.heads, self.units = heads, units
        #: Training puts a faster road for :meth:`run` here (training/kernels.py).
        self.kernel: Callable[..., Tensor] | None = None
        bound = 1 / math.sqrt(units)
        self.weight_x = nn.Parameter(torch.empty(heads, features, 4 * units).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(heads, units, 4 * units).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(heads, 1, 4 * units))  # gates i, f, o, g
        with torch.no_grad():
            self.bias[:, :, units : 2 * units] = 1.0  # remember, until taught otherwise

    def start(self, sequences: int) -> tuple[Tensor, Tensor]:
        """Hidden and cell state of a sequence's begin: zeros [H, N, U]."""
        zeros = self.bias.new_zeros(self.heads, sequences, self.units)
        return zeros, zeros

    def run(self, x: Tensor, reverse: bool = False, keep: int | None = None) -> Tensor:
        """Whole sequences x [S, N, C] from the zero state: the first ``keep`` hidden states [keep, H, N, U]."""
        if self.kernel is not None and x.device.type == "cpu":
            return self.kernel(x, self.weight_x, self.weight_h, self.bias, reverse, keep or x.shape[0])
        return self.scan(self.project(x), self.start(x.shape[1]), reverse)[0][:keep]

    def project(self, x: Tensor) -> Tensor:
        """The input's part of the gates: x [S, N, C] to [S, H, N, 4U]."""
        return torch.matmul(x.unsqueeze(1), self.weight_x) + self.bias

    def scan(
        self, gates: Tensor, state: tuple[Tensor, Tensor], reverse: bool = False
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Steps through projected gates [S, H, N, 4U]; returns hidden states [S, H, N, U] and the state."""
        hidden, cell = state
        out: list[Tensor] = [hidden] * gates.shape[0]
        for s in reversed(range(gates.shape[0])) if reverse else range(gates.shape[0]):
            hidden, cell = self.step(torch.baddbmm(gates[s], hidden, self.weight_h), cell)
            out[s] = hidden
        stacked = torch.stack(out) if out else gates.new_zeros(0, *hidden.shape)
        return stacked, (hidden, cell)

    def step(self, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """One step from whole gates [..., 4U]: new hidden and cell state."""
        units = self.units
        i, f, o = torch.sigmoid(gates[..., : 3 * units]).chunk(3, dim=-1)
        cell = torch.addcmul(f * cell, i, torch.tanh(gates[..., 3 * units :]))
        return o * torch.tanh(cell), cell
