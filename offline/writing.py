"""Writes notes and events as MIDI, CSV, JSON and JSONL (model/EVENTS.md) files: whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..model.event_lines import BEGIN, END, VERSION, EventLines
from ..model.files import PART_PREFIX, write_files
from ..model.notes import Event, Note, Press, sounding, write_midi
from .places import Place, Url, uploaded

FORMATS = ("mid", "csv", "json", "jsonl")
CSV_COLUMNS = ("onset_s", "offset_s", "pitch", "name", "velocity")
TellLines = Callable[[str], None]  #: receives lines, each ending in "\n"
_DECIMALS = 6  #: decimals of seconds in CSV and JSON
_EVENTS_HEAD = f'{{"v": {VERSION}, "type": "{BEGIN}", "origin": {{'.encode()
_NOTE_ON = b'"type": "note_on"'
_EVENTS_END = f'"type": "{END}"'.encode()


def write_csv(
    notes: Sequence[Note], path: str | os.PathLike[str], pedal: Sequence[Press] | None = None
) -> None:
    """Write one line per note: onset_s, offset_s (seconds), pitch (MIDI number), name, velocity (1 to 127).

    With ``pedal`` also sounding_s: when the note stops sounding, in seconds.
    """
    rows = _rows(notes, pedal)
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, CSV_COLUMNS if pedal is None else (*CSV_COLUMNS, "sounding_s"))
        table.writeheader()
        table.writerows(rows)


def write_json(
    notes: Sequence[Note],
    path: str | os.PathLike[str],
    about: Mapping[str, Any],
    pedal: Sequence[Press] | None = None,
) -> None:
    """Write ``about`` (source, duration_s, settings, ...), pedal presses, and notes with the CSV's fields."""
    held = {} if pedal is None else {"pedal": [_press(press) for press in pedal]}
    with open(path, "w", encoding="utf-8") as file:
        # Escapes file names that are not valid UTF-8, which could not be written otherwise.
        json.dump({**about, **held, "notes": _rows(notes, pedal)}, file, indent=1, ensure_ascii=True)
        file.write("\n")


def _rows(notes: Sequence[Note], pedal: Sequence[Press] | None) -> list[dict[str, float | int | str]]:
    rows = [_row(note) for note in notes]
    if pedal is not None:
        ends = {(note.onset_s, note.pitch): note.offset_s for note in sounding(notes, pedal)}
        for note, row in zip(notes, rows, strict=True):
            row["sounding_s"] = round(float(ends.get((note.onset_s, note.pitch), note.offset_s)), _DECIMALS)
    return rows


def _row(note: Note) -> dict[str, float | int | str]:
    return {
        "onset_s": round(float(note.onset_s), _DECIMALS),
        "offset_s": round(float(note.offset_s), _DECIMALS),
        "pitch": int(note.pitch),
        "name": note.name,
        "velocity": int(note.velocity),
    }


def _press(press: Press) -> dict[str, float]:
    return {"down_s": round(float(press.down_s), _DECIMALS), "up_s": round(float(press.up_s), _DECIMALS)}


def writers(
    notes: Sequence[Note],
    about: Mapping[str, Any],
    pedal: Sequence[Press] | None = None,
    note_ends: str = "keys",
    text: str = "",
) -> dict[str, Callable[[Path], None]]:
    """For each of FORMATS except jsonl, a function that writes it to a path.

    In MIDI files notes end when their keys are released, and the pedal is a controller. With ``note_ends``
    "sounding" they end when they stop sounding, without the pedal, which would prolong them once more.
    ``text`` becomes a text event of the MIDI file.
    """
    presses = pedal or ()
    midi = (sounding(notes, presses), ()) if note_ends == "sounding" else (notes, presses)
    return {
        "mid": lambda path: write_midi(midi[0], path, midi[1], [text] if text else ()),
        "csv": lambda path: write_csv(notes, path, pedal),
        "json": lambda path: write_json(notes, path, about, pedal),
    }


def write_outputs(outputs: Mapping[Place, Callable[[Path], object]]) -> None:
    """Write each place with its function, creating folders. All appear, or earlier files stay.

    A CSV appears first, since it holds no origin: if the run is killed then, the other files, still old, show
    that the work is not done. Raises OSError when a folder or file cannot be written.
    """
    csv_last = sorted(outputs.items(), key=lambda output: output[0].suffix.lower() == ".csv")
    files: dict[Path, Callable[[Path], object]] = {}
    with ExitStack() as finished:  # uploads in reverse order
        for place, write in csv_last:
            if isinstance(place, Url):
                write(finished.enter_context(uploaded(place)))
            else:
                files[place] = write
        write_files(dict(reversed(files.items())))


def cannot_write(error: OSError) -> str:
    """An error message with the file or folder that cannot be written."""
    name = str(error.filename2 or error.filename or "the outputs")
    place = os.path.dirname(name) if os.path.basename(name).startswith(PART_PREFIX) else name
    return f"cannot write {place}: {error.strerror or error}"


class EventText:
    """The JSONL output of a recording. ``tell`` receives the lines as they come; then none are kept."""

    def __init__(self, about: Mapping[str, Any], tell: TellLines | None = None) -> None:
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
    """Whether a file's first bytes are those of a recording's JSONL, as written by ``EventText``."""
    return head.startswith(_EVENTS_HEAD)


def are_whole_events(data: bytes, notes: int | None) -> bool:
    """Whether JSONL of a recording is complete, with ``notes`` notes (None: the number in its last line)."""
    if not begins_events(data) or not data.endswith(b"\n"):
        return False
    last = data[data.rfind(b"\n", 0, -1) + 1 :]
    there = data.count(_NOTE_ON)
    return _EVENTS_END in last and f'"notes": {there}'.encode() in last and notes in (None, there)
