"""The events of a recording as lines of JSON (model/EVENTS.md): kept for a file, or told as they come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.event_lines import BEGIN, END, VERSION, EventLines
from ..model.notes import Event

Tell = Callable[[str], None]  #: receives lines, each with its "\n"
_HEAD = f'{{"v": {VERSION}, "type": "{BEGIN}", "origin": {{'.encode()
_NOTE_ON = b'"type": "note_on"'
_END = f'"type": "{END}"'.encode()


class EventText:
    """What ``--format jsonl`` writes of a recording. With ``tell`` that receives it, and nothing is kept."""

    def __init__(self, about: Mapping[str, Any], tell: Tell | None = None) -> None:
        self._kept: list[str] = []
        self._lines = EventLines(tell or self._kept.append, about)

    def add(self, events: Sequence[Event], decided_s: float | None = None) -> None:
        self._lines.add(events, decided_s)

    def end(self, duration_s: float, warnings: Sequence[str]) -> None:
        self._lines.end(duration_s, **({"warnings": list(warnings)} if warnings else {}))

    def write(self, path: Path) -> None:
        with open(path, "w", encoding="ascii", newline="\n") as file:
            file.writelines(self._kept)


def begins_events(head: bytes) -> bool:
    """Whether a file's first bytes are those of a recording's events, as ``EventText`` writes them."""
    return head.startswith(_HEAD)


def are_whole_events(data: bytes, notes: int | None) -> bool:
    """Whether a file holds such events to the last line, with so many notes (None: as many as it says)."""
    if not begins_events(data) or not data.endswith(b"\n"):
        return False
    last = data[data.rfind(b"\n", 0, -1) + 1 :]
    there = data.count(_NOTE_ON)
    return _END in last and f'"notes": {there}'.encode() in last and notes in (None, there)
