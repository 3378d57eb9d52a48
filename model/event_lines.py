"""Events as lines of JSON: what ``--format jsonl`` writes and ``hppnet live --events`` sends.

Described for readers in EVENTS.md, which is the promise; a change that breaks a reader needs a new VERSION.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .notes import Event, NoteOff, NoteOn

VERSION = 1
BEGIN, END, LOST = "begin", "end", "lost"
_DECIMALS = 6  #: of a second


class EventLines:
    """One line for the beginning, one for each event, one for the end; ``write`` receives them with "\\n".

    ``write`` is called once for each call here, and raises whatever it likes.
    """

    def __init__(self, write: Callable[[str], None], about: Mapping[str, Any]) -> None:
        self.notes = 0  #: so far
        self._write = write
        self._write(line(BEGIN, **about))

    def add(self, events: Iterable[Event], decided_s: float | None) -> None:
        """Events that were all known at ``decided_s``; None: with the whole recording as context."""
        text = ""
        for event in events:
            self.notes += isinstance(event, NoteOn)
            text += event_line(event, decided_s)
        if text:
            self._write(text)

    def lost(self, time_s: float) -> None:
        """Events up to ``time_s`` were left out: whatever was down may have come up."""
        self._write(line(LOST, time_s=_rounded(time_s)))

    def end(self, time_s: float, **more: Any) -> None:
        """Nothing follows. ``time_s``: how long the sound was."""
        self._write(line(END, time_s=_rounded(time_s), notes=self.notes, **more))


def event_line(event: Event, decided_s: float | None) -> str:
    """One event, with the time at which it was known."""
    decided = None if decided_s is None else _rounded(decided_s)
    time_s = _rounded(event.time_s)
    if isinstance(event, NoteOn):
        velocity = int(event.velocity)
        return line("note_on", time_s=time_s, pitch=int(event.pitch), velocity=velocity, decided_s=decided)
    if isinstance(event, NoteOff):
        return line("note_off", time_s=time_s, pitch=int(event.pitch), decided_s=decided)
    return line("pedal", time_s=time_s, down=bool(event.down), decided_s=decided)


def line(kind: str, **fields: Any) -> str:
    """An object on one line of ASCII, whatever is in its texts."""
    return json.dumps({"v": VERSION, "type": kind, **fields}, ensure_ascii=True) + "\n"


def _rounded(seconds: float) -> float:
    return round(float(seconds), _DECIMALS)
