"""The head for the sustain pedal: what the keys' features and the spectrum say together, over time.

Letters: B batch, T frames, N = B * 88 sequences, C features, F bins, U units, E = 3 U what is heard in all.

The pedal is one thing for all keys, so their features are pooled: how they are in the mean, and where they
are highest. With the dampers up all strings ring along, and the spectrum fills between the partials of what
is played; so the lowest and the mean level of each band of the spectrum are heard too.

Forwards an LSTM remembers. Backwards, where every frame begins anew R frames ahead, a unit without a matrix
product in its loop looks back at what came after: h[t] = f[t] h[t + 1] + (1 - f[t]) z[t], z and f from the
input alone (f-pooling, Bradbury et al., "Quasi-Recurrent Neural Networks", ICLR 2017). A second LSTM would
cost a stream more than all else here together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frontend import FLOOR_DB
from .timebase import BINS, KEYS

BAND_BINS = 16  #: of the spectrum: a third of an octave

#: Hidden and cell state [1, B, U] of the forward LSTM; what is heard [<= R, B, E] in frames without future.
PedalState = tuple[Tensor, Tensor, Tensor]


class PedalHead(nn.Module):
    """Logits of the pedal being down. What it is given is detached: it never changes the notes."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.key = nn.Linear(features, features)
        self.join = nn.Linear(2 * features + 2 * BINS // BAND_BINS, units)
        self.ahead = nn.LSTM(units, units)
        self.back = nn.Linear(units, 2 * units)  # to z and f
        self.out = nn.Linear(2 * units, 1)

    def start(self, batch: int = 1) -> PedalState:
        """The state before the first frame."""
        zeros = self.out.bias.new_zeros(1, batch, self.units)
        return zeros, zeros, self.out.bias.new_zeros(0, batch, 3 * self.units)

    def hear(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """What is heard of the pedal [T, B, E], from features x [T, N, C] and log power [B, T, F] in dB."""
        frames, batch = len(x), len(spectrum)  # in views: unflatten takes longer than the means
        keys = F.relu(self.key(x.detach().float())).view(frames, batch, KEYS, -1)
        levels = spectrum.float().transpose(0, 1) * (-3 / FLOOR_DB)
        bands = levels.view(frames, batch, -1, BAND_BINS)
        pooled = [keys.mean(2), keys.amax(2), bands.mean(3), bands.amin(3)]
        joined = F.relu(self.join(torch.cat(pooled, dim=2)))
        return torch.cat([joined, torch.sigmoid(self.back(joined))], dim=2)

    def judge(
        self, heard: Tensor, state: PedalState, count: int, look_ahead: int | None
    ) -> tuple[Tensor, PedalState]:
        """Logits [B, count] of the first ``count`` frames of what is heard [T, B, E].

        Each frame sees exactly ``look_ahead`` frames of future (they must be there), or with None all
        there are. Returns the state after those frames too, with what was heard in the others.
        """
        joined, z, f = heard.chunk(3, dim=2)
        ahead, (hidden, cell) = self._run_ahead(joined[:count], *state[:2])
        back = _backwards(z, f)[:count] if look_ahead is None else _from_ahead(z, f, count, look_ahead)
        return self._logits(ahead, back), (hidden, cell, heard[count:])

    def _run_ahead(
        self, joined: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if not len(joined):
            return joined, (hidden, cell)
        if len(joined) != 1:
            return self.ahead(joined, (hidden, cell))
        # Live, frame by frame: the bare cell costs a third of the whole machinery.
        hidden, cell = torch.lstm_cell(joined[0], (hidden[0], cell[0]), *self.ahead.all_weights[0])
        return hidden[None], (hidden[None], cell[None])

    def _logits(self, ahead: Tensor, back: Tensor) -> Tensor:
        """States of both directions [T, B, U] to logits [B, T]."""
        return self.out(torch.cat([ahead, back], dim=2))[..., 0].T

    def forward(self, heard: Tensor, look_ahead: int | None, chunk: int) -> Tensor:
        """Logits [B, T'] of an excerpt, for training; windows as in ``HPPNet.forward``."""
        joined, z, f = heard.chunk(3, dim=2)
        if look_ahead is None:
            return self._logits(self.ahead(joined)[0], _backwards(z, f))
        windows = [part.unfold(0, chunk + look_ahead, chunk).permute(3, 0, 1, 2) for part in (z, f)]
        back = _backwards(*windows)[:chunk].transpose(0, 1).flatten(0, 1)  # of [chunk + R, n, B, U]
        return self._logits(self.ahead(joined[: len(back)])[0], back)


def _backwards(z: Tensor, f: Tensor) -> Tensor:
    """States [T, ...] of the backward unit, begun with the last frame."""
    state, states = torch.zeros_like(z[:1]).squeeze(0), []
    for step_z, step_f in zip(reversed(z.unbind()), reversed(f.unbind()), strict=True):
        state = torch.lerp(step_z, state, step_f)
        states.append(state)
    return torch.stack(states[::-1]) if states else z


def _from_ahead(z: Tensor, f: Tensor, count: int, look_ahead: int) -> Tensor:
    """States [count, B, U] of frames 0 to count - 1, each begun ``look_ahead`` frames ahead."""
    if count == 1:  # live, frame by frame: the same sum without a loop
        fresh = torch.addcmul(z, z, f, value=-1)
        return fresh[:1] + (f.cumprod(0)[:-1] * fresh[1:]).sum(0)
    first_z = z[look_ahead : look_ahead + count]
    state = torch.addcmul(first_z, first_z, f[look_ahead : look_ahead + count], value=-1)
    for s in range(look_ahead - 1, -1, -1):
        state = torch.lerp(z[s : s + count], state, f[s : s + count])
    return state
