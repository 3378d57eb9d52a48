"""Runs streams and windows of recordings with PyTorch: on a GPU, and as the reference for ONNX Runtime.

Whole recordings are predicted in windows, many recordings in one batch, each with its own context and state.
``Slices`` cuts the sound, ``TorchWindows`` runs the network over as many recordings as fit, and one
``Decoder`` per recording receives the probabilities. ``RecordingStream`` does all this for one recording.
Letters: B recordings or streams, T frames, P keys, C features.

        a recording   |-- 20 s predicted --|- 5 s context -|
                                           |-- 20 s predicted --|- 5 s context -|
                                                                |-- the rest, predicted to its end --|
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .config import PAST
from .decoder import Probable
from .frames import CONTEXT_FRAMES, Row
from .frontend import FrontEndConfig, normal
from .full_context import FullContext
from .lstm import State
from .network import HPPNet, NetworkState
from .pedal import PedalState
from .spectrum import FrontEnd, front_end_of
from .timebase import HOP, KEYS

MOST_FRAMES = 25  #: frames of a stream in one step
PIECE_FRAMES = 250  #: frames of each recording that pass the convolutions at once


@dataclass(frozen=True)
class TorchStreams:
    """Runs a network for streams with a look-ahead of R frames."""

    network: HPPNet
    front_end: FrontEndConfig
    look_ahead: int
    most_frames: int = MOST_FRAMES

    @cached_property
    def _transform(self) -> FrontEnd:
        return front_end_of(self.front_end, self.network.bias.device)

    def start(self) -> NetworkState:
        """The state before the first frame."""
        with torch.inference_mode():
            return self.network.start()

    def kind(self, state: NetworkState) -> Hashable:
        """The number of waiting frames: streams with equal numbers may form a batch."""
        return state.gates.shape[1]

    def most_streams(self, frames: int) -> int:
        """Unlimited."""
        return 2**31

    @torch.inference_mode()
    def step(
        self, samples: np.ndarray, states: Sequence[NetworkState]
    ) -> tuple[list[Probable], list[NetworkState]]:
        """As ``StreamEngine.step``; the numbers differ from those of a single stream by rounding."""
        spectra = self._transform.frames(torch.from_numpy(samples).to(self.network.bias.device))
        predictions, state = self.network.step(spectra, joined(states), self.look_ahead)
        keys = predictions.keys.cpu().numpy()  # one copy for all streams
        pedal = None if predictions.pedal is None else predictions.pedal.cpu().numpy()
        found: list[Probable] = [
            (own, None if pedal is None else pedal[number]) for number, own in enumerate(keys)
        ]
        return found, parted(state, len(states))


def joined(states: Sequence[NetworkState]) -> NetworkState:
    """Joins the states of single streams to the state of a batch."""
    if len(states) == 1:
        return states[0]
    pasts = tuple(torch.cat(past) for past in zip(*(state.pasts for state in states), strict=True))
    hidden, cell = (torch.cat([state.forward[part] for state in states], dim=1) for part in (0, 1))
    pedals = [state.pedal for state in states if state.pedal is not None]
    pedal = cast("PedalState", tuple(torch.cat(part, dim=1) for part in zip(*pedals, strict=True)))
    return NetworkState(
        pasts,
        (hidden, cell),
        torch.cat([state.features for state in states], dim=1),
        torch.cat([state.gates for state in states], dim=2),
        torch.cat([state.history for state in states]),
        pedal or None,
    )


def parted(state: NetworkState, count: int) -> list[NetworkState]:
    """Splits the state of a batch into ``count`` states of single streams."""
    if count == 1:
        return [state]
    pasts = zip(*(past.chunk(count) for past in state.pasts), strict=True)
    parts: list[Sequence[Tensor]] = [part.chunk(count, dim=1) for part in (*state.forward, state.features)]
    parts += [state.gates.chunk(count, dim=2), state.history.chunk(count)]
    pedals = [part.chunk(count, dim=1) for part in state.pedal or ()]
    pedal = cast("list[PedalState | None]", list(zip(*pedals, strict=True)) or [None] * count)
    return [
        NetworkState(own, (hidden, cell), features, gates, history, own_pedal)
        for own, hidden, cell, features, gates, history, own_pedal in zip(pasts, *parts, pedal, strict=True)
    ]


@dataclass(frozen=True)
class TorchPast:
    """The state of a recording between two windows. Immutable."""

    pasts: tuple[Tensor, ...]  #: earlier frames [1, C, past, bins], one tensor per causal convolution
    forward: State  #: hidden and cell state of the forward LSTMs, each [H, P, U]
    waiting: Tensor  #: features [PAST + T, P, C]: PAST frames, then the context, which is not predicted yet
    history: Tensor  #: the velocity head's summaries, context included [1, MEMORY + T, P + 3]
    pedal: PedalState | None = None  #: state of the pedal head, with its gates of the context


class NewFrames(NamedTuple):
    """The heads' inputs for new frames of each row. Lists of a head that the network lacks are empty."""

    features: list[Tensor]  #: [T, P, C]
    histories: list[Tensor]  #: summaries of waiting and new frames, for velocities [1, MEMORY + T, P + 3]
    pedal: list[Tensor]  #: gates of waiting and new frames [T, 1, G]; empty without the head
    pasts: list[tuple[Tensor, ...]]  #: the convolutions' pasts for the next frames


