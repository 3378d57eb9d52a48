"""Windows of many recordings judged as one batch, each with its own context and its own state.

The same as ``Recording`` does with one file, in parts that may live in different processes: ``Slices`` cuts
the sound, ``Windows`` runs the network over as many recordings as fit, and the probabilities go on to a
``Decoder`` each. Letters: B recordings, T frames, P keys, C features, H heads, U units.

        a recording   |-- 20 s judged --|- 5 s context -|
                                        |-- 20 s judged --|- 5 s context -|
                                                          |-- the rest, judged to its end --|
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frontend import FrontEnd, FrontEndConfig
from .library_lstm import LibraryLSTM
from .lstm import State
from .network import HPPNet
from .pedal import PedalState
from .slices import CONTEXT_FRAMES, WINDOW_FRAMES
from .stream import PIECE_FRAMES, Probable
from .timebase import HOP, KEYS

#: Frames of every recording that go through the convolutions at once on a GPU. Divides both of the above.
GPU_PIECE_FRAMES = 250


@dataclass(frozen=True)
class Past:
    """What is remembered of a recording between two windows; a value, never changed in place."""

    pasts: tuple[Tensor, ...]  #: earlier frames [1, C, past, bins], one tensor a causal convolution
    forward: State  #: of the forward LSTMs, each [H, P, U]
    waiting: Tensor  #: features [T, P, C] of the context, not judged yet
    pedal: PedalState | None = None  #: of the pedal's head, with what it heard in the context


@dataclass(frozen=True)
class Row:
    """One recording's part of a batch."""

    past: Past
    sound: Tensor  #: samples [n] as ``Slices`` cuts them, or their spectra [T, 352]
    last: bool


class Judged:
    """Probabilities on their way from the device, and the pasts that the next windows need."""

    def __init__(self, keys: Tensor, pedal: Tensor | None, counts: Sequence[int], pasts: list[Past]) -> None:
        """Probabilities [B, T, 88, 4] and [B, T], of which the first ``counts`` of each row are judged."""
        self.pasts = pasts
        self._counts = counts
        self._keys = _on_its_way(keys)
        self._pedal = None if pedal is None else _on_its_way(pedal)
        self._done = torch.cuda.Event() if keys.device.type == "cuda" else None
        if self._done is not None:
            self._done.record()

    @property
    def ready(self) -> bool:
        """Whether ``wait`` would not have to."""
        return self._done is None or self._done.query()

    def wait(self) -> list[Probable]:
        """For each row those of the frames it judged."""
        if self._done is not None:
            self._done.synchronize()
        pedal = self._pedal
        return [
            (self._keys[row, :count].numpy(), None if pedal is None else pedal[row, :count].numpy())
            for row, count in enumerate(self._counts)
        ]


def _on_its_way(values: Tensor) -> Tensor:
    """A copy on the processor's side; from a GPU it comes while the next batch is prepared."""
    if values.device.type != "cuda":
        return values.cpu()
    there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return there.copy_(values, non_blocking=True)


