"""The head for the sustain pedal: what the keys' features and the spectrum say together, over time.

Letters: B batch, T frames, N = B * 88 sequences, C features, F bins, E what is heard of the pedal, U units.

The pedal is one thing for all keys, so their features are pooled: how they are in the mean, and where they
are highest. With the dampers up all strings ring along, and the spectrum fills between the partials of what
is played; so the lowest and the mean level of each band of the spectrum are heard too.
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
        self.back = nn.LSTM(units, units)
        self.out = nn.Linear(2 * units, 1)

    def start(self, batch: int = 1) -> PedalState:
        """The state before the first frame."""
        zeros = self.out.bias.new_zeros(1, batch, self.units)
        return zeros, zeros, zeros[:0]

    def hear(self, x: Tensor, spectrum: Tensor) -> Tensor:
        """What is heard of the pedal [T, B, E], from features x [T, N, C] and log power [B, T, F] in dB."""
        with torch.autocast(x.device.type, enabled=False):
            keys = F.relu(self.key(x.detach().float())).unflatten(1, (-1, KEYS))
            bands = (spectrum.float() / -FLOOR_DB * 3 + 2).unflatten(2, (-1, BAND_BINS)).transpose(0, 1)
            pooled = [keys.mean(2), keys.amax(2), bands.mean(3), bands.amin(3)]
            return F.relu(self.join(torch.cat(pooled, dim=2)))

    def judge(
        self, heard: Tensor, state: PedalState, count: int, look_ahead: int | None
    ) -> tuple[Tensor, PedalState]:
        """Logits [B, count] of the first ``count`` frames of what is heard [T, B, E].

        Each frame sees exactly ``look_ahead`` frames of future (they must be there), or with None all
        there are. Returns the state after those frames too, with what was heard in the others.
        """
        hidden, cell, _ = state
        ahead, (hidden, cell) = self._run_ahead(heard[:count], hidden, cell)
        if look_ahead is None:
            back = self.back(heard.flip(0))[0].flip(0)[:count]
        else:
            windows = heard.unfold(0, look_ahead + 1, 1).permute(3, 0, 1, 2).flip(0)  # [R + 1, count, B, E]
            back = self.back(windows[:, :count].flatten(1, 2))[0][-1].unflatten(0, (count, -1))
        return self._logits(ahead, back), (hidden, cell, heard[count:])

    def _run_ahead(self, heard: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        if len(heard) != 1:
            return self.ahead(heard, (hidden, cell))  # type: ignore[no-any-return]
        # Live, frame by frame: the bare cell costs a third of the whole machinery.
        lstm = self.ahead
        weights = lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0
        hidden, cell = torch.lstm_cell(heard[0], (hidden[0], cell[0]), *weights)
        return hidden[None], (hidden[None], cell[None])

    def _logits(self, ahead: Tensor, back: Tensor) -> Tensor:
        """Hidden states of both directions [T, B, U] to logits [B, T]."""
        return self.out(torch.cat([ahead, back], dim=2))[..., 0].T

    def forward(self, heard: Tensor, look_ahead: int | None, chunk: int) -> Tensor:
        """Logits [B, T'] of an excerpt, for training; windows as in ``HPPNet.forward``."""
        if look_ahead is None:
            return self._logits(self.ahead(heard)[0], self.back(heard.flip(0))[0].flip(0))
        windows = heard.unfold(0, chunk + look_ahead, chunk).permute(3, 0, 1, 2)  # [chunk + R, n, B, E]
        n = windows.shape[1]
        back = self.back(windows.flatten(1, 2).flip(0))[0].flip(0)[:chunk]
        back = back.unflatten(1, (n, -1)).transpose(0, 1).flatten(0, 1)
        return self._logits(self.ahead(heard[: n * chunk])[0], back)