class TorchPredictions:
    """Probabilities being copied from the device, and the pasts for the next windows."""

    def __init__(
        self, keys: Tensor, pedal: Tensor | None, counts: Sequence[int], pasts: list[TorchPast]
    ) -> None:
        """Probabilities [B, T, 88, 4] and [B, T], of which the first ``counts`` of each row are predicted."""
        self.pasts = pasts
        self._counts = counts
        self._keys = _on_its_way(keys)
        self._pedal = None if pedal is None else _on_its_way(pedal)
        self._done = torch.cuda.Event() if keys.device.type == "cuda" else None
        if self._done is not None:
            self._done.record()

    @property
    def ready(self) -> bool:
        """Whether ``wait`` returns at once."""
        return self._done is None or self._done.query()

    def wait(self) -> list[Probable]:
        """For each row, the probabilities of its predicted frames."""
        if self._done is not None:
            self._done.synchronize()
        pedal = self._pedal
        return [
            (self._keys[row, :count].numpy(), None if pedal is None else pedal[row, :count].numpy())
            for row, count in enumerate(self._counts)
        ]


def _on_its_way(values: Tensor) -> Tensor:
    """A copy in the CPU's memory; from a GPU it is transferred while the next batch is prepared."""
    if values.device.type != "cuda":
        return values.cpu()
    there = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return there.copy_(values, non_blocking=True)


class TorchWindows:
    """Runs a network for windows of several recordings at once. ``half`` selects bf16."""

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
    def start(self) -> TorchPast:
        """The past before a recording's first window."""
        state = self.network.start()
        return TorchPast(state.pasts, state.forward, state.features, state.history, state.pedal)

    @torch.inference_mode()
    def predict(self, rows: Sequence[Row]) -> TorchPredictions:
        """Predicts one window of each recording. Pasts are not changed: rows may be retried after a failure.

        Raises MemoryError if the device has too little memory for so many rows.
        """
        try:
            return self._predict(rows)
        except torch.OutOfMemoryError:
            pass
        if self.device.type == "cuda":  # outside the handler, which keeps the failed batch's memory
            torch.cuda.empty_cache()
        raise MemoryError("the device has too little memory for so many windows")

    def _predict(self, rows: Sequence[Row]) -> TorchPredictions:
        frames = [self._frames(row.sound) for row in rows]
        new = self._convolve(self._spectra(rows, frames), frames, [row.past for row in rows])
        whole = [torch.cat([row.past.waiting, x]) for row, x in zip(rows, new.features, strict=True)]
        counts = [
            len(x) - PAST - (0 if row.last else self.context) for row, x in zip(rows, whole, strict=True)
        ]
        ending = [row.last for row in rows]
        states = [row.past.forward for row in rows]
        keys, forward = self._full_context.keys(whole, counts, ending, states, new.histories)
        pedal, pedal_states = self._full_context.pedal(
            new.pedal, counts, ending, [row.past.pedal for row in rows]
        )
        after = [
            TorchPast(past, state, x[count:].clone(), history[:, count:].clone(), pedal_state)
            for past, state, x, history, count, pedal_state in zip(
                new.pasts, forward, whole, new.histories, counts, pedal_states, strict=True
            )
        ]
        return TorchPredictions(keys, pedal, counts, after)

    def _frames(self, sound: np.ndarray) -> int:
        if sound.ndim == 2:
            return len(sound)
        return (len(sound) - self.span) // HOP + 1 if len(sound) else 0

    def _spectra(self, rows: Sequence[Row], frames: Sequence[int]) -> Tensor:
        """Log power [B, T, 352] on the device; frames after a row's end are never read."""
        samples = [row.sound if row.sound.ndim == 1 else row.sound[:0, 0] for row in rows]
        longest = max(len(sound) for sound in samples)
        spectra = self._front_end.frames(self._moved(samples, longest))
        spectra = F.pad(spectra, (0, 0, 0, max(frames) - spectra.shape[1]))
        for number, row in enumerate(rows):
            if row.sound.ndim == 2:
                spectra[number, : frames[number]] = torch.from_numpy(row.sound).to(self.device)
        return spectra

    def _moved(self, samples: Sequence[np.ndarray], longest: int) -> Tensor:
        """Samples [B, n] on the device, via pinned memory that the GPU reads without the CPU."""
        batch = torch.zeros(len(samples), longest, pin_memory=self.device.type == "cuda")
        for number, sound in enumerate(samples):
            batch[number, : len(sound)] = torch.from_numpy(sound)
        return batch.to(self.device, non_blocking=True)

    def _convolve(self, spectra: Tensor, frames: Sequence[int], before: Sequence[TorchPast]) -> NewFrames:
        """Runs the convolutions over the first ``frames`` frames of each row of spectra [B, T, 352]."""
        parts: list[list[Tensor]] = [[row.waiting[:0]] for row in before]
        gates: list[list[Tensor]] = [[] if row.pedal is None else [row.pedal[2]] for row in before]
        histories: list[list[Tensor]] = [[row.history] for row in before]
        pasts = [row.pasts for row in before]
        for first in range(0, max(frames), PIECE_FRAMES):
            going = [number for number, count in enumerate(frames) if count > first]
            levels = normal(spectra[going, first : first + PIECE_FRAMES])
            batch = tuple(torch.cat(past) for past in zip(*(pasts[n] for n in going), strict=True))
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
                new, batch = self.network.features(levels, batch)
            pedal = None if self.network.pedal is None else self.network.pedal.input_gates(new, levels)
            summary = self.network.velocity.summarise(levels)
            new = new.float().unflatten(1, (len(going), KEYS))
            for place, number in enumerate(going):
                own = frames[number] - first
                parts[number].append(new[:own, place])
                pasts[number] = tuple(past[place : place + 1] for past in batch)
                histories[number].append(summary[place : place + 1, :own])
                if pedal is not None:
                    gates[number].append(pedal[:own, place : place + 1])
        return NewFrames(
            [torch.cat(part) for part in parts],
            [torch.cat(part, dim=1) for part in histories],
            [torch.cat(part) for part in gates if part],
            pasts,
        )
