"""A MIDI file that is whole at any moment, however the program ends.

Every flush replaces the file at once by one that holds everything so far, with what still sounds ended
there and the pedal up. The bytes of what can no longer change are kept, so that a flush after hours costs
a write, no more.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..model.notes import TRACK_NAME, Event, NoteOff, NoteOn, Pedal

#: 125 quarters a minute: a millisecond a tick. Half of one, as in write_midi, would end sooner: pretty_midi,
#: which the field reads MIDI with, refuses more than ten million ticks.
TICKS_A_QUARTER, TEMPO_US = 480, 480_000
TICKS_PER_SECOND = TICKS_A_QUARTER * 1_000_000 // TEMPO_US
UNSETTLED_S = 1.0  #: the newest events of a stream come a little out of order
_END_OF_TRACK = b"\x00\xff\x2f\x00"
_PEDAL = -1  # among the pitches that are down


class MidiRecording:
    """Notes and the pedal (CC64) with the times at which they were played, one piano track. One thread's.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        # Short, since the name itself may be as long as names may be.
        self._part = self.path.with_name(f".hppnet-{os.getpid()}-{id(self)}.mid.part")
        self._track = bytearray(_beginning())
        self._ticks = 0  # of the last event in the track
        self._down: set[int] = set()  # pitches that the track leaves sounding, and the pedal
        self._pending: list[Event] = []
        self._newest_s = 0.0
        self._changed = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.flush()

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            self._pending.append(event)
            self._newest_s = max(self._newest_s, event.time_s)
            self._changed = True

    def flush(self, now_s: float | None = None) -> None:
        """The file on disk holds all that came; ``now_s`` is where notes that still sound end for now."""
        if not self._changed and not self._down:
            return
        self._newest_s = max(self._newest_s, now_s or 0.0)
        self._settle(self._newest_s - UNSETTLED_S)
        track = self._track + self._provisional() + _END_OF_TRACK
        header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_A_QUARTER)
        try:
            self._part.write_bytes(header + struct.pack(">4sI", b"MTrk", len(track)) + track)
            os.replace(self._part, self.path)
        except OSError:
            with suppress(OSError):  # on a full disk half of it is worth nothing
                self._part.unlink(missing_ok=True)
            raise
        self._changed = bool(self._pending)

    def close(self) -> None:
        """May be called twice."""
        self._changed = True
        self.flush()

    def _settle(self, until_s: float) -> None:
        self._pending.sort(key=lambda event: event.time_s)  # events of one time stay as they came
        count = sum(event.time_s <= until_s for event in self._pending)
        for event in self._pending[:count]:
            data, self._ticks = _encoded(event, self._ticks, self._down)
            self._track += data
        del self._pending[:count]

    def _provisional(self) -> bytes:
        """What may still change, and ends for what sounds."""
        ticks, down, out = self._ticks, set(self._down), bytearray()
        for event in [*self._pending, *all_ends(self._newest_s)]:
            data, ticks = _encoded(event, ticks, down)
            out += data
        return bytes(out)


def all_ends(time_s: float) -> list[Event]:
    """The ends of whatever may sound."""
    return [*(NoteOff(time_s, pitch) for pitch in range(128)), Pedal(time_s, False)]


def _encoded(event: Event, ticks: int, down: set[int]) -> tuple[bytes, int]:
    """Bytes of an event after ``ticks``, and the ticks then. Nothing for the end of what does not sound."""
    at = max(ticks, round(event.time_s * TICKS_PER_SECOND))
    if isinstance(event, Pedal):
        if event.down == (_PEDAL in down):
            return b"", ticks
        down ^= {_PEDAL}
        return _variable(at - ticks) + bytes((0xB0, 64, 127 if event.down else 0)), at
    data = b""
    if event.pitch in down:
        data, ticks = _variable(at - ticks) + bytes((0x80, event.pitch, 64)), at
        down.discard(event.pitch)
    if isinstance(event, NoteOn):
        data, ticks = data + _variable(at - ticks) + bytes((0x90, event.pitch, event.velocity)), at
        down.add(event.pitch)
    return data, ticks


def _beginning() -> bytes:
    name = TRACK_NAME.encode("ascii")
    return b"".join(
        (
            b"\x00\xff\x51\x03" + TEMPO_US.to_bytes(3, "big"),
            b"\x00\xff\x03" + _variable(len(name)) + name,
            b"\x00\xc0\x00",
        )
    )


def _variable(value: int) -> bytes:
    """A MIDI file's number: seven bits a byte, the highest first."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
