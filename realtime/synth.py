"""The end of a wire, in this process: keeps what arrives, and minds what an ear would mind.

For benchmarks and tests: ``MidiOutput(wire=synth.plug)``. It counts keys struck while they are down and
messages that are not MIDI; when all is over ``down`` must be empty and the pedal up (``hangs`` 0).
"""

from __future__ import annotations

from pathlib import Path

from .clock import Clock, SystemClock

NOTE_OFF, NOTE_ON, CONTROL = 0x80, 0x90, 0xB0
SUSTAIN = 64


class Synth:
    """Remembers messages as (clock s, bytes) unless ``keep`` is False: a day has many."""

    name = "synth (in this process)"

    def __init__(self, clock: Clock | None = None, keep: bool = True) -> None:
        self.messages: list[tuple[float, list[int]]] = []
        self.down: set[int] = set()
        self.pedal_down = False
        self.notes = self.presses = self.overlaps = self.strange = 0
        self._clock, self._keep = clock or SystemClock(), keep

    @property
    def hangs(self) -> int:
        """Keys that are down; the pedal counts as one."""
        return len(self.down) + self.pedal_down

    def plug(self) -> Synth:
        """A wire of this synth; it may be plugged again."""
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
        # All-notes-off is deliberately not heeded: the keys' own note-offs must have come before.

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...


def replayed(path: Path) -> Synth:
    """What a synth has heard of a MIDI file when that is over. Raises OSError or ValueError."""
    import mido

    synth = Synth(keep=False)
    for message in mido.merge_tracks(mido.MidiFile(path).tracks):
        if message.type in ("note_on", "note_off", "control_change"):
            synth.send(message.bytes())
    return synth
