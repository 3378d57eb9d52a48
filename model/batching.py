"""Streams of several listeners computed together: all that wait at the same moment are one batch.

A batched step costs less than one step after the other, and on a GPU not much more than a single one. Each
stream keeps its own state, so streams may come, go and sleep as they like; the numbers differ from those
of a stream alone by rounding only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from .frontend import FrontEnd, front_end_of
from .network import PIECE_FRAMES, HPPNet, NetworkState, Predictions
from .notes import Event
from .pedal import PedalState
from .stream import Stream, Watch
from .timebase import frames_for_latency
from .transcriber import DEFAULT_LATENCY_MS, Transcriber


class SharedStream(Stream):
    """A Stream whose frames wait for ``step_together``: ``feed`` gives nothing, ``collect`` what came of it.

    ``flush`` and ``reset`` need no other stream and act at once.
    """

    def __init__(self, network: HPPNet, front_end: FrontEnd, *rest: Any) -> None:
        self.front_end = front_end
        super().__init__(network, front_end, *rest)

    def reset(self) -> None:
        super().reset()
        self._events: list[Event] = []
        self._fault: Exception | None = None

    @property
    def waiting_frames(self) -> int:
        return self._spectra.waiting_frames

    def feed(self, block: object) -> list[Event]:
        """Takes a block of samples [n] as Stream does. Always an empty list: see ``collect``."""
        self._spectra.keep(block)
        return []

    def collect(self) -> list[Event]:
        """The events of the steps since the last call. Raises what decoding them raised."""
        events, self._events = self._events, []
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return events

    def flush(self) -> list[Event]:
        return self.collect() + super().flush()  # which hears what still waits


def shared_stream(
    transcriber: Transcriber,
    latency_ms: float = DEFAULT_LATENCY_MS,
    sample_rate: int = 48_000,
    watch: Watch | None = None,
) -> SharedStream:
    """As ``Transcriber.stream``, to be computed with others. Raises ValueError likewise."""
    front_end = transcriber.config.front_end
    look_ahead = frames_for_latency(latency_ms, front_end.look_ahead)
    return SharedStream(
        transcriber.network,
        front_end_of(front_end),
        transcriber.config.decoder,
        look_ahead,
        sample_rate,
        watch,
    )


@torch.inference_mode()
def step_together(streams: Iterable[SharedStream]) -> None:
    """Computes all frames that wait in streams of one network, as few batches as may be.

    What goes wrong in decoding one stream is raised by its ``collect`` and does not disturb the others.
    """
    waiting = [stream for stream in streams if stream.waiting_frames]
    while waiting:
        groups: dict[tuple[FrontEnd, int, int, int], list[SharedStream]] = {}
        for stream in waiting:
            frames = min(PIECE_FRAMES, stream.waiting_frames)
            key = (stream.front_end, stream.look_ahead, frames, stream._state.gates.shape[1])
            groups.setdefault(key, []).append(stream)
        for (_, _, frames, _), group in groups.items():
            for part in _affordable(group, frames):
                _step(part, frames)
        waiting = [stream for stream in waiting if stream.waiting_frames]


def _affordable(group: Sequence[SharedStream], frames: int) -> list[Sequence[SharedStream]]:
    """On a processor no more frames at once than stay in its cache; elsewhere all of them."""
    device = group[0]._network.bias.device
    most = max(1, PIECE_FRAMES // frames) if device.type == "cpu" else len(group)
    return [group[first : first + most] for first in range(0, len(group), most)]


def _step(streams: Sequence[SharedStream], frames: int) -> None:
    """The next ``frames`` frames of streams with one look-ahead and as many frames without their future."""
    network, look_ahead = streams[0]._network, streams[0].look_ahead
    spectra = streams[0].front_end.frames(torch.stack([stream._spectra.cut(frames) for stream in streams]))
    state = joined([stream._state for stream in streams])
    predictions, state = network.step(spectra.to(network.bias.device), state, look_ahead)
    # Once for all.
    keys, pedal = predictions.keys.cpu(), None if predictions.pedal is None else predictions.pedal.cpu()
    for number, (stream, own) in enumerate(zip(streams, parted(state, len(streams)), strict=True)):
        stream._state = own
        try:
            own_pedal = None if pedal is None else pedal[number : number + 1]
            stream._events += stream._decode(Predictions(keys[number : number + 1], own_pedal))
        except Exception as error:  # what watches a stream may refuse its numbers
            stream._fault = error


def joined(states: Sequence[NetworkState]) -> NetworkState:
    """States of one stream each as the state of a batch."""
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
    """The state of a batch as ``count`` states of one stream each."""
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
