"""Sends sound through a live session, times the MIDI that comes back, and compares it with the notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.notes import Event, Note, NoteOff, NoteOn, Pedal
from ..model.transcriber import Transcriber
from .bench_notes import Onset, matched, onset_delays, onset_f1
from .inputs import Block, FileInput
from .midi_output import CONTROL, NOTE_OFF, NOTE_ON, SUSTAIN, MidiOutput
from .session import LiveSession
from .settings import LiveSettings
from .timeline import SteadyClock, SystemClock

BLOCK = 256  #: samples a block, for ``play_in_process``
JITTER_TOLERANCE_S = 0.05


@dataclass(frozen=True)
class RoundTrip:
    """When each block of sound went in, when each MIDI message came back, and how the program ended."""

    cycles: np.ndarray  #: [c, 2] index of each block's first sample, wall-clock time of its delivery (s)
    received: np.ndarray  #: [m, 4] wall-clock time (s) and three bytes of each MIDI message
    sample_rate: int
    block: int
    startup_s: float  #: time from the program's start until it listens
    exit_code: int
    output: str  #: text that the program printed

    def wall_s(self, time_s: float | np.ndarray) -> np.ndarray:
        """Wall-clock time (s) at which the sound at ``time_s`` was at the input.

        A cycle delivers a block that a sound card would have recorded during the cycle before. So the
        block's first sample is one block old on delivery, and later samples are newer.
        """
        sample = np.asarray(time_s) * self.sample_rate
        cycle = np.clip(np.searchsorted(self.cycles[:, 0], sample, side="right") - 1, 0, None)
        within = sample - self.cycles[cycle, 0]
        return np.asarray(self.cycles[cycle, 1] + (within - self.block) / self.sample_rate)

    def sound_s(self, wall_s: float | np.ndarray) -> np.ndarray:
        """Position in the sound (s) that was at the input at a wall-clock time; infinite after its end."""
        starts = self.wall_s(self.cycles[:, 0] / self.sample_rate)
        return np.asarray(np.interp(wall_s, starts, self.cycles[:, 0] / self.sample_rate, right=np.inf))

    def events(self) -> list[Event]:
        """The note and pedal events received, each with the wall-clock time of its arrival (s)."""
        events: list[Event] = []
        for when, status, pitch, velocity in self.received:
            kind = int(status) & 0xF0
            if kind == 0x90 and velocity > 0:
                events.append(NoteOn(float(when), int(pitch), int(velocity)))
            elif kind in (0x80, 0x90):
                events.append(NoteOff(float(when), int(pitch)))
            elif kind == 0xB0 and pitch == 64:
                events.append(Pedal(float(when), velocity >= 64))
        return events


class MidiSink:
    """A wire that ends in this process. Keeps the messages and counts those that are wrong.

    Counts note ons for keys that are down (``overlaps``), invalid messages (``strange``) and, at the end,
    keys and a pedal left down (``hangs``). ``messages``: (clock s, bytes); empty if ``keep`` is False.
    """

    name = "sink (in this process)"

    def __init__(self, clock: SteadyClock | None = None, keep: bool = True) -> None:
        self.messages: list[tuple[float, list[int]]] = []
        self.down: set[int] = set()
        self.pedal_down = False
        self.notes = self.presses = self.overlaps = self.strange = 0
        self._clock, self._keep = clock or SystemClock(), keep

    @property
    def hangs(self) -> int:
        """Number of keys that are down; the pedal counts as one."""
        return len(self.down) + self.pedal_down

    def open(self) -> MidiSink:
        """Returns itself, for ``MidiOutput(wire=sink.open)``. May be called again."""
        return self

    def send(self, message: list[int]) -> None:
        if self._keep:
            self.messages.append((self._clock.now(), list(message)))
        status, first, second = message
        kind = status & 0xF0
        if kind not in (NOTE_OFF, NOTE_ON, CONTROL) or not (0 <= first < 128 and 0 <= second < 128):
            self.strange += 1
        elif kind == NOTE_ON and second:
            self.overlaps += first in self.down
            self.notes += 1
            self.down.add(first)
        elif kind != CONTROL:
            self.down.discard(first)
        elif first == SUSTAIN:
            self.presses += second >= 64 and not self.pedal_down
            self.pedal_down = second >= 64
        # All-notes-off is ignored here: each key must have received its own note off before.

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...


def play_in_process(
    transcriber: Transcriber, latency_ms: float, sound: np.ndarray, sample_rate: int
) -> RoundTrip:
    """Sends samples [n] through a session in this process, in real time.

    Neither a sound card nor another process takes part, so it may be a little quicker than ``hppnet live``.
    """
    clock = SystemClock()
    sink = MidiSink(clock)
    pauses = np.zeros(round(0.5 * sample_rate), dtype=np.float32)
    player = FileInput([sound, pauses], sample_rate, block_s=BLOCK / sample_rate, clock=clock)
    port, settings = MidiOutput(wire=sink.open), LiveSettings(latency_ms=latency_ms)
    began_s = clock.now()
    session = _TimedSession(transcriber, player, port, settings, clock=clock)
    session.prepare()
    startup_s = clock.now() - began_s
    session.run()
    cycles = np.array(session.cycles)
    received = np.array([[when, *message] for when, message in sink.messages], dtype=float).reshape(-1, 4)
    return RoundTrip(cycles, received, sample_rate, BLOCK, startup_s, 0, "")


class _TimedSession(LiveSession):
    """A session that keeps the arrival time of each block."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cycles: list[tuple[int, float]] = []

    def _watch(self, block: Block) -> None:
        self.cycles.append((round(block.time_s * block.sample_rate), block.arrived_s))
        super()._watch(block)


def compare(trip: RoundTrip, played: Sequence[Note], streamed: Sequence[Note]) -> dict[str, Any]:
    """Compares the received notes with the played ones and with the result of ``transcribe --streaming``."""
    truth = [(float(trip.wall_s(note.onset_s)), note.pitch) for note in played]
    arrived = [(e.time_s, e.pitch) for e in trip.events() if isinstance(e, NoteOn)]
    delays = onset_delays(truth, arrived)
    # In the recording's own time, so that shifted and lost notes count.
    usual_s = delays.median_ms / 1000
    live: list[Onset] = [(float(trip.sound_s(when - usual_s)), pitch) for when, pitch in arrived]
    labelled: list[Onset] = [(note.onset_s, note.pitch) for note in played]
    offline: list[Onset] = [(note.onset_s, note.pitch) for note in streamed]
    f1_live, f1_streaming = onset_f1(labelled, live), onset_f1(labelled, offline)
    return {
        "median_ms": delays.median_ms,
        "p99_ms": delays.p99_ms,
        "jitter_ms": delays.jitter_ms,
        "jitter_against_streaming_ms": _jitter_ms(offline, live),
        "f1_gap": abs(f1_live - f1_streaming),
        "f1_live": f1_live,
        "f1_streaming": f1_streaming,
        "f1_between_the_two": onset_f1(offline, live),
        "notes": {"played": len(played), "arrived": len(arrived), "streaming": len(streamed)},
        "startup_s": trip.startup_s,
    }


def _jitter_ms(offline: Sequence[Onset], live: Sequence[Onset]) -> float:
    """Jitter in ms of live playing alone: the model's own errors in onset times are in both lists."""
    pairs = matched(offline, live, -JITTER_TOLERANCE_S, JITTER_TOLERANCE_S)
    return 1000 * float(np.std([live[j][0] - offline[i][0] for i, j in pairs])) if pairs else 0.0
