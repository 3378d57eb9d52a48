"""The heads' LSTMs by PyTorch's own: a call for a whole sequence, which on a GPU is cuDNN's.

``LibraryLSTM`` transcribes, ``run`` is for training. The numbers are those of ``FineGrainedLSTM`` but for
rounding; it is worth it for long sequences, and not live.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from .lstm import FineGrainedLSTM, State, cut


class LibraryLSTM:
    """A FineGrainedLSTM by PyTorch's own, head after head: a call for a whole sequence, on a GPU cuDNN's."""

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

    def weigh(self, x: Tensor, state: State, weight: Tensor) -> tuple[Tensor, State]:
        """As ``FineGrainedLSTM.weigh``: x [S, N, C] to weighed hidden states [H, S, N], and the state."""
        weighed, hidden, cell = [], [], []
        for own, h, c, w in zip(self._heads, *state, weight, strict=True):
            with _exact():
                out, (h, c) = own(x, (h[None].contiguous(), c[None].contiguous()))
            weighed.append(out @ w)
            hidden.append(h[0])
            cell.append(c[0])
        return torch.stack(weighed), (torch.stack(hidden), torch.stack(cell))


def run(
    x: Tensor,
    weight_x: Tensor,
    weight_h: Tensor,
    bias: Tensor,
    output: Tensor,
    reverse: bool,
    chunk: int,
    look_ahead: int,
) -> Tensor:
    """As ``FineGrainedLSTM.run``, for training: x [S, N, C] to weighed states [H, chunk, n * N] of n windows.

    A loop over frames costs a GPU ten small operations a frame, and autograd a graph of them all.
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
    """Without TF32: an LSTM adds up too much for that."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _theirs(weight_x: Tensor, weight_h: Tensor, bias: Tensor) -> list[Tensor]:
    """A head's weights [C, 4U], [U, 4U] and bias [4U] as PyTorch's four: it has a second bias, 0 here."""
    ours = (weight_x.T, weight_h.T, bias)
    return [*(_their_order(gates) for gates in ours), torch.zeros_like(bias)]


def _their_order(gates: Tensor) -> Tensor:
    """Our gates i, f, o, g along the first axis [4U, ...] as PyTorch's i, f, g, o."""
    i, f, o, g = gates.chunk(4)
    return torch.cat([i, f, g, o])
