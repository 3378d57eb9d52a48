"""Runs the heads over whole windows: forwards from the end of the last window, backwards from their own end.

The key heads use PyTorch's own LSTMs and batch several recordings with windows of any lengths.
Letters: B recordings, T frames, P keys, C features, H heads, G gates of the pedal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .config import HEADS, PAST
from .lstm import LibraryLSTM, State
from .network import HPPNet
from .pedal import PedalState
from .timebase import KEYS


class FullContext:
    """Runs a network's heads for the first ``counts`` frames of each row: all of an ``ending`` row."""

    def __init__(self, network: HPPNet, half: bool = False) -> None:
        """``half``: bf16 for the velocity head; all other heads carry a state and stay in fp32."""
        self._network, self._half = network, half
        self._forward_lstm = LibraryLSTM(network.forward_lstm)
        self._backward_lstm = LibraryLSTM(network.backward_lstm)
        self._weights = network.output_weights

    def keys(
        self,
        rows: Sequence[Tensor],
        counts: Sequence[int],
        ending: Sequence[bool],
        states: Sequence[State],
        histories: Sequence[Tensor],
    ) -> tuple[Tensor, list[State]]:
        """Probabilities [B, T, P, 4] from features [PAST + T, P, C] per row, and the forward LSTMs' states.

        ``histories`` are the velocity head's summaries of each row, [1, MEMORY + T, P + 3].

        Rows of different lengths run in one batch. Frames beyond a row's end are never read. Backwards, each
        row begins at its own end, because rows are reversed one by one.
        """
        wholes, rows = rows, [x[PAST:] for x in rows]
        predicted = [x[:n] for x, n in zip(rows, counts, strict=True)]
        # A recording's last window may be longer than the windows of continuing rows: hence two stretches.
        window = min((n for n, last in zip(counts, ending, strict=True) if not last), default=max(counts))
        forward, after = self.forward(predicted, window, states)
        logits = (forward + self.backward(rows, counts)).permute(2, 1, 3, 0) + self._network.bias
        out = logits.new_zeros(*logits.shape[:3], len(HEADS))
        with torch.autocast(logits.device.type, torch.bfloat16, enabled=self._half):
            for row, (history, x, count) in enumerate(zip(histories, wholes, counts, strict=True)):
                if count:
                    one = logits[row : row + 1, :count]
                    out[row, :count] = self._network.probabilities(one, history, x, None)[0]
        return out, after

    def forward(
        self, rows: Sequence[Tensor], window: int, states: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        """Projected forward states [H, T, B, P] of rows [T, P, C], and the states of continuing rows."""
        weight, after = self._weights[0], list(states)
        out = rows[0].new_zeros(len(self._network.weight), max(map(len, rows)), len(rows), KEYS)
        for first, stop in ((0, window), (window, max(map(len, rows)))):
            going = [number for number, x in enumerate(rows) if len(x) > first]
            if going:
                x = _stacked([rows[number][first:stop] for number in going])
                state = tuple(torch.cat([after[n][part] for n in going], dim=1) for part in (0, 1))
                projected, (hidden, cell) = self._forward_lstm.advance(
                    x.flatten(1, 2), (state[0], state[1]), weight
                )
                out[:, first : first + len(x), going] = projected.unflatten(2, (len(going), KEYS))
                for place, number in enumerate(going):
                    own = slice(place * KEYS, (place + 1) * KEYS)
                    after[number] = (hidden[:, own].clone(), cell[:, own].clone())
        return out, after

    def backward(self, rows: Sequence[Tensor], counts: Sequence[int]) -> Tensor:
        """Projected backward states [H, T, B, P] of the first ``counts`` frames of rows [T, P, C]."""
        out = rows[0].new_zeros(len(self._network.weight), max(counts), len(rows), KEYS)
        if not max(map(len, rows)):
            return out
        turned = _stacked([x.flip(0) for x in rows]).flatten(1, 2)
        projected, _ = self._backward_lstm.advance(
            turned, self._network.backward_lstm.start(turned.shape[1]), self._weights[1]
        )
        for number, (x, count) in enumerate(zip(rows, counts, strict=True)):
            own = projected[:, : len(x)].unflatten(2, (len(rows), KEYS))[:, :, number]
            out[:, :count, number] = own.flip(1)[:, :count]
        return out

    def pedal(
        self,
        gates: Sequence[Tensor],
        counts: Sequence[int],
        ending: Sequence[bool],
        states: Sequence[PedalState | None],
    ) -> tuple[Tensor | None, list[PedalState | None]]:
        """The pedal's probabilities [B, T] from gates [T, 1, G] of each row, and its states.

        Ending rows are predicted separately, with gates of -inf after their ends: these keep the backward
        unit at zero, and no later window uses the forward state.
        """
        head = self._network.pedal
        if head is None:
            return None, list(states)
        out = gates[0].new_zeros(len(gates), max(counts))
        after_all = list(states)
        for last in (False, True):
            group = [number for number, own in enumerate(ending) if own == last]
            count = max((counts[number] for number in group), default=0)
            if count:
                x = _stacked([gates[number][:, 0] for number in group], float("-inf"))
                before = [cast("PedalState", states[number]) for number in group]
                hidden, cell = (torch.cat([state[part] for state in before], dim=1) for part in (0, 1))
                logits, after = head.predict(x, (hidden, cell, x[:0]), count, None)
                out[group, :count] = torch.sigmoid(logits)
                for place, number in enumerate(group):
                    own = slice(place, place + 1)
                    hidden, cell, rest = (part[:, own].clone() for part in after)
                    after_all[number] = (hidden, cell, rest)
        return out, after_all


def _stacked(rows: Sequence[Tensor], after: float = 0.0) -> Tensor:
    """Stacks rows [T, ...] of several lengths to [T, B, ...], padded with ``after``."""
    return nn.utils.rnn.pad_sequence(list(rows), padding_value=after)
