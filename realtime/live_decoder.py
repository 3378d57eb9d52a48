"""Turns blocks of sound into events, despite gaps, NaN, silence and changes of the sample rate.

``LiveDecoder`` takes blocks and returns events; it uses no thread, device or clock. ``Gate`` puts the
network to sleep in silence. ``LiveModel`` is the part of the model that a session needs, small enough to be
replaced in a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..model.notes import Event, NoteOff, NoteOn, Pedal
from .inputs import Block, clean

DEFAULT_LATENCY_MS = 132
SHORT_GAP_S = 0.05  #: a shorter gap only shifts the times; a longer gap resets the stream
LONGEST_NOTE_S = 90.0  #: a longer note is ended, since no piano sounds longer


class LiveStream(Protocol):
    """A Stream of the model: samples in, events out, times from its first sample."""

    @property
    def latency_s(self) -> float: ...

    def feed(self, block: object) -> list[Event]: ...

    def flush(self) -> list[Event]: ...

    def reset(self) -> None: ...


class LiveModel(Protocol):
    """A Transcriber: makes streams, and copies of itself for other tunings."""

    @property
    def has_pedal(self) -> bool: ...

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> LiveStream: ...

    def with_tuning(self, cents: float) -> LiveModel: ...


class DecoderFault(RuntimeError):
    """The network's output holds NaN or infinity."""


class LiveDecoder:
    """Turns blocks into events in stream time. For one thread. ``pedal=False`` leaves out pedal events.

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
        self._pedal_s: float | None = None  # when the pedal went down; None: it is up
        self._last_onset_s = 0.0  # onset of the last note
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
        """Returns the events that this block completes. Detects a gap before it and a changed sample rate.

        Raises DecoderFault and the network's own errors. ``interrupt`` then makes the decoder usable again
        and returns the events completed before the fault.
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
            # No silence is inserted: devices report losses a moment too late, so silence would be a second
            # break in the sound, and a break looks like an onset (one a second: F1 75 with, 85 without it).
            self._origin_s += missing_s
        self._decode(samples, block.end_s)
        return self._take()

    def interrupt(self, broken: bool = False) -> list[Event]:
        """Ends all notes, lifts the pedal and resets the stream; the next block may have any time.

        Returns these events, after the stream's pending ones unless it is ``broken``.
        """
        self._end_all(broken)
        return self._take()

    def flush(self) -> list[Event]:
        """Returns the pending events and the ends of all notes. For the end of the sound."""
        return self.interrupt()

    def use(self, transcriber: LiveModel) -> list[Event]:
        """Ends all notes and continues with another transcriber (another tuning). Returns the events."""
        self._end_all()
        self._transcriber = transcriber
        self._open(self._sample_rate)
        return self._take()

    def _open(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._stream = self._transcriber.stream(self.latency_ms, sample_rate, self._watch)

    def _end_all(self, broken: bool = False) -> None:
        if not broken and self._origin_s is not None:
            self._add(self._stream.flush())
        end_s = self._next_s or 0.0
        self._events += [NoteOff(max(end_s, onset_s), pitch) for pitch, onset_s in self._sounding.items()]
        self._sounding.clear()
        self._move_pedal(Pedal(end_s, False))
        self._gate.restart()
        self._stream.reset()
        self._next_s = self._origin_s = None

    def _decode(self, samples: np.ndarray, end_s: float) -> None:
        passed = self._gate.filter(samples, self._sample_rate)
        self._next_s = end_s
        if not len(passed):
            return
        if self._origin_s is None:  # after a pause too: the pre-roll ends where this block ends
            self._origin_s = end_s - len(passed) / self._sample_rate
        self._add(self._stream.feed(passed))
        self._end_overlong(end_s)
        if self._gate.asleep:
            self._add(self._stream.flush())
            self._stream.reset()
            self._origin_s = None

    def _watch(self, probabilities: np.ndarray) -> None:
        self.frames += len(probabilities)
        if not np.isfinite(probabilities).all():
            raise DecoderFault("the network's probabilities are not numbers")

    def _add(self, events: list[Event]) -> None:
        """Converts the stream's events to stream time; drops note offs without a note on."""
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
                self._sounding[event.pitch] = self._last_onset_s = time_s

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
        # A pedal that was down this long without a new note sustains nothing that still sounds.
        if self._pedal_s is not None and end_s - max(self._pedal_s, self._last_onset_s) > LONGEST_NOTE_S:
            self._move_pedal(Pedal(end_s, False))

    def _take(self) -> list[Event]:
        # Events are kept until they are taken, so that a fault loses no note offs.
        events, self._events = self._events, []
        return events


@dataclass(frozen=True)
class GateSettings:
    """What counts as silence."""

    threshold_db: float = -66.0  #: half the peak-to-peak amplitude, relative to full scale
    after_s: float = 5.0  #: time below the threshold after which the network sleeps
    pre_roll_s: float = 0.3  #: sound before waking that is fed to the network too (its windows: 0.26 s)

    def __post_init__(self) -> None:
        if self.after_s <= 0 or self.pre_roll_s < 0:
            raise ValueError(
                f"the gate needs a positive time and no negative pre-roll, got {self.after_s:g} s and "
                f"{self.pre_roll_s:g} s"
            )


class Gate:
    """The silence gate: ``asleep`` after enough silence, awake at the first sound."""

    def __init__(self, settings: GateSettings) -> None:
        self.settings = settings
        self._threshold = 10 ** (settings.threshold_db / 20)
        self._quiet_s = 0.0
        self._recent = np.zeros(0, dtype=np.float32)
        self.asleep = False

    def filter(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Takes samples [n]; returns those for the network: none while asleep, on waking the pre-roll too.

        Updates ``asleep``. The samples that put the gate to sleep are still returned.
        """
        self._quiet_s = 0.0 if self._loud(samples) else self._quiet_s + len(samples) / sample_rate
        slept, self.asleep = self.asleep, self._quiet_s >= self.settings.after_s
        before = self._recent
        keep = round(self.settings.pre_roll_s * sample_rate)
        self._recent = np.concatenate([before, samples])[-keep:] if keep else before[:0]
        if not slept:
            return samples
        return samples[:0] if self.asleep else np.concatenate([before, samples])

    def restart(self) -> None:
        """Wakes the gate after a gap; sound before the gap is not used as pre-roll."""
        self._quiet_s, self.asleep, self._recent = 0.0, False, self._recent[:0]

    def _loud(self, samples: np.ndarray) -> bool:
        # Half the range, not the largest value: a constant offset is no sound.
        return bool(len(samples)) and float(samples.max() - samples.min()) / 2 >= self._threshold
