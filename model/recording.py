"""As Stream, with all the future that helps: a whole recording, window by window."""

from __future__ import annotations

import numpy as np

from .config import DecoderConfig
from .decoder import Decoder
from .engines import WindowEngine
from .frontend import FrontEndConfig
from .notes import Event
from .slices import Row, Slices
from .stream import Watch, WatchEvents, show
from .timebase import FRAMES_PER_SECOND


class Recording:
    """Sound in, in blocks of any size; events out, a window at a time.

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
        return [event for sound in self._slices.take(block) for event in self._hear(sound, last=False)]

    def flush(self) -> list[Event]:
        """All events still owed."""
        events = [event for sound, last in self._slices.rest() for event in self._hear(sound, last)]
        return events + self._told(self._decoder.flush())

    def _hear(self, sound: np.ndarray, last: bool) -> list[Event]:
        judged = self._windows.judge([Row(self._past, sound, last)])
        (self._past,) = judged.pasts
        ((keys, pedal),) = judged.wait()
        show(keys, self._watch)
        show(pedal, self._watch_pedal)
        return self._told(self._decoder.feed(keys, pedal))

    def _told(self, events: list[Event]) -> list[Event]:
        if events and self.watch_events is not None:
            self.watch_events(events, None)
        return events
