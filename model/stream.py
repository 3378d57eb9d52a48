"""Sound in, events out: a live stream, and a whole recording window by window.

Either takes blocks of any size and is one thread's. A stream predicts every frame with R frames of future:
its notes are the same whatever the sizes. A recording is predicted with all the future that helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from .config import DecoderConfig
from .decoder import Decoder, Probable
from .engines import StreamEngine, WindowEngine
from .expectation import Expectation, Sounded, check_within
from .frames import Frames, Row, Slices
from .frontend import FrontEndConfig
from .notes import Event
from .timebase import FRAME_S, FRAMES_PER_SECOND

#: Is shown every block of probabilities [T, 88, 4], or of the pedal's [T].
Watch = Callable[[np.ndarray], None]
#: Is told events, and the seconds of sound after which they were known; None: after the whole recording.
WatchEvents = Callable[[list[Event], float | None], None]


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
        self._decoder = Decoder(decoder.at(engine.look_ahead))
        self._watch, self._watch_pedal = watch, watch_pedal
        self.watch_events: WatchEvents | None = None  #: is told what ``feed`` and ``flush`` give
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
        self._predicted = 0
        self._expectation: Expectation | None = None

    def feed(self, block: object) -> list[Event]:
        """Events that a block of mono samples [n] (float, -1 to 1, at ``sample_rate``) completes.

        Raises TypeError or ValueError for other input, and then has not taken any of it.
        """
        self._frames.keep(block)
        return self._compute()

    def flush(self) -> list[Event]:
        """The events still owed, as if silence followed, and the ends of what sounds. Then ``reset``."""
        self._frames.end(self.look_ahead)
        events = self._compute(self._frames.total_frames)
        ends = self._decoder.flush()
        if ends and self.watch_events is not None:
            self.watch_events(ends, self._frames.duration_s)
        return events + ends

    def expect(self, pitches: Iterable[int], within_s: float) -> None:
        """Keys that are to be played next, MIDI pitches 21 to 108; twice for two strokes.

        Until ``within_s`` seconds of sound more were fed, or they are played, they are detected earlier and
        when they are softer; ``expected`` tells what was found. Strokes whose sound was fed less than
        ``latency_s`` ago count too. What ``feed`` returns does not change.

        Raises ValueError, and then expects nothing new.
        """
        expectation = self._expectation or Expectation(self._decoder.config)
        expectation.expect(pitches, self._frames.duration_s + check_within(within_s))
        self._expectation = expectation

    def expected(self) -> list[Sounded]:
        """(pitch, time_s, wanted) of each key that was found since the last call.

        Keys that were expected are found 20 to 60 ms before ``feed`` returns their NoteOn; the others, not
        wanted, when ``feed`` returns it. Empty before ``expect`` is first called, and after ``reset``.
        """
        return [] if self._expectation is None else self._expectation.take()

    def _compute(self, total: int | None = None) -> list[Event]:
        events: list[Event] = []
        while frames := min(self._engine.most_frames, self._frames.waiting_frames):
            samples = self._frames.cut(frames)[None]
            (probable,), (self._state,) = self._engine.step(samples, [self._state])
            events.extend(self._decode(probable, total))
        return events

    def _decode(self, probable: Probable, total: int | None = None) -> list[Event]:
        """Events of a step's probabilities; of those before frame ``total`` alone, if given."""
        keys, pedal = probable
        owed = len(keys) if total is None else min(len(keys), total - self._predicted)
        keys, pedal = keys[:owed], None if pedal is None else pedal[:owed]
        show(keys, self._watch)
        show(pedal, self._watch_pedal)
        events = self._decoder.feed_frames(keys, pedal)
        if self._expectation is not None:
            self._expectation.feed(self._predicted, keys, events)
        if self.watch_events is not None:
            # At the end no more sound is waited for.
            self._tell(self.watch_events, events, math.inf if total is None else self._frames.duration_s)
        self._predicted += owed
        return [event for known in events for event in known]

    def _tell(self, watch: WatchEvents, events: list[list[Event]], latest_s: float) -> None:
        """Tells the events of the frames from number ``_predicted`` on."""
        for frame, known in enumerate(events, self._predicted):
            if known:
                watch(known, min(latest_s, (frame - 1) * FRAME_S + self.latency_s))


def show(probabilities: np.ndarray | None, watch: Watch | None) -> None:
    """To whoever watches, if there is something to see."""
    if probabilities is not None and watch is not None:
        watch(probabilities)


class RecordingStream:
    """Sound in, in blocks of any size; events out, a window at a time: as Stream, with all the context.

    Windows of ``window_s``, each with the context of ``windows`` behind it to begin the backward LSTMs in;
    the forward LSTMs run through. Memory is bounded by the window, not by the recording.
    """

    def __init__(
        self,
        windows: WindowEngine,
        front_end: FrontEndConfig,
        decoder: DecoderConfig,
        sample_rate: int,
        watch: Watch | None = None,
        window_s: float = 20.0,
        watch_pedal: Watch | None = None,
    ) -> None:
        window = max(1, round(window_s * FRAMES_PER_SECOND))
        self._slices = Slices(front_end, sample_rate, window, windows.context)
        self._windows = windows
        self._past = self._windows.start()
        self._decoder = Decoder(decoder)
        self._watch, self._watch_pedal = watch, watch_pedal
        self.watch_events: WatchEvents | None = None  #: is told what ``feed`` and ``flush`` give

    def feed(self, block: object) -> list[Event]:
        """Events of the windows that a block of samples [n] completes; they may come seconds later."""
        return [event for sound in self._slices.take(block) for event in self._predict(sound, last=False)]

    def flush(self) -> list[Event]:
        """All events still owed."""
        events = [event for sound, last in self._slices.rest() for event in self._predict(sound, last)]
        return events + self._told(self._decoder.flush())

    def _predict(self, sound: np.ndarray, last: bool) -> list[Event]:
        predicted = self._windows.predict([Row(self._past, sound, last)])
        (self._past,) = predicted.pasts
        ((keys, pedal),) = predicted.wait()
        show(keys, self._watch)
        show(pedal, self._watch_pedal)
        return self._told(self._decoder.feed(keys, pedal))

    def _told(self, events: list[Event]) -> list[Event]:
        if events and self.watch_events is not None:
            self.watch_events(events, None)
        return events
