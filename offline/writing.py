"""Notes as MIDI, CSV and JSON files that are whole or not there at all. (Events as lines: ``jsonl``.)"""

from __future__ import annotations

import csv
import errno
import glob
import hashlib
import itertools
import json
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from ..model.notes import Note, Press, sounding, write_midi
from ..system import replace, runs
from .remote import Place, Url, uploaded

FORMATS = ("mid", "csv", "json", "jsonl")
CSV_COLUMNS = ("onset_s", "offset_s", "pitch", "name", "velocity")
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
        table = csv.DictWriter(file, CSV_COLUMNS if pedal is None else (*CSV_COLUMNS, "sounding_s"))
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
    text: str = "",
) -> dict[str, Callable[[Path], None]]:
    """For each of FORMATS but jsonl what writes it to a path.

    In MIDI files notes end with their keys beside the pedal as a controller, or with ``offsets`` sounding
    when they stop sounding, and the pedal is left out: it would hold them once more. ``text`` becomes a text
    event of theirs.
    """
    presses = pedal or ()
    midi = (sounding(notes, presses), ()) if offsets == "sounding" else (notes, presses)
    return {
        "mid": lambda path: write_midi(midi[0], path, midi[1], [text] if text else ()),
        "csv": lambda path: write_csv(notes, path, pedal),
        "json": lambda path: write_json(notes, path, about, pedal),
    }


def write_outputs(outputs: Mapping[Place, Callable[[Path], object]]) -> None:
    """Write each place through its function, making folders; all appear, or what was there before stays.

    Raises OSError when a folder or file cannot be written.
    """
    parts: dict[Path, Path] = {}
    with ExitStack() as finished:
        for place, write in outputs.items():
            if isinstance(place, Url):
                write(finished.enter_context(uploaded(place)))
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            part = _part_of(place)
            finished.callback(part.unlink, missing_ok=True)
            with _naming(place):
                write(part)
            parts[part] = place
        _replace_all(parts)


def _replace_all(parts: Mapping[Path, Path]) -> None:
    """Each part takes its file's place. Where one cannot, those before it give theirs back."""
    done: list[tuple[Path, Path | None]] = []
    try:
        for part, place in parts.items():
            target = Path(os.path.realpath(place))  # what a link leads to; the link stays
            kept = _kept(target) if len(parts) > 1 else None
            done.append((target, kept))
            try:
                with _naming(place):
                    replace(part, target)
            except OSError:
                done.pop()
                if kept is not None:
                    kept.unlink(missing_ok=True)
                raise
    except BaseException:
        for target, kept in done:
            with suppress(OSError):
                target.unlink() if kept is None else replace(kept, target)
        raise
    for _, kept in done:
        if kept is not None:
            kept.unlink(missing_ok=True)


@contextmanager
def _naming(place: Path) -> Iterator[None]:
    """An error names the file as the user does, not the one that is written in its stead."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(place)) from error


def _kept(target: Path) -> Path | None:
    """Another name for what is there, until it is known that it goes."""
    kept = _part_of(target)
    try:
        os.link(target, kept)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without such names
        kept.write_bytes(target.read_bytes())
    return kept


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary name in the same folder, which takes the place of ``path`` if nothing went wrong."""
    part = _part_of(path)
    try:
        yield part
        replace(part, os.path.realpath(path))
    finally:
        part.unlink(missing_ok=True)


def _part_of(path: Path) -> Path:
    """Short, whatever the name it stands for; in the folder where the file itself lies, behind any link."""
    folder = Path(os.path.realpath(path)).parent
    return folder / f"{_PREFIX}-{os.getpid()}-{next(_numbers)}-{machine()}.part"


@cache
def machine() -> str:
    """A name for all processes whose numbers this process can see: containers share folders and names."""
    own = [platform.node()]
    with suppress(OSError):
        own.append(Path("/etc/machine-id").read_text())
    with suppress(OSError):
        own.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return f"{platform.node()[:64]}-{hashlib.sha256(' '.join(own).encode()).hexdigest()[:8]}"


def cannot_write(error: OSError) -> str:
    """In words, with the file or folder that is in the way."""
    name = str(error.filename2 or error.filename or "the outputs")
    place = os.path.dirname(name) if os.path.basename(name).startswith(_PREFIX) else name
    return f"cannot write {place}: {error.strerror or error}"


def remove_parts(folder: Path, process: int, machine: str) -> None:
    """Remove what a process of one machine that was killed while writing has left in a folder."""
    for part in folder.glob(f"{_PREFIX}-{process}-*-{glob.escape(machine)}.part"):
        if re.fullmatch(rf"{re.escape(_PREFIX)}-\d+-\d+-{re.escape(machine)}\.part", part.name):
            part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Remove what processes of this machine that are no more have left in a folder."""
    ours = re.compile(rf"{re.escape(_PREFIX)}-(\d+)-\d+-{re.escape(machine())}\.part")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = ours.fullmatch(entry.name)
            if named and not runs(int(named[1])):
                Path(entry.path).unlink(missing_ok=True)
