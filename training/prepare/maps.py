"""MAPS (Emiya, Badeau, David, "Multipitch estimation of piano sounds", 2010): recordings with labels.

A piece is ``NAME.wav`` with ``NAME.txt`` and ``NAME.mid``, or with ``NAME.tsv``, as onsets-and-frames
distributes it. The ``.txt`` has a header and one line per note: onset, offset (seconds), MIDI pitch. Its
offsets are key releases. It has no velocities: they come from the ``.mid`` beside it, or are 0 (unknown)
without one. Offsets that the pedal prolongs come from the ``.mid`` alone.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

from ...model.notes import Note
from ..data.labels import read_table
from ..data.performances import MIDI_SUFFIXES, performed

LABEL_SUFFIXES = (".tsv", ".txt", *MIDI_SUFFIXES)  #: in order of preference
SAME_S = 0.05  #: onsets of a key this close in two label files are one note


def read_maps(labels: tuple[Path, ...], note_ends: str) -> list[Note]:
    """The notes of a piece. Raises ValueError that names the file."""
    midi = [path for path in labels if path.suffix.lower() in MIDI_SUFFIXES]
    if note_ends == "sounding":
        if not midi:
            raise ValueError(f"{labels[0]}: sounding ends need the pedal, and so a MIDI file beside it")
        return performed((midi[0],), note_ends)
    first = labels[0]
    if first.suffix.lower() == ".tsv":
        return read_table(first)
    if first.suffix.lower() == ".txt":
        notes = read_text(first)
        return with_velocities(notes, performed((midi[0],), "keys")) if midi else notes
    return performed((first,), "keys")


def read_text(path: Path) -> list[Note]:
    """The notes of a ``.txt`` of MAPS, velocity 0. Raises ValueError that names file and line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if not lines or lines[0].split() != ["OnsetTime", "OffsetTime", "MidiPitch"]:
        found = repr(lines[0][:60]) if lines else "an empty file"
        raise ValueError(f"{path}: expected the columns OnsetTime, OffsetTime, MidiPitch, found {found}")
    return [_note(path, number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]


def _note(path: Path, number: int, line: str) -> Note:
    try:
        onset_s, offset_s, pitch = map(float, line.split())
        if not (0 <= onset_s <= offset_s < float("inf") and pitch in range(128)):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{path}, line {number}: expected onset <= offset (s) and a MIDI pitch, got {line.strip()[:60]!r}"
        ) from None
    return Note(onset_s, offset_s, int(pitch), 0)


def with_velocities(notes: list[Note], played: list[Note]) -> list[Note]:
    """``notes``, each with the velocity of the note in ``played`` of its pitch and onset (0 without one)."""
    strokes: dict[int, list[Note]] = {}
    for note in sorted(played):
        strokes.setdefault(note.pitch, []).append(note)
    return [replace(note, velocity=_velocity(note, strokes.get(note.pitch, []))) for note in notes]


def _velocity(note: Note, strokes: list[Note]) -> int:
    at = bisect_left(strokes, note.onset_s, key=lambda stroke: stroke.onset_s)
    near = min(strokes[max(0, at - 1) : at + 1], key=lambda s: abs(s.onset_s - note.onset_s), default=None)
    return near.velocity if near and abs(near.onset_s - note.onset_s) <= SAME_S else 0
