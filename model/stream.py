"""The engine live: sound comes in blocks of any size, and every frame is predicted with R frames of future.

The notes are the same whatever the sizes. A stream is one thread's. Whole recordings: see ``recording``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .config import DecoderConfig
from .decoder import Decoder, Probable
from .engines import StreamEngine
from .frames import Frames
from .notes import Event
from .timebase import FRAME_S

#: Is shown every block of probabilities [T, 88, 4], or of the pedal's [T].
Watch = Callable[[np.ndarray], None]


class Stream:
    """Sound in, events out, ``latency_s`` after they were played."""

    def __init__(
        self,
        engine: StreamEngine,
        decoder: DecoderConfig,
        sample_rate: int,
        watch: Watch | None = None,
        watch_pedal: Watch | None = None,
    ) -> None:
        self.look_ahead, self.sample_rate = engine.look_ahead, sample_rate
        self._engine = engine
        self._frames = Frames(engine.front_end, sample_rate)
        self._decoder = Decoder(decoder)
        self._watch, self._watch_pedal = watch, watch_pedal
        self.reset()

    @property
    def latency_s(self) -> float:
        """Algorithmic latency in seconds: from a frame's centre to the announcement of its onset."""
        return self._frames.latency_s + (self.look_ahead + 1) * FRAME_S

    def reset(self) -> None:
        """As new: forgets all sound and all sounding notes; the next sample is at 0 s."""
        self._frames.reset()
        self._decoder.reset()
        self._state = self._engine.start()
        self._judged = 0

    def feed(self, block: object) -> list[Event]:
        """Events that a block of mono samples [n] (float, -1 to 1, at ``sample_rate``) completes.

        Raises TypeError or ValueError for other input, and then has not taken any of it.
        """
        self._frames.keep(block)
        return self._compute()

    def flush(self) -> list[Event]:
        """The events still owed, as if silence followed, and the ends of what sounds. Then ``reset``."""
        self._frames.end(self.look_ahead)
        return self._compute(self._frames.total_frames) + self._decoder.flush()

    def _compute(self, total: int | None = None) -> list[Event]:
        events: list[Event] = []
        while frames := min(self._engine.most_frames, self._frames.waiting_frames):
            samples = self._frames.cut(frames)[None]
            (probable,), (self._state,) = self._engine.step(samples, [self._state])
            events.extend(self._decode(probable, total))
        return events

    def _decode(self, probable: Probable, total: int | None = None) -> list[Event]:
        """Events of a step's probabilities; of frames up to ``total`` only, if given."""
        keys, pedal = probable
        owed = len(keys) if total is None else min(len(keys), total - self._judged)
        keys, pedal = keys[:owed], None if pedal is None else pedal[:owed]
        self._judged += owed
        show(keys, self._watch)
        show(pedal, self._watch_pedal)
        return self._decoder.feed(keys, pedal)


def show(probabilities: np.ndarray | None, watch: Watch | None) -> None:
    """To whoever watches, if there is something to see."""
    if probabilities is not None and watch is not None:
        watch(probabilities)
