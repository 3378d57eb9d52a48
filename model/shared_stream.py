"""Streams of several listeners computed together: all that wait at the same moment, in as few batches as pay.

On a GPU a batched step costs not much more than a single one; what is worth it elsewhere the engine says.
Each stream keeps its own state, so streams may come, go and sleep as they like; the numbers differ from those
of a stream alone by rounding at most.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from .engines import StreamEngine, stream_engine
from .notes import Event
from .stream import Stream, Watch
from .timebase import frames_for_latency
from .transcriber import DEFAULT_LATENCY_MS, Transcriber


class SharedStream(Stream):
    """A Stream whose frames wait for ``step_together``: ``feed`` gives nothing, ``collect`` what came of it.

    ``flush`` and ``reset`` need no other stream and act at once.
    """

    def __init__(self, engine: StreamEngine, *rest: Any) -> None:
        self.engine = engine
        super().__init__(engine, *rest)

    def reset(self) -> None:
        """As Stream's; events that were not collected are gone."""
        super().reset()
        self._events: list[Event] = []
        self._fault: Exception | None = None

    @property
    def waiting_frames(self) -> int:
        """How many frames ``step_together`` would compute."""
        return self._frames.waiting_frames

    @property
    def missing_s(self) -> float:
        """Seconds of sound without which ``step_together`` would compute nothing."""
        return self._frames.missing_s

    def feed(self, block: object) -> list[Event]:
        """Takes a block of samples [n] as Stream does. Always an empty list: see ``collect``."""
        self._frames.keep(block)
        return []

    def collect(self) -> list[Event]:
        """The events of the steps since the last call. Raises what decoding them raised."""
        events, self._events = self._events, []
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return events

    def flush(self) -> list[Event]:
        """As Stream's, after what was not collected."""
        return self.collect() + super().flush()  # which computes what still waits


def shared_stream(
    transcriber: Transcriber,
    latency_ms: float = DEFAULT_LATENCY_MS,
    sample_rate: int = 48_000,
    watch: Watch | None = None,
) -> SharedStream:
    """As ``Transcriber.stream``, to be computed with others. Raises ValueError likewise."""
    config = transcriber.config
    look_ahead = frames_for_latency(latency_ms, config.front_end.look_ahead)
    engine = stream_engine(transcriber.network, config.front_end, look_ahead)
    return SharedStream(engine, config.decoder, sample_rate, watch)


def step_together(streams: Iterable[SharedStream]) -> None:
    """Computes all frames that wait in streams, as few batches as pay.

    What goes wrong in decoding one stream is raised by its ``collect`` and does not disturb the others.
    """
    waiting = [stream for stream in streams if stream.waiting_frames]
    while waiting:
        groups: dict[tuple[StreamEngine, int, Hashable], list[SharedStream]] = {}
        for stream in waiting:
            frames = min(stream.engine.most_frames, stream.waiting_frames)
            key = (stream.engine, frames, stream.engine.kind(stream._state))
            groups.setdefault(key, []).append(stream)
        for (engine, frames, _), group in groups.items():
            most = engine.most_streams(frames)
            for first in range(0, len(group), most):
                _step(engine, group[first : first + most], frames)
        waiting = [stream for stream in waiting if stream.waiting_frames]


def _step(engine: StreamEngine, streams: Sequence[SharedStream], frames: int) -> None:
    """The next ``frames`` frames of streams with one engine and states of one kind."""
    samples = np.stack([stream._frames.cut(frames) for stream in streams])
    found, states = engine.step(samples, [stream._state for stream in streams])
    for stream, probable, state in zip(streams, found, states, strict=True):
        stream._state = state
        try:
            stream._events += stream._decode(probable)
        except Exception as error:  # what watches a stream may refuse its numbers
            stream._fault = error
