"""The head for the sustain pedal, which combines the spectrum and the keys' features over time.

Letters: B batch, T frames, N = B * 88 sequences, C features, F bins, U units, G = 6 U gates.

With the dampers up, released notes ring on, all strings resonate, and the spectrum fills between the partials
of the played notes, so the head receives all bins. The keys' features show which keys are played. The pedal
acts on all keys, so the features are pooled over keys, by mean and by maximum.

Forwards, the head uses an LSTM. Backwards, where every frame begins anew R frames later, it uses a unit
without a matrix product in its loop: h[t] = f[t] h[t + 1] + (1 - f[t]) z[t], with z and f from the input
alone (f-pooling, Bradbury et al., "Quasi-Recurrent Neural Networks", ICLR 2017). A second LSTM would cost a
stream more than the rest of the head.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .timebase import BINS, KEYS

#: Hidden and cell state [1, B, U] of the forward LSTM; gates [<= R, B, G] of waiting frames.
PedalState = tuple[Tensor, Tensor, Tensor]


class PedalHead(nn.Module):
    """Logits of the pedal being down. Inputs are detached: training this head never changes the notes."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        #: Training puts a faster kernel for the LSTM here (training/kernels.py).
        self.kernel: Callable[..., Tensor] | None = None
        self.bins = nn.Linear(BINS, units)
        self.key = nn.Linear(features, features)
        self.join = nn.Linear(units + 2 * features, units)
        self.gates = nn.Linear(units, 6 * units)  # LSTM: i, f, o, g; backward unit: f, z
        self.recurrent = nn.Linear(units, 4 * units, bias=False)
        self.out = nn.Linear(2 * units, 1)

    def start(self, batch: int = 1) -> PedalState:
        """The state before the first frame."""
        zeros = self.out.bias.new_zeros(1, batch, self.units)
        return zeros, zeros, self.out.bias.new_zeros(0, batch, 6 * self.units)

    def input_gates(self, x: Tensor, levels: Tensor) -> Tensor:
        """The gates [T, B, G] of features x [T, N, C] and levels [B, T, F]."""
        return self.gates(self._joined(x, levels))

    def _joined(self, x: Tensor, levels: Tensor) -> Tensor:
        """The input of the gates: [T, B, U]."""
        keys = torch.relu(self.key(x.detach().float()))
        keys = keys.view(len(x), len(levels), KEYS, -1)  # a view: unflatten takes longer than the mean
        bins = torch.relu(self.bins(levels.transpose(0, 1)))
        return torch.relu(self.join(torch.cat([bins, keys.mean(2), keys.amax(2)], dim=2)))

    def predict(
        self, gates: Tensor, state: PedalState, count: int, look_ahead: int | None
    ) -> tuple[Tensor, PedalState]:
        """Logits [B, count] of the first ``count`` frames, from gates [T, B, G].

        Each frame sees exactly ``look_ahead`` frames of future, which ``gates`` must contain, or with None
        all that it contains. Also returns the state after the ``count`` frames, with the remaining gates.
        """
        forwards, backwards = gates.split([4 * self.units, 2 * self.units], dim=2)
        past, (hidden, cell) = self._run_forward(forwards[:count], *state[:2])
        f, z = torch.sigmoid(backwards).chunk(2, dim=2)
        future = _backwards(z, f, count, look_ahead)
        return self.out(torch.cat([past, future], dim=2))[..., 0].T, (hidden, cell, gates[count:])

    def _run_forward(
        self, gates: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """States [T, B, U] of the LSTM, and its last hidden and cell state.

        For one frame this loop takes half as long as nn.LSTM. The cell is ``FineGrainedLSTM.step`` with
        PyTorch's tanh: on so few numbers, one operation is faster than the four of ``lstm._tanh``.
        """
        weight, states = self.recurrent.weight.T, []
        hidden, cell = hidden[0], cell[0]
        for step in gates.unbind():
            whole = torch.addmm(step, hidden, weight)
            i, f, o = torch.sigmoid(whole[:, : 3 * self.units]).chunk(3, dim=1)
            cell = torch.addcmul(f * cell, i, torch.tanh(whole[:, 3 * self.units :]))
            hidden = o * torch.tanh(cell)
            states.append(hidden)
        return torch.stack(states), (hidden[None], cell[None])

    def forward(self, x: Tensor, levels: Tensor, look_ahead: int | None) -> Tensor:
        """Logits [B, T'] of the T' frames of an excerpt that have R frames of future, for training."""
        count = len(x) - (look_ahead or 0)
        joined = self._joined(x, levels)
        if self.kernel is None:
            return self.predict(self.gates(joined), self.start(len(levels)), count, look_ahead)[0]
        (of_lstm, others), (bias, other_bias) = (
            part.split([4 * self.units, 2 * self.units]) for part in (self.gates.weight, self.gates.bias)
        )
        forward_weight, backward_weight = self.out.weight.chunk(2, dim=1)
        weights = (of_lstm.T[None], self.recurrent.weight.T[None], bias[None, None], forward_weight)
        past = self.kernel(joined[:count], *weights, False, count, 0)[0]
        f, z = torch.sigmoid(nn.functional.linear(joined, others, other_bias)).chunk(2, dim=2)
        future = _backwards(z, f, count, look_ahead)
        return (past + future @ backward_weight[0] + self.out.bias).T


def _backwards(z: Tensor, f: Tensor, count: int, look_ahead: int | None) -> Tensor:
    """States [count, B, U] of the backward unit, each begun R frames later, or (None) at the last frame."""
    return _whole(z, f)[:count] if look_ahead is None else _in_windows(z, f, count, look_ahead)


def _whole(z: Tensor, f: Tensor) -> Tensor:
    """States [T, ...] of the backward unit, begun at the last frame."""
    state, states = torch.zeros_like(z[:1]).squeeze(0), []
    for step_z, step_f in zip(reversed(z.unbind()), reversed(f.unbind()), strict=True):
        state = torch.lerp(step_z, state, step_f)
        states.append(state)
    return torch.stack(states[::-1]) if states else z


def _in_windows(z: Tensor, f: Tensor, count: int, look_ahead: int) -> Tensor:
    """States [count, B, U] of frames 0 to count - 1, each begun ``look_ahead`` frames later."""
    if count == 1:  # live streams, frame by frame: an equal sum without a loop
        fresh = torch.addcmul(z, z, f, value=-1)
        return fresh[:1] + (f.cumprod(0)[:-1] * fresh[1:]).sum(0)
    first_z = z[look_ahead : look_ahead + count]
    state = torch.addcmul(first_z, first_z, f[look_ahead : look_ahead + count], value=-1)
    for s in range(look_ahead - 1, -1, -1):
        state = torch.lerp(z[s : s + count], state, f[s : s + count])
    return state
