"""The heads' LSTMs: one sequence per key, weights shared by all keys (fine-grained, HPPNet section 3.2).

All heads run together: each step is one batched matrix product. Letters: S steps, N sequences,
H heads, C features, U units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

STRETCH = 64  #: steps whose gates are in memory at once

State = tuple[Tensor, Tensor]  #: hidden and cell state, each [H, N, U]


class FineGrainedLSTM(nn.Module):
    """One direction of the heads (the paper's FG-LSTM): features [S, N, C] to states [H, S, N, U]."""

    def __init__(self, heads: int, features: int, units: int) -> None:
        super().__init__()
        self.heads, self.units = heads, units
        #: Training puts a faster kernel for :meth:`run` here (training/kernels.py).
        self.kernel: Callable[..., Tensor] | None = None
        bound = 1 / math.sqrt(units)
        self.weight_x = nn.Parameter(torch.empty(heads, features, 4 * units).uniform_(-bound, bound))
        self.weight_h = nn.Parameter(torch.empty(heads, units, 4 * units).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(heads, 1, 4 * units))  # gates i, f, o, g
        with torch.no_grad():
            self.bias[:, :, units : 2 * units] = 1.0  # forget gates begin open: the state is kept

    def start(self, sequences: int) -> State:
        """The state a sequence begins with: zeros."""
        zeros = self.bias.new_zeros(self.heads, sequences, self.units)
        return zeros, zeros

    def run(
        self, x: Tensor, weight: Tensor, reverse: bool = False, windows: tuple[int, int] | None = None
    ) -> Tensor:
        """Runs x [S, N, C] from the zero state; returns states [H, S, N] projected with ``weight`` [H, U].

        With ``windows`` (chunk, look-ahead) each chunk begins with the zero state and sees so many frames of
        its future (see ``cut``); the result is [H, S', N] for the S' frames of complete windows.
        """
        chunk, look_ahead = windows or (len(x), 0)
        if self.kernel is not None:
            weights = (self.weight_x, self.weight_h, self.bias, weight)
            states = self.kernel(x, *weights, reverse, chunk, look_ahead)
        else:
            gates = self.input_gates(cut(x, chunk, look_ahead))
            states = project(self.scan(gates, self.start(gates.shape[2]), reverse)[0][:, :chunk], weight)
        return states.unflatten(2, (-1, x.shape[1])).transpose(1, 2).flatten(1, 2)

    def input_gates(self, x: Tensor) -> Tensor:
        """The input's part of the gates: x [S, N, C] to [H, S, N, 4U]."""
        steps, sequences, features = x.shape
        flat = x.reshape(1, -1, features).expand(self.heads, -1, -1)
        return torch.baddbmm(self.bias, flat, self.weight_x).view(self.heads, steps, sequences, -1)

    def scan(self, gates: Tensor, state: State, reverse: bool = False) -> tuple[Tensor, State]:
        """Steps through projected gates [H, S, N, 4U]; returns hidden states [H, S, N, U] and the state."""
        hidden, cell = state
        steps = gates.unbind(1)
        out: list[Tensor] = [hidden] * len(steps)
        for s in reversed(range(len(steps))) if reverse else range(len(steps)):
            hidden, cell = self.step(torch.baddbmm(steps[s], hidden, self.weight_h), cell)
            out[s] = hidden
        return torch.stack(out, dim=1), (hidden, cell)

    def windows(self, gates: Tensor, count: int, look_ahead: int) -> Tensor:
        """Reverse hidden states [H, count, N, U] of frames 0 to count - 1, each begun R frames later.

        ``gates`` are the input's gates [H, S, N, 4U] of those frames and R = ``look_ahead`` more. The windows
        of all frames form one batch, so the number of frames per call makes no difference.
        """
        sequences = gates.shape[2]
        # The state before a window is zero: its first step needs no matrix product.
        whole = gates[:, look_ahead : look_ahead + count].flatten(1, 2)
        hidden, cell = self.step(whole, gates.new_zeros(self.heads, count * sequences, self.units))
        for s in range(look_ahead - 1, -1, -1):
            whole = gates[:, s : s + count].flatten(1, 2)
            hidden, cell = self.step(torch.baddbmm(whole, hidden, self.weight_h), cell)
        return hidden.unflatten(1, (count, sequences))

    def advance(self, x: Tensor, state: State, weight: Tensor) -> tuple[Tensor, State]:
        """Runs x [S, N, C] from a state: states [H, S, N] projected with ``weight`` [H, U], the last state.

        Runs STRETCH steps at a time, so that an hour of gates is never in memory.
        """
        parts = []
        for start in range(0, x.shape[0], STRETCH):
            hidden, state = self.scan(self.input_gates(x[start : start + STRETCH]), state)
            parts.append(project(hidden, weight))
        if not parts:
            return x.new_zeros(self.heads, 0, x.shape[1]), state
        return torch.cat(parts, dim=1), state

    def step(self, gates: Tensor, cell: Tensor) -> State:
        """One step from complete gates [..., 4U]: new hidden and cell state."""
        units = self.units
        i, f, o = torch.sigmoid(gates[..., : 3 * units]).chunk(3, dim=-1)
        cell = torch.addcmul(f * cell, i, _tanh(gates[..., 3 * units :]))
        return o * _tanh(cell), cell


def cut(x: Tensor, chunk: int, look_ahead: int) -> Tensor:
    """Windows of x [S, N, C], one for each chunk with its future: [chunk + look_ahead, n * N, C]."""
    if len(x) == chunk + look_ahead:
        return x
    return x.unfold(0, chunk + look_ahead, chunk).permute(3, 0, 1, 2).flatten(1, 2)


def _tanh(x: Tensor) -> Tensor:
    """tanh as 2 sigmoid(2x) - 1: on a CPU torch.tanh takes twice as long."""
    y = x * 2
    if y.requires_grad:
        return torch.sigmoid(y).mul(2).sub(1)
    return y.sigmoid_().mul_(2).sub_(1)  # in place: equal numbers, faster


def project(hidden: Tensor, weight: Tensor) -> Tensor:
    """Hidden states [H, S, N, U] times each head's output weights [H, U]: [H, S, N]."""
    return torch.bmm(hidden.flatten(1, 2), weight[:, :, None]).view(hidden.shape[:3])


class LibraryLSTM:
    """A FineGrainedLSTM run by nn.LSTM (cuDNN on a GPU): one call per head and sequence."""

    def __init__(self, lstm: FineGrainedLSTM) -> None:
        features = lstm.weight_x.shape[1]
        self._heads = []
        for head in range(lstm.heads):
            own = nn.LSTM(features, lstm.units)
            weights = _theirs(lstm.weight_x[head], lstm.weight_h[head], lstm.bias[head, 0])
            with torch.no_grad():
                for theirs, ours in zip(own.parameters(), weights, strict=True):
                    theirs.copy_(ours)
            self._heads.append(own.to(lstm.bias.device).requires_grad_(False))

    def advance(self, x: Tensor, state: State, weight: Tensor) -> tuple[Tensor, State]:
        """As ``FineGrainedLSTM.advance``: x [S, N, C] to projected states [H, S, N], and the state."""
        projected, hidden, cell = [], [], []
        for own, h, c, w in zip(self._heads, *state, weight, strict=True):
            with _exact():
                out, (h, c) = own(x, (h[None].contiguous(), c[None].contiguous()))
            projected.append(out @ w)
            hidden.append(h[0])
            cell.append(c[0])
        return torch.stack(projected), (torch.stack(hidden), torch.stack(cell))


def run_library(
    x: Tensor,
    weight_x: Tensor,
    weight_h: Tensor,
    bias: Tensor,
    output: Tensor,
    reverse: bool,
    chunk: int,
    look_ahead: int,
) -> Tensor:
    """As ``FineGrainedLSTM.run``, for training: x [S, N, C] to projected states [H, chunk, n * N].

    A loop over frames would take ten small GPU operations per frame, all of them in autograd's graph.
    """
    x = cut(x.float(), chunk, look_ahead)
    x = x.flip(0) if reverse else x
    states = []
    for own_x, own_h, own_bias, own_output in zip(weight_x, weight_h, bias[:, 0], output, strict=True):
        zeros = x.new_zeros(1, x.shape[1], own_h.shape[0])
        weights = _theirs(own_x, own_h, own_bias)
        with _exact():
            out = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, True, False, False)[0]
        states.append((out.flip(0) if reverse else out)[:chunk] @ own_output)
    return torch.stack(states)


def _exact() -> AbstractContextManager[None]:
    """Switches TF32 off: its rounding errors add up over an LSTM's steps."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _theirs(weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> list[Tensor]:
    """A head's weights [C, 4U], [U, 4U] and bias [4U] as nn.LSTM's four tensors; its second bias is 0."""
    ours = (weight_x.T, weight_h.T, bias)
    return [*(_their_order(gates) for gates in ours), torch.zeros_like(bias)]


def _their_order(gates: Tensor) -> Tensor:
    """Reorders gates i, f, o, g along the first axis [4U, ...] to PyTorch's i, f, g, o."""
    i, f, o, g = gates.chunk(4)
    return torch.cat([i, f, g, o])