class Windows:
    """The network of a transcriber, for windows of several recordings at once. ``half`` convolves in bf16."""

    def __init__(self, network: HPPNet, front_end: FrontEndConfig, half: bool = False) -> None:
        self.network, self.half = network, half
        self.device = network.bias.device
        self._front_end = FrontEnd(front_end, self.device)
        on_gpu = self.device.type != "cpu"
        self._piece = GPU_PIECE_FRAMES if on_gpu else PIECE_FRAMES
        self._abreast = on_gpu  # on a processor one at a time: more would fall out of its cache
        self._ahead, self._back = LibraryLSTM(network.ahead), LibraryLSTM(network.back)

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""
        return self._front_end.span

    @torch.inference_mode()
    def start(self) -> Past:
        """The past before a recording's first window."""
        state = self.network.start()
        return Past(state.pasts, state.forward, state.waiting, state.pedal)

    @torch.inference_mode()
    def judge(self, rows: Sequence[Row]) -> Judged:
        """One window of each recording. Pasts are not changed: after a failure the rows may be tried again.

        Raises torch.OutOfMemoryError when the device is too small for so many.
        """
        frames = [self._frames(row.sound) for row in rows]
        new, heard, pasts = self._features(self._spectra(rows, frames), frames, [row.past for row in rows])
        whole = [torch.cat([row.past.waiting, x]) for row, x in zip(rows, new, strict=True)]
        for row, x in zip(rows, whole, strict=True):
            assert row.last or len(x) == WINDOW_FRAMES + CONTEXT_FRAMES, f"a window of {len(x)} frames"
        counts = [len(x) if row.last else WINDOW_FRAMES for row, x in zip(rows, whole, strict=True)]
        keys, forward = self._weigh(whole, counts, [row.past.forward for row in rows])
        pedal, pedal_states = self._judge_pedal(rows, heard, counts)
        after = [
            Past(past, state, x[count:].clone(), pedal_state)
            for past, state, x, count, pedal_state in zip(
                pasts, forward, whole, counts, pedal_states, strict=True
            )
        ]
        return Judged(keys, pedal, counts, after)

    def _frames(self, sound: Tensor) -> int:
        if sound.ndim == 2:
            return len(sound)
        return (len(sound) - self.span) // HOP + 1 if len(sound) else 0

    def _spectra(self, rows: Sequence[Row], frames: Sequence[int]) -> Tensor:
        """Log power [B, T, 352] on the device; rows that are shorter end in what nobody looks at."""
        samples = [row.sound if row.sound.ndim == 1 else row.sound.new_zeros(0) for row in rows]
        longest = max(len(sound) for sound in samples)
        spectra = self._front_end.frames(self._moved(samples, longest))
        spectra = F.pad(spectra, (0, 0, 0, max(frames) - spectra.shape[1]))
        for number, row in enumerate(rows):
            if row.sound.ndim == 2:
                spectra[number, : frames[number]] = row.sound.to(self.device)
        return spectra

    def _moved(self, samples: Sequence[Tensor], longest: int) -> Tensor:
        """Samples [B, n] on the device, by memory that the GPU fetches from without the processor."""
        together = torch.zeros(len(samples), longest, pin_memory=self.device.type == "cuda")
        for number, sound in enumerate(samples):
            together[number, : len(sound)] = sound
        return together.to(self.device, non_blocking=True)

    def _features(
        self, spectra: Tensor, frames: Sequence[int], before: Sequence[Past]
    ) -> tuple[list[Tensor], list[Tensor], list[tuple[Tensor, ...]]]:
        """New features [T, P, C] of each row, what is heard of its pedal [T, 1, E], and its pasts then."""
        parts: list[list[Tensor]] = [[row.waiting[:0]] for row in before]
        heard: list[list[Tensor]] = [[] if row.pedal is None else [row.pedal[2]] for row in before]
        pasts = [row.pasts for row in before]
        for first in range(0, max(frames), self._piece):
            going = [number for number, count in enumerate(frames) if count > first]
            for group in [going] if self._abreast else [[number] for number in going]:
                last = min(first + self._piece, max(frames[number] for number in group))
                piece = spectra[group, first:last]
                joined = tuple(torch.cat(past) for past in zip(*(pasts[n] for n in group), strict=True))
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                    new, joined = self.network.features(piece, joined)
                pedal = None if self.network.pedal is None else self.network.pedal.hear(new, piece)
                new = new.float().unflatten(1, (len(group), KEYS))
                for place, number in enumerate(group):
                    own = frames[number] - first
                    parts[number].append(new[:own, place])
                    pasts[number] = tuple(past[place : place + 1] for past in joined)
                    if pedal is not None:
                        heard[number].append(pedal[:own, place : place + 1])
        return [torch.cat(part) for part in parts], [torch.cat(part) for part in heard if part], pasts

    def _judge_pedal(
        self, rows: Sequence[Row], heard: Sequence[Tensor], counts: Sequence[int]
    ) -> tuple[Tensor | None, list[PedalState | None]]:
        """The pedal's probabilities [B, T] from all that is heard [T, 1, E] of each row, and its states.

        Rows that end are judged apart, with zeros after their ends: from those its backward unit makes
        nothing, and forwards nobody goes on from there.
        """
        head = self.network.pedal
        if head is None:
            return None, [None] * len(rows)
        out = heard[0].new_zeros(len(rows), max(counts))
        states: list[PedalState | None] = [row.past.pedal for row in rows]
        for last in (False, True):
            group = [number for number, row in enumerate(rows) if row.last == last]
            count = max((counts[number] for number in group), default=0)
            if count:
                x = nn.utils.rnn.pad_sequence([heard[number][:, 0] for number in group])
                before = [cast("PedalState", states[number]) for number in group]
                hidden, cell = (torch.cat([state[part] for state in before], dim=1) for part in (0, 1))
                logits, after = head.judge(x, (hidden, cell, x[:0]), count, None)
                out[group, :count] = torch.sigmoid(logits)
                for place, number in enumerate(group):
                    own = slice(place, place + 1)
                    hidden, cell, rest = (part[:, own].clone() for part in after)
                    states[number] = (hidden, cell, rest)
        return out, states

    def _weigh(
        self, rows: Sequence[Tensor], counts: Sequence[int], states: Sequence[State]
    ) -> tuple[Tensor, list[State]]:
        """Probabilities [B, T, P, H] of features [T, P, C] of each row, and the forward LSTMs' states.

        Rows of all lengths run together: what is beyond a row's end is never looked at, and backwards each
        begins at its own end, because it is turned round by itself.
        """
        ahead_weight, back_weight = self.network.weight.split(self.network.config.lstm_units, dim=1)
        ahead, after = self._run_ahead(
            [x[:n] for x, n in zip(rows, counts, strict=True)], states, ahead_weight
        )
        if not max(map(len, rows)):
            return ahead.permute(2, 1, 3, 0), after
        turned = _stacked([x.flip(0) for x in rows]).flatten(1, 2)
        weighed, _ = self._back.weigh(turned, self.network.back.start(turned.shape[1]), back_weight)
        weighed = weighed.unflatten(2, (len(rows), KEYS))  # [H, T, B, P]
        both = ahead.new_zeros(ahead.shape)
        for number, (x, count) in enumerate(zip(rows, counts, strict=True)):
            back = weighed[:, : len(x), number].flip(1)[:, :count]
            both[:, :count, number] = ahead[:, :count, number] + back
        logits = both.permute(2, 1, 3, 0) + self.network.bias
        return torch.sigmoid(logits), after

    def _run_ahead(
        self, rows: Sequence[Tensor], states: Sequence[State], weight: Tensor
    ) -> tuple[Tensor, list[State]]:
        """Weighed forward states [H, T, B, P] of rows [T, P, C], and each row's state after a window.

        A recording's last window may be longer than one that others go on after: hence two stretches.
        """
        after = list(states)
        out = rows[0].new_zeros(len(self.network.weight), max(map(len, rows)), len(rows), KEYS)
        for first, stop in ((0, WINDOW_FRAMES), (WINDOW_FRAMES, WINDOW_FRAMES + CONTEXT_FRAMES)):
            going = [number for number, x in enumerate(rows) if len(x) > first]
            if going:
                x = _stacked([rows[number][first:stop] for number in going])
                state = tuple(torch.cat([after[n][part] for n in going], dim=1) for part in (0, 1))
                weighed, (hidden, cell) = self._ahead.weigh(x.flatten(1, 2), (state[0], state[1]), weight)
                out[:, first : first + len(x), going] = weighed.unflatten(2, (len(going), KEYS))
                for place, number in enumerate(going):
                    own = slice(place * KEYS, (place + 1) * KEYS)
                    after[number] = (hidden[:, own].clone(), cell[:, own].clone())
        return out, after


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    """Rows [T, P, C] of several lengths side by side: [T, B, P, C], zeros after their ends."""
    return nn.utils.rnn.pad_sequence(list(rows))
