"""Turns sound into events: live streams, and whole recordings window by window.

Both take blocks of any size and belong to one thread. A stream predicts every frame with R frames of
look-ahead, so its notes do not depend on the block sizes. A recording is predicted with full context.
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
from .recording_decoder import RecordingDecoder
from .timebase import FRAME_S, FRAMES_PER_SECOND

#: Receives every block of probabilities [T, 88, 4], or of the pedal's [T].
Watch = Callable[[np.ndarray], None]
#: Receives events and the seconds of sound that were needed to decide them; None: the whole recording.
WatchEvents = Callable[[list[Event], float | None], None]


class Stream:
    """Receives sound and returns events, ``latency_s`` after they were played."""

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
        self.watch_events: WatchEvents | None = None  #: receives the events of ``feed`` and ``flush``
        self.reset()

    @property
    def latency_s(self) -> float:
        """Algorithmic latency in seconds: from a frame's centre until its onset is emitted."""
        return self._frames.latency_s + (self.look_ahead + 1) * FRAME_S

    def reset(self) -> None:
        """Starts anew: drops all sound and all sounding notes; the next sample is at 0 s."""
        self._frames.reset()
        self._decoder.reset()
        self._state = self._engine.start()
        self._predicted = 0
        self._expectation: Expectation | None = None

    def feed(self, block: object) -> list[Event]:
        """Events that a block of mono samples [n] (float, -1 to 1, at ``sample_rate``) completes.

        Raises TypeError or ValueError for other input and uses none of it.
        """
        self._frames.keep(block)
        return self._compute()

    def flush(self) -> list[Event]:
        """The remaining events, as if silence followed, and the ends of sounding notes. Then ``reset``."""
        self._frames.end(self.look_ahead)
        events = self._compute(self._frames.total_frames)
        ends = self._decoder.flush()
        if self._expectation is not None:
            self._expectation.add(ends, self._predicted)
        if ends and self.watch_events is not None:
            self.watch_events(ends, self._frames.duration_s)
        return events + ends

    def expect(self, pitches: Iterable[int], within_s: float) -> None:
        """Expects keys to be played next: MIDI pitches 21 to 108, a pitch twice for two strokes.

        For the next ``within_s`` seconds of sound, or until they are played, these keys are detected earlier
        and at softer strokes; ``expected`` returns the detected keys. Strokes whose sound was fed less than
        ``latency_s`` ago count too. The events from ``feed`` do not change.

        Raises ValueError for other pitches or times and then expects nothing new.
        """
        expectation = self._expectation or Expectation(self._decoder.config)
        expectation.expect(pitches, self._frames.duration_s + check_within(within_s))
        self._expectation = expectation

    def expected(self) -> list[Sounded]:
        """(pitch, time_s, wanted) of each key detected since the last call.

        Expected keys are detected 20 to 60 ms before ``feed`` returns their NoteOn, other keys (not wanted)
        when ``feed`` returns it. Empty before ``expect`` is first called, and after ``reset``.
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
        """Events from a step's probabilities, only of frames before ``total`` if given."""
        keys, pedal = probable
        owed = len(keys) if total is None else min(len(keys), total - self._predicted)
        keys, pedal = keys[:owed], None if pedal is None else pedal[:owed]
        show(keys, self._watch)
        show(pedal, self._watch_pedal)
        events = self._decoder.feed_frames(keys, pedal)
        if self._expectation is not None:
            self._expectation.feed(self._predicted, keys, events)
        if self.watch_events is not None:
            # At the end, events are decided by the end of the sound at the latest.
            self._tell(self.watch_events, events, math.inf if total is None else self._frames.duration_s)
        self._predicted += owed
        return [event for known in events for event in known]

    def _tell(self, watch: WatchEvents, events: list[list[Event]], latest_s: float) -> None:
        """Passes on the events of the frames from number ``_predicted`` on."""
        for frame, known in enumerate(events, self._predicted):
            if known:
                watch(known, min(latest_s, (frame - 1) * FRAME_S + self.latency_s))


def show(probabilities: np.ndarray | None, watch: Watch | None) -> None:
    """Calls ``watch`` with the probabilities if both are given."""
    if probabilities is not None and watch is not None:
        watch(probabilities)


class RecordingStream:
    """As Stream, but with full context: returns the events of one window at a time.

    Each window of ``window_s`` is followed by the context of ``windows``, in which the backward LSTMs begin.
    The forward LSTMs run on from window to window. The window, not the recording, bounds the memory.
    """

    def __init__(
        self,
        windows: WindowEngine,
        front_end: FrontEndConfig,
        decoder: RecordingDecoder,
        sample_rate: int,
        watch: Watch | None = None,
        window_s: float = 20.0,
        watch_pedal: Watch | None = None,
    ) -> None:
        window = max(1, round(window_s * FRAMES_PER_SECOND))
        self._slices = Slices(front_end, sample_rate, window, windows.context)
        self._windows = windows
        self._past = self._windows.start()
        self._decoder = decoder
        self._watch, self._watch_pedal = watch, watch_pedal
        self.watch_events: WatchEvents | None = None  #: receives the events of ``feed`` and ``flush``

    def feed(self, block: object) -> list[Event]:
        """Events of the windows that a block of samples [n] completes, seconds after they were played."""
        return [event for sound in self._slices.take(block) for event in self._predict(sound, last=False)]

    def flush(self) -> list[Event]:
        """All remaining events."""
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
