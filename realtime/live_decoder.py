"""From blocks of sound to events, whatever happens to the sound on its way: gaps, NaN, silence, other rates.

``Engine`` is fed and answers; it knows no thread, device or clock.
"""

from __future__ import annotations

import numpy as np

from ..model.notes import Event, NoteOff, NoteOn, Pedal
from .blocks import Block, clean
from .gate import Gate, GateSettings
from .source import LiveModel

DEFAULT_LATENCY_MS = 132
SHORT_GAP_S = 0.05  #: a shorter gap only moves the times on; after a longer one the stream starts afresh
LONGEST_NOTE_S = 90.0  #: no piano sounds longer: whatever the network says, the key comes up


class EngineFault(RuntimeError):
    """The network gave no numbers."""


class Engine:
    """Blocks in, events out, in stream time. One thread's. ``pedal=False`` leaves the pedal's events out.

    Raises ValueError for a latency that cannot be reached or a sample rate out of range.
    """

    def __init__(
        self,
        transcriber: LiveModel,
        sample_rate: int,
        latency_ms: float = DEFAULT_LATENCY_MS,
        gate: GateSettings | None = None,
        *,
        pedal: bool = True,
    ) -> None:
        self.latency_ms = latency_ms
        self.bad_samples = self.gaps = self.frames = 0
        self._transcriber = transcriber
        self._gate = Gate(gate or GateSettings())
        self._sounding: dict[int, float] = {}  # pitch -> onset_s
        self._pedal = pedal
        self._pedal_s: float | None = None  # since when the pedal is down
        self._struck_s = 0.0  # when a key went down last
        self._events: list[Event] = []
        self._next_s: float | None = None  # stream time of the sample expected next
        self._origin_s: float | None = None  # stream time of the model's first sample; None: nothing fed
        self._open(sample_rate)

    @property
    def latency_s(self) -> float:
        """Algorithmic latency in seconds, the resampler's delay included."""
        return self._stream.latency_s

    @property
    def asleep(self) -> bool:
        return self._gate.asleep

    @property
    def sounding(self) -> frozenset[int]:
        return frozenset(self._sounding)

    @property
    def pedal_down(self) -> bool:
        return self._pedal_s is not None

    def feed(self, block: Block) -> list[Event]:
        """Events that this block completes. Gaps before it, and another rate, are seen by its times.

        Raises EngineFault (and whatever PyTorch raises); ``interrupt`` then makes it usable again, and
        gives the events that the fault kept back.
        """
        samples, bad = clean(block.samples)
        self.bad_samples += bad
        missing_s = 0.0 if self._next_s is None else block.time_s - self._next_s
        if block.sample_rate != self._sample_rate or not -1e-3 < missing_s <= SHORT_GAP_S:
            self.gaps += 1
            self._end_all()
            if block.sample_rate != self._sample_rate:
                self._open(block.sample_rate)
        elif self._origin_s is not None and missing_s > 0.5 / self._sample_rate:
            # A device tells of its losses a moment too late: silence put in here would be a second break in
            # the sound, and a break looks like an onset (one a second: F1 75 with silence, 85 without it).
            self._origin_s += missing_s
        self._hear(samples, block.end_s)
        return self._take()

    def interrupt(self, broken: bool = False) -> list[Event]:
        """Ends what sounds and lets the pedal up; the next block, whenever it was, begins afresh.

        What the stream still owes comes out too, unless it is ``broken``.
        """
        self._end_all(broken)
        return self._take()

    def flush(self) -> list[Event]:
        """At the end of the sound: the events still owed, and the ends of what sounds."""
        return self.interrupt()

    def use(self, transcriber: LiveModel) -> list[Event]:
        """Go on with another transcriber (another tuning); ends what sounds."""
        self._end_all()
        self._transcriber = transcriber
        self._open(self._sample_rate)
        return self._take()

    def _open(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._stream = self._transcriber.stream(self.latency_ms, sample_rate, self._watch)

    def _end_all(self, broken: bool = False) -> None:
        if not broken and self._origin_s is not None:
            self._tell(self._stream.flush())
        end_s = self._next_s or 0.0
        self._events += [NoteOff(max(end_s, onset_s), pitch) for pitch, onset_s in self._sounding.items()]
        self._sounding.clear()
        self._move_pedal(Pedal(end_s, False))
        self._gate.restart()
        self._stream.reset()
        self._next_s = self._origin_s = None

    def _hear(self, samples: np.ndarray, end_s: float) -> None:
        heard = self._gate.pass_by(samples, self._sample_rate)
        self._next_s = end_s
        if not len(heard):
            return
        if self._origin_s is None:  # also on waking: the pre-roll ends where the block ends
            self._origin_s = end_s - len(heard) / self._sample_rate
        self._tell(self._stream.feed(heard))
        self._end_overlong(end_s)
        if self._gate.asleep:
            self._tell(self._stream.flush())
            self._stream.reset()
            self._origin_s = None

    def _watch(self, probabilities: np.ndarray) -> None:
        self.frames += len(probabilities)
        if not np.isfinite(probabilities).all():
            raise EngineFault("the network's probabilities are not numbers")

    def _tell(self, events: list[Event]) -> None:
        """In stream time; an end without a beginning is left out."""
        for event in events:
            time_s = event.time_s + (self._origin_s or 0.0)
            if isinstance(event, Pedal):
                self._move_pedal(Pedal(time_s, event.down))
                continue
            begun_s = self._sounding.pop(event.pitch, None)
            if begun_s is not None:
                self._events.append(NoteOff(max(time_s, begun_s), event.pitch))
            if isinstance(event, NoteOn):
                self._events.append(NoteOn(time_s, event.pitch, event.velocity))
                self._sounding[event.pitch] = self._struck_s = time_s

    def _move_pedal(self, event: Pedal) -> None:
        if not self._pedal or event.down == self.pedal_down:
            return
        time_s = event.time_s if event.down else max(event.time_s, self._pedal_s or 0.0)
        self._pedal_s = time_s if event.down else None
        self._events.append(Pedal(time_s, event.down))

    def _end_overlong(self, end_s: float) -> None:
        over = [pitch for pitch, onset_s in self._sounding.items() if end_s - onset_s > LONGEST_NOTE_S]
        for pitch in over:
            del self._sounding[pitch]
            self._events.append(NoteOff(end_s, pitch))
        # A pedal may be down for long, but then it holds nothing any more that could be heard.
        if self._pedal_s is not None and end_s - max(self._pedal_s, self._struck_s) > LONGEST_NOTE_S:
            self._move_pedal(Pedal(end_s, False))

    def _take(self) -> list[Event]:
        # Kept here until now: what a fault interrupts must not lose the ends of notes.
        events, self._events = self._events, []
        return events
