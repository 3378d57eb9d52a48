"""Notes as MIDI, CSV and JSON files that are whole or not there at all."""

from __future__ import annotations

import csv
import itertools
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ..model.notes import Note, Press, sounding, write_midi
from .remote import Place, Url, uploaded

FORMATS = ("mid", "csv", "json")
_DECIMALS = 6  #: of a second, in CSV and JSON
_PREFIX = ".hppnet"
_numbers = itertools.count()


def write_csv(
    notes: Sequence[Note], path: str | os.PathLike[str], pedal: Sequence[Press] | None = None
) -> None:
    """One line a note: onset_s, offset_s (seconds), pitch (MIDI number), name, velocity (1 to 127).

    Where it is known what the pedal did, sounding_s too: when the note stops sounding.
    """
    rows = _rows(notes, pedal)
    with open(path, "w", newline="", encoding="utf-8") as file:
        names = ["onset_s", "offset_s", "pitch", "name", "velocity"]
        table = csv.DictWriter(file, names if pedal is None else [*names, "sounding_s"])
        table.writeheader()
        table.writerows(rows)


def write_json(
    notes: Sequence[Note],
    path: str | os.PathLike[str],
    about: Mapping[str, Any],
    pedal: Sequence[Press] | None = None,
) -> None:
    """``about`` (source, duration_s, settings, ...), the pedal's presses, the notes with CSV's names."""
    held = {} if pedal is None else {"pedal": [_press(press) for press in pedal]}
    with open(path, "w", encoding="utf-8") as file:
        # A name that is no UTF-8 must not stop the writing: JSON escapes it.
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
    offsets: str = "keys",
) -> dict[str, Callable[[Path], None]]:
    """For each of FORMATS what writes it to a path.

    In MIDI files notes end with their keys beside the pedal as a controller, or with ``offsets`` sounding
    when they stop sounding, and the pedal is left out: it would hold them once more.
    """
    presses = pedal or ()
    midi = (sounding(notes, presses), ()) if offsets == "sounding" else (notes, presses)
    return {
        "mid": lambda path: write_midi(midi[0], path, midi[1]),
        "csv": lambda path: write_csv(notes, path, pedal),
        "json": lambda path: write_json(notes, path, about, pedal),
    }


def write_outputs(outputs: Mapping[Place, Callable[[Path], None]]) -> None:
    """Write each place through its function, making folders; none appears before all are written.

    Raises OSError when a folder or file cannot be written.
    """
    with ExitStack() as finished:
        for place, write in outputs.items():
            if isinstance(place, Url):
                write(finished.enter_context(uploaded(place)))
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            write(finished.enter_context(atomic(place)))


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder, which takes the place of ``path`` if nothing went wrong."""
    part = path.parent / f"{_PREFIX}-{os.getpid()}-{next(_numbers)}-{platform.node()}.part"
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def cannot_write(error: OSError) -> str:
    """In words, with the file or folder that is in the way."""
    name = str(error.filename2 or error.filename or "the outputs")
    place = os.path.dirname(name) if os.path.basename(name).startswith(_PREFIX) else name
    return f"cannot write {place}: {error.strerror or error}"


def remove_parts(folder: Path, process: int, machine: str = "") -> None:
    """Remove what a process that was killed while writing has left in a folder; of one machine, or of any."""
    for part in folder.glob(f"{_PREFIX}-{process}-*{machine}.part"):
        part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left in a folder."""
    ours = re.compile(rf"{re.escape(_PREFIX)}-(\d+)-\d+-{re.escape(platform.node())}\.part")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = ours.fullmatch(entry.name)
            if named and not _alive(int(named[1])):
                Path(entry.path).unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
