"""Computes several streams together: all frames that wait at one moment, in as few batches as is worthwhile.

On a GPU a batched step costs little more than a single one; engines set their largest useful batch. Each
stream keeps its own state and may start, pause and end at any time. Results differ from those of a stream
alone by rounding at most.
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
    """A Stream whose frames wait for ``step_together``. ``collect``, not ``feed``, returns the events.

    ``flush`` and ``reset`` act at once, without other streams.
    """

    def __init__(self, engine: StreamEngine, *rest: Any) -> None:
        self.engine = engine
        super().__init__(engine, *rest)

    def reset(self) -> None:
        """As ``Stream.reset``; events that were not collected are dropped."""
        super().reset()
        self._events: list[Event] = []
        self._fault: Exception | None = None

    @property
    def waiting_frames(self) -> int:
        """The number of frames that ``step_together`` would compute."""
        return self._frames.waiting_frames

    @property
    def missing_s(self) -> float:
        """Seconds of sound still missing until ``step_together`` can compute a frame."""
        return self._frames.missing_s

    def feed(self, block: object) -> list[Event]:
        """Takes a block of samples [n] as Stream does. Returns an empty list: see ``collect``."""
        self._frames.keep(block)
        return []

    def collect(self) -> list[Event]:
        """The events of the steps since the last call. Raises any exception from decoding them."""
        events, self._events = self._events, []
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault
        return events

    def flush(self) -> list[Event]:
        """The events that were not collected, then those of ``Stream.flush``."""
        return self.collect() + super().flush()  # also computes the waiting frames


def shared_stream(
    transcriber: Transcriber,
    latency_ms: float = DEFAULT_LATENCY_MS,
    sample_rate: int = 48_000,
    watch: Watch | None = None,
) -> SharedStream:
    """As ``Transcriber.stream``, but for ``step_together``. Raises ValueError likewise."""
    config = transcriber.config
    look_ahead = frames_for_latency(latency_ms, config.front_end.look_ahead)
    engine = stream_engine(transcriber.network, config.front_end, look_ahead)
    return SharedStream(engine, config.decoder, sample_rate, watch)


def step_together(streams: Iterable[SharedStream]) -> None:
    """Computes all waiting frames of streams, in as few batches as is worthwhile.

    An exception from decoding one stream is raised by its ``collect`` and does not affect other streams.
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
    """Computes the next ``frames`` frames of streams with one engine and states of one kind."""
    samples = np.stack([stream._frames.cut(frames) for stream in streams])
    found, states = engine.step(samples, [stream._state for stream in streams])
    for stream, probable, state in zip(streams, found, states, strict=True):
        stream._state = state
        try:
            stream._events += stream._decode(probable)
        except Exception as error:  # a ``watch`` function may raise
            stream._fault = error
