"""The heads' LSTMs by PyTorch's own: a call for a whole sequence, which on a GPU is cuDNN's.

The numbers are those of ``HeadLSTM`` but for rounding; it is worth it for long sequences, and not live.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from .lstm import HeadLSTM, State


class LibraryLSTM:
    """A HeadLSTM by PyTorch's own LSTM, head after head: a call for a whole sequence, on a GPU cuDNN's."""

    def __init__(self, lstm: HeadLSTM) -> None:
        features = lstm.weight_x.shape[1]
        self._heads = []
        for head in range(lstm.heads):
            own = nn.LSTM(features, lstm.units)
            with torch.no_grad():
                for theirs, ours in zip(
                    own.parameters(),
                    (lstm.weight_x[head].T, lstm.weight_h[head].T, lstm.bias[head, 0]),
                    strict=False,
                ):
                    theirs.copy_(_their_order(ours))
                nn.init.zeros_(cast("Tensor", own.bias_hh_l0))
            self._heads.append(own.to(lstm.bias.device).requires_grad_(False))

    def weigh(self, x: Tensor, state: State, weight: Tensor) -> tuple[Tensor, State]:
        """As ``HeadLSTM.weigh``: x [S, N, C] to weighed hidden states [H, S, N], and the state."""
        weighed, hidden, cell = [], [], []
        for own, h, c, w in zip(self._heads, *state, weight, strict=True):
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # it adds up too much for that
                out, (h, c) = own(x, (h[None].contiguous(), c[None].contiguous()))
            weighed.append(out @ w)
            hidden.append(h[0])
            cell.append(c[0])
        return torch.stack(weighed), (torch.stack(hidden), torch.stack(cell))


def _their_order(gates: Tensor) -> Tensor:
    """Our gates i, f, o, g along the first axis [4U, ...] as PyTorch's i, f, g, o."""
    i, f, o, g = gates.chunk(4)
    return torch.cat([i, f, g, o])
