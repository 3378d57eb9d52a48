"""Labels: files of notes and pedal presses, and the network's targets.

A table of notes (``NAME.tsv``) is tab separated with one header line that names its columns, in any order::

    onset   offset  note  velocity
    0.52    6.70    62    74

Onset and offset are seconds, ``note`` is the MIDI key (60 is the middle C), velocity is 1 to 127,
or 0 where it is not known. A Standard MIDI file (``.mid``) may replace the table.

A table of the sustain pedal (``NAME.pedal``) has one press per line, in seconds, in the columns ``down`` and
``up``. The pedal is down from a control change 64 with a value of 64 or more until one with a value below 64.
A recording without the table has no pedal targets.

``prepared.json`` records where the notes of a folder end. ``keys``: at the key's release, as in the labels of
MAPS. ``sounding``: at the later of the key's release and the pedal's, or where the key is played again, as in
the published figures on MAESTRO.

Onset and offset targets are triangles of ±2 frames around the exact time (Kong et al.,
"High-resolution Piano Transcription with Pedals by Regressing Onset and Offset Times", 2021,
section III), so that the decoder can find times between frames.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from ...model.notes import Note, read_midi, without_overlaps
from ...model.timebase import FRAMES_PER_SECOND, KEYS, LOWEST_PITCH

REPORT = "prepared.json"
NOTE_ENDS = ("keys", "sounding")


def note_ends_of(folder: Path) -> str:
    """``keys`` or ``sounding``, from ``prepared.json`` in ``folder`` or its parent; ``keys`` without it.

    Raises ValueError, naming the file, where it cannot be read or has another value.
    """
    for place in (folder, folder.absolute().parent):
        path = place / REPORT
        if path.exists():
            return _note_ends(path)
    return "keys"


def _note_ends(path: Path) -> str:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the report of hppnet prepare, cannot read it ({error})"
        ) from error
    found = report.get("note_ends") if isinstance(report, dict) else None
    if found not in NOTE_ENDS:
        raise ValueError(f'{path}: expected "note_ends" to be "keys" or "sounding", got {json.dumps(found)}')
    return str(found)


COLUMNS = ("onset", "offset", "note", "velocity")
#: Suffixes of label files; where a recording has several, the first in this order is used.
LABEL_SUFFIXES = (".tsv", ".mid", ".midi")


class LabelError(ValueError):
    """A label file that cannot be used; the message names it and the reason."""


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


LATE_S = 1.0  #: a note later than this after the sound's end means that notes and sound do not match


def within(notes: Iterable[Note], seconds: float) -> list[Note]:
    """The notes that begin within a sound of this length, offsets cut at its end, none overlapping.

    Raises ValueError where the last note begins so late that notes and sound cannot match, or none is left.
    """
    notes = list(notes)
    last_s = max((note.onset_s for note in notes), default=0.0)
    if last_s > seconds + LATE_S:
        raise ValueError(
            f"expected notes and sound of the same recording, but the last note begins at {last_s:.1f} s "
            f"and the sound ends at {seconds:.1f} s"
        )
    kept = without_overlaps(
        replace(note, offset_s=min(note.offset_s, seconds)) for note in notes if note.onset_s < seconds
    )
    if not kept:
        raise ValueError(f"no note begins in the {seconds:.1f} s of sound")
    return kept


def write_table(path: Path, notes: Iterable[Note]) -> None:
    """Writes notes in the format of :func:`read_table`, to the microsecond."""
    rows = [f"{n.onset_s:.6f}\t{n.offset_s:.6f}\t{n.pitch}\t{n.velocity}" for n in notes]
    path.write_text("\n".join(["\t".join(COLUMNS), *rows, ""]), encoding="utf-8")


PEDAL_SUFFIX = ".pedal"
PEDAL_COLUMNS = ["down", "up"]


def read_presses(path: Path) -> np.ndarray | None:
    """Presses [n, 2]: down and up in seconds, in order; None where there is no file.

    Raises LabelError, naming the file and the line, for a table that cannot be used.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from error
    if not lines or lines[0] != PEDAL_COLUMNS:
        raise LabelError(f"{path}: expected the columns {' and '.join(PEDAL_COLUMNS)} (tab separated)")
    presses: list[tuple[float, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            down_s, up_s = (float(value) for value in line)
            if not (presses[-1][1] if presses else 0) <= down_s <= up_s < float("inf"):
                raise ValueError(f"expected presses in order, got {down_s:g} to {up_s:g}")
        except ValueError as error:
            raise LabelError(f"{path}, line {number}: {error}") from error
        presses.append((down_s, up_s))
    return np.array(presses, dtype=float).reshape(-1, 2)


def write_presses(path: Path, presses: Iterable[tuple[float, float]]) -> None:
    """Writes presses in the format of :func:`read_presses`, to the microsecond."""
    rows = [f"{down_s:.6f}\t{up_s:.6f}" for down_s, up_s in presses]
    path.write_text("\n".join(["\t".join(PEDAL_COLUMNS), *rows, ""]), encoding="utf-8")


TRIANGLE_FRAMES = 2


@dataclass(frozen=True)
class Targets:
    """Targets [T, 88], each 0 to 1; ``velocity`` is valid where ``onset`` is above zero."""

    onset: np.ndarray
    frame: np.ndarray
    offset: np.ndarray
    velocity: np.ndarray

    def stacked(self) -> np.ndarray:
        """One array [T, 88, 4] in the order of the heads."""
        return np.stack([self.onset, self.frame, self.offset, self.velocity], axis=-1)


def targets(notes: np.ndarray, frames: int, transpose: int = 0) -> Targets:
    """The targets for ``frames`` frames.

    ``notes`` [n, 4]: onset and offset (s, relative to the first frame; notes may extend beyond the frames on
    either side), pitch, velocity (1-127, 0 unknown). ``transpose`` is in keys; notes that leave the keyboard
    are dropped.
    """
    out = Targets(*(np.zeros((frames, KEYS), dtype=np.float32) for _ in range(4)))
    for onset_s, offset_s, pitch, velocity in notes:
        key = int(pitch) - LOWEST_PITCH + transpose
        if not 0 <= key < KEYS:
            continue
        on = onset_s * FRAMES_PER_SECOND
        off = offset_s * FRAMES_PER_SECOND
        first, last = max(0, round(on)), min(frames, max(round(off), round(on) + 1))
        out.frame[first:last, key] = 1
        _triangle(out.offset[:, key], off)
        span = _triangle(out.onset[:, key], on)
        out.velocity[span, key] = velocity / 127
    return out


def pedal_target(presses: np.ndarray | None, frames: int) -> np.ndarray:
    """Whether the sustain pedal is down in each frame [T], 1 or 0; -1 everywhere if it is not known.

    ``presses`` [n, 2]: down and up, in seconds relative to the first frame.
    """
    if presses is None:
        return np.full(frames, -1, dtype=np.float32)
    out = np.zeros(frames, dtype=np.float32)
    for down_s, up_s in presses:
        out[max(0, round(down_s * FRAMES_PER_SECOND)) : max(0, round(up_s * FRAMES_PER_SECOND))] = 1
    return out


def _triangle(column: np.ndarray, at: float) -> slice:
    """Raises ``column`` to a triangle around frame ``at``; returns the frames it covers."""
    first = max(0, int(np.floor(at)) - TRIANGLE_FRAMES + 1)
    last = min(len(column), int(np.floor(at)) + TRIANGLE_FRAMES + 1)
    if last > first:
        heights = 1 - np.abs(np.arange(first, last) - at) / TRIANGLE_FRAMES
        column[first:last] = np.maximum(column[first:last], heights)
    return slice(first, max(first, last))
