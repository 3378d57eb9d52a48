"""Windows of many recordings judged as one batch, each with its own context and its own state.

Whole recordings are judged in parts that may live in different processes: ``Slices`` cuts the sound,
``Windows`` runs the network over as many recordings as fit, and the probabilities go on to a ``Decoder``
each; ``Recording`` does all of it for one. Letters: B recordings, T frames, P keys, C features.

        a recording   |-- 20 s judged --|- 5 s context -|
                                        |-- 20 s judged --|- 5 s context -|
                                                          |-- the rest, judged to its end --|
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .decoder import Probable
from .frontend import FrontEndConfig, normal
from .full_context import FullContext
from .lstm import State
from .network import HPPNet
from .pedal import PedalState
from .slices import CONTEXT_FRAMES, Row
from .spectrum import front_end_of
from .timebase import HOP, KEYS
from .velocity_inputs import PAST

PIECE_FRAMES = 250  #: of every recording that go through the convolutions at once


@dataclass(frozen=True)
class Past:
    """What is remembered of a recording between two windows; a value, never changed in place."""

    pasts: tuple[Tensor, ...]  #: earlier frames [1, C, past, bins], one tensor a causal convolution
    forward: State  #: of the forward LSTMs, each [H, P, U]
    waiting: Tensor  #: features [PAST + T, P, C]: of PAST frames, then of the context, not judged yet
    history: Tensor  #: what the velocity head keeps of the spectrum, [1, MEMORY + T, P + 3], likewise
    pedal: PedalState | None = None  #: of the pedal head, with its gates of the context


class Heard(NamedTuple):
    """What new frames of each row are, to the heads: nothing in the lists of heads that there are not."""

    features: list[Tensor]  #: [T, P, C]
    histories: list[Tensor]  #: for velocities [1, MEMORY + T, P + 3], after what waited
    pedal: list[Tensor]  #: gates [T, 1, G], after what waited; none without the head
    pasts: list[tuple[Tensor, ...]]  #: of the convolutions, for the frames to come


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
    """The network of a transcriber, for windows of several recordings at once. ``half`` is bf16."""

    def __init__(
        self, network: HPPNet, front_end: FrontEndConfig, half: bool = False, context: int = CONTEXT_FRAMES
    ) -> None:
        self.network, self.half, self.context = network, half, context
        self.device = network.bias.device
        self._front_end = front_end_of(front_end, self.device)
        self._full_context = FullContext(network, half)

    @property
    def span(self) -> int:
        """Samples that one frame is computed from."""
        return self._front_end.span

    @torch.inference_mode()
    def start(self) -> Past:
        """The past before a recording's first window."""
        state = self.network.start()
        return Past(state.pasts, state.forward, state.features, state.history, state.pedal)

    @torch.inference_mode()
    def judge(self, rows: Sequence[Row]) -> Judged:
        """One window of each recording. Pasts are not changed: after a failure the rows may be tried again.

        Raises MemoryError when the device is too small for so many.
        """
        try:
            return self._judge(rows)
        except torch.OutOfMemoryError:
            pass
        if self.device.type == "cuda":  # out of the handler: it would hold on to what was begun
            torch.cuda.empty_cache()
        raise MemoryError("the device has too little memory for so many windows")

    def _judge(self, rows: Sequence[Row]) -> Judged:
        frames = [self._frames(row.sound) for row in rows]
        heard = self._hear(self._spectra(rows, frames), frames, [row.past for row in rows])
        whole = [torch.cat([row.past.waiting, x]) for row, x in zip(rows, heard.features, strict=True)]
        counts = [
            len(x) - PAST - (0 if row.last else self.context) for row, x in zip(rows, whole, strict=True)
        ]
        ending = [row.last for row in rows]
        states = [row.past.forward for row in rows]
        keys, forward = self._full_context.keys(whole, counts, ending, states, heard.histories)
        pedal, pedal_states = self._full_context.pedal(
            heard.pedal, counts, ending, [row.past.pedal for row in rows]
        )
        after = [
            Past(past, state, x[count:].clone(), history[:, count:].clone(), pedal_state)
            for past, state, x, history, count, pedal_state in zip(
                heard.pasts, forward, whole, heard.histories, counts, pedal_states, strict=True
            )
        ]
        return Judged(keys, pedal, counts, after)

    def _frames(self, sound: np.ndarray) -> int:
        if sound.ndim == 2:
            return len(sound)
        return (len(sound) - self.span) // HOP + 1 if len(sound) else 0

    def _spectra(self, rows: Sequence[Row], frames: Sequence[int]) -> Tensor:
        """Log power [B, T, 352] on the device; rows that are shorter end in what nobody looks at."""
        samples = [row.sound if row.sound.ndim == 1 else row.sound[:0, 0] for row in rows]
        longest = max(len(sound) for sound in samples)
        spectra = self._front_end.frames(self._moved(samples, longest))
        spectra = F.pad(spectra, (0, 0, 0, max(frames) - spectra.shape[1]))
        for number, row in enumerate(rows):
            if row.sound.ndim == 2:
                spectra[number, : frames[number]] = torch.from_numpy(row.sound).to(self.device)
        return spectra

    def _moved(self, samples: Sequence[np.ndarray], longest: int) -> Tensor:
        """Samples [B, n] on the device, by memory that the GPU fetches from without the processor."""
        together = torch.zeros(len(samples), longest, pin_memory=self.device.type == "cuda")
        for number, sound in enumerate(samples):
            together[number, : len(sound)] = torch.from_numpy(sound)
        return together.to(self.device, non_blocking=True)

    def _hear(self, spectra: Tensor, frames: Sequence[int], before: Sequence[Past]) -> Heard:
        """The convolutions over spectra [B, T, 352], of each row the first ``frames``."""
        parts: list[list[Tensor]] = [[row.waiting[:0]] for row in before]
        gates: list[list[Tensor]] = [[] if row.pedal is None else [row.pedal[2]] for row in before]
        histories: list[list[Tensor]] = [[row.history] for row in before]
        pasts = [row.pasts for row in before]
        for first in range(0, max(frames), PIECE_FRAMES):
            going = [number for number, count in enumerate(frames) if count > first]
            levels = normal(spectra[going, first : first + PIECE_FRAMES])
            joined = tuple(torch.cat(past) for past in zip(*(pasts[n] for n in going), strict=True))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                new, joined = self.network.features(levels, joined)
            pedal = None if self.network.pedal is None else self.network.pedal.project(new, levels)
            summary = self.network.velocity.summarise(levels)
            new = new.float().unflatten(1, (len(going), KEYS))
            for place, number in enumerate(going):
                own = frames[number] - first
                parts[number].append(new[:own, place])
                pasts[number] = tuple(past[place : place + 1] for past in joined)
                histories[number].append(summary[place : place + 1, :own])
                if pedal is not None:
                    gates[number].append(pedal[:own, place : place + 1])
        return Heard(
            [torch.cat(part) for part in parts],
            [torch.cat(part, dim=1) for part in histories],
            [torch.cat(part) for part in gates if part],
            pasts,
        )
