"""Reading label files: the notes that were really played in a recording.

A table (``.tsv``) is tab separated with one header line that names its columns, in any order::

    onset   offset  note  velocity
    0.52    6.70    62    74

Onset and offset are seconds, ``note`` is the MIDI key (60 is the middle C), velocity is 1 to 127,
or 0 where it is not known. A Standard MIDI file (``.mid``) may stand in for the table.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ..model.notes import Note, read_midi

COLUMNS = ("onset", "offset", "note", "velocity")
#: Kinds of label files; where a recording has both, the first is taken.
LABEL_SUFFIXES = (".tsv", ".mid", ".midi")


class LabelError(ValueError):
    """A label file that cannot be used; the message names it and says why."""


def read_labels(path: Path) -> list[Note]:
    """The notes of a label file, sorted by onset and then pitch; velocity 0 means unknown.

    Raises LabelError, naming the file and (in a table) the line.
    """
    if path.suffix.lower() == ".tsv":
        notes = read_table(path)
    else:
        try:
            notes = read_midi(path)
        except ValueError as error:
            raise LabelError(str(error)) from error
    return sorted(notes, key=lambda note: (note.onset_s, note.pitch))


def read_table(path: Path) -> list[Note]:
    """The notes of a ``.tsv`` table in the order of its lines. Raises LabelError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(_rows(path, file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from error


def _rows(path: Path, file: TextIO) -> Iterator[Note]:
    reader = csv.DictReader(file, delimiter="\t")
    names = reader.fieldnames or []
    if not set(COLUMNS) <= set(names):
        found = ", ".join(map(repr, names)) or "none"
        raise LabelError(f"{path}: expected the columns {', '.join(COLUMNS)} (tab separated), found {found}")
    for row in reader:
        try:
            yield _note(*(float(row[name] or "nan") for name in COLUMNS))
        except (TypeError, ValueError) as error:
            raise LabelError(f"{path}, line {reader.line_num}: {error}") from error


def _note(onset_s: float, offset_s: float, pitch: float, velocity: float) -> Note:
    if not 0 <= onset_s <= offset_s < float("inf"):
        raise ValueError(f"expected 0 <= onset <= offset, got {onset_s:g} and {offset_s:g}")
    if pitch not in range(128):
        raise ValueError(f"expected a MIDI key of 0 to 127, got {pitch:g}")
    if velocity not in range(128):
        raise ValueError(f"expected a velocity of 0 (unknown) to 127, got {velocity:g}")
    return Note(onset_s, offset_s, int(pitch), int(velocity))
