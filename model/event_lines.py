"""Events as lines of JSON, written by ``--format jsonl`` and sent by ``hppnet live --events``.

EVENTS.md specifies the format. A change that breaks programs that read it needs a new VERSION.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .notes import Event, NoteOff, NoteOn

VERSION = 1
BEGIN, END, LOST = "begin", "end", "lost"
_DECIMALS = 6  #: decimal places of times in seconds


class EventLines:
    """Writes a line at the beginning, for each event, and at the end, each with "\\n", to ``write``.

    Each method calls ``write`` at most once and passes its exceptions on.
    """

    def __init__(self, write: Callable[[str], None], about: Mapping[str, Any]) -> None:
        self.notes = 0  #: number of notes so far
        self._write = write
        self._write(line(BEGIN, **about))

    def add(self, events: Iterable[Event], decided_s: float | None) -> None:
        """Writes events that were all decided at ``decided_s``; None: after the whole recording."""
        text = ""
        for event in events:
            self.notes += isinstance(event, NoteOn)
            text += event_line(event, decided_s)
        if text:
            self._write(text)

    def lost(self, time_s: float) -> None:
        """Writes that events up to ``time_s`` were left out: keys and the pedal may have come up."""
        self._write(line(LOST, time_s=_rounded(time_s)))

    def end(self, time_s: float, **more: Any) -> None:
        """Writes the last line. ``time_s``: length of the sound in seconds."""
        self._write(line(END, time_s=_rounded(time_s), notes=self.notes, **more))


def event_line(event: Event, decided_s: float | None) -> str:
    """The line of one event; ``decided_s``: when it was decided, in seconds."""
    decided = None if decided_s is None else _rounded(decided_s)
    time_s = _rounded(event.time_s)
    if isinstance(event, NoteOn):
        velocity = int(event.velocity)
        return line("note_on", time_s=time_s, pitch=int(event.pitch), velocity=velocity, decided_s=decided)
    if isinstance(event, NoteOff):
        return line("note_off", time_s=time_s, pitch=int(event.pitch), decided_s=decided)
    return line("pedal", time_s=time_s, down=bool(event.down), decided_s=decided)


def line(kind: str, **fields: Any) -> str:
    """A JSON object on one line of ASCII, for any text in ``fields``."""
    return json.dumps({"v": VERSION, "type": kind, **fields}, ensure_ascii=True) + "\n"


def _rounded(seconds: float) -> float:
    return round(float(seconds), _DECIMALS)
