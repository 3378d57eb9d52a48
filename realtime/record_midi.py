"""A MIDI file that is whole at any moment, however the program ends.

Every flush replaces the file at once by one that holds everything so far, with what still sounds ended
there and the pedal up. The bytes of what can no longer change are kept, so that a flush after hours costs
a write, no more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..model.midi_file import (
    COARSE,
    END_OF_TRACK,
    SUSTAIN,
    beginning,
    nearest_tick,
    ticks_a_second,
    variable,
    whole_file,
)
from ..model.notes import TRACK_NAME, Event, NoteOff, NoteOn, Pedal
from ..system import replace

#: A millisecond a tick from the start, since nobody knows how long the session will be: see ``midi_file``.
TICKS_PER_SECOND = ticks_a_second(COARSE)
UNSETTLED_S = 1.0  #: the newest events of a stream come a little out of order
_PEDAL = -1  # among the pitches that are down


class MidiRecording:
    """Notes and the pedal (CC64) with the times at which they were played, one piano track. One thread's.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        # Short, since the name itself may be as long as names may be.
        self._part = self.path.with_name(f".hppnet-{os.getpid()}-{id(self)}.mid.part")
        self._track = bytearray(beginning(TRACK_NAME))
        self._ticks = 0  # of the last event in the track
        self._down: dict[int, int] = {}  # what sounds (pitches, the pedal), and since which tick
        self._pending: list[Event] = []
        self._newest_s = 0.0
        self.good_s = 0.0  #: up to here the file holds what was played
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
            self.good_s = max(self.good_s, now_s or 0.0)
            return
        self._newest_s = max(self._newest_s, now_s or 0.0)
        self._settle(self._newest_s - UNSETTLED_S)
        track = self._track + self._provisional() + END_OF_TRACK
        try:
            self._part.write_bytes(whole_file(bytes(track), COARSE))
            replace(self._part, self.path)
        except OSError as error:
            with suppress(OSError):  # on a full disk half of it is worth nothing
                self._part.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._changed, self.good_s = bool(self._pending), self._newest_s

    def close(self) -> None:
        """May be called twice."""
        self._changed = self._changed or not self.path.exists()
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
        ticks, down, out = self._ticks, dict(self._down), bytearray()
        for event in [*self._pending, *all_ends(self._newest_s)]:
            data, ticks = _encoded(event, ticks, down)
            out += data
        return bytes(out)


def all_ends(time_s: float) -> list[Event]:
    """The ends of whatever may sound."""
    return [*(NoteOff(time_s, pitch) for pitch in range(128)), Pedal(time_s, False)]


def _encoded(event: Event, ticks: int, down: dict[int, int]) -> tuple[bytes, int]:
    """Bytes of an event after ``ticks``, and the ticks then. Nothing for the end of what does not sound.

    What ends at the tick at which it began ends a tick later: other programs take it for endless.
    """
    at = max(ticks, nearest_tick(event.time_s, TICKS_PER_SECOND))
    if isinstance(event, Pedal):
        if event.down == (_PEDAL in down):
            return b"", ticks
        if event.down:
            down[_PEDAL] = at
        else:
            at = max(at, down.pop(_PEDAL) + 1)
        return variable(at - ticks) + bytes((0xB0, SUSTAIN, 127 if event.down else 0)), at
    data = b""
    if event.pitch in down:
        at = max(at, down.pop(event.pitch) + 1)
        data, ticks = variable(at - ticks) + bytes((0x80, event.pitch, 64)), at
    if isinstance(event, NoteOn):
        data, ticks = data + variable(at - ticks) + bytes((0x90, event.pitch, event.velocity)), at
        down[event.pitch] = at
    return data, ticks
