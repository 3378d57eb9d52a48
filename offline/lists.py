"""Lists of recordings: a text, one a line, or a CSV with a column ``input``, ``path`` or ``url``."""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .inputs import Failed, Found, UsageError, find_recordings, looks_like_sound
from .places import Url, place_of

_COLUMNS = ("input", "path", "url")


@dataclass(frozen=True)
class _Entry:
    text: str
    output: str | None = None


def find_listed(list_file: str, failed: Failed) -> Iterator[Found]:
    """The recordings of a list (``-``: standard input), read as they are asked for.

    Paths mean what they would mean on the command line. What has a sound file's suffix is taken as a
    recording without a look at it, so that a million of them need not be touched twice; below an output
    folder they keep their folders beneath the one that all have in common. Raises UsageError for a list
    that cannot be read or has no such column.
    """
    with _kept(list_file) as path:
        common = _common_folder(path, list_file)
        empty = True
        for entry in _entries(path, list_file):
            empty = False
            yield from _found(entry, common, failed)
    if empty:
        raise UsageError(f"--list {list_file}: expected recordings, found none")


@contextmanager
def _kept(list_file: str) -> Iterator[Path]:
    """A file that can be read twice."""
    if list_file != "-":
        yield Path(list_file)
        return
    with tempfile.NamedTemporaryFile("wb") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name)


def _entries(path: Path, name: str) -> Iterator[_Entry]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            header = _header(file, name)
            if header is None:
                file.seek(0)
                lines = (line.rstrip("\r\n") for line in file)
                yield from (_Entry(line.removeprefix("\ufeff")) for line in lines if _says_something(line))
                return
            delimiter, column, output = header
            for row in csv.reader(file, delimiter=delimiter):
                if len(row) > column and row[column].strip():
                    own = row[output].strip() if output is not None and len(row) > output else ""
                    yield _Entry(row[column].strip(), own or None)
    except OSError as error:
        raise UsageError(f"--list {name}: cannot be read: {error.strerror}") from None


def _says_something(line: str) -> bool:
    """A line that begins with # is a remark; a file of such a name can be written ``./#name``."""
    return bool(line.strip()) and not line.startswith("#")


def _header(file: IO[str], name: str) -> tuple[str, int, int | None] | None:
    """Delimiter and columns where the first line names them; None for a plain text."""
    first = file.readline()
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    names = [field.strip().lower() for field in next(csv.reader([first], delimiter=delimiter), [])]
    for wanted in _COLUMNS:
        if wanted in names:
            return delimiter, names.index(wanted), names.index("output") if "output" in names else None
    if name.lower().endswith((".csv", ".tsv")):
        found = ", ".join(names) or "nothing"
        raise UsageError(f"--list {name}: expected a column named input, path or url, found: {found}")
    return None


def _common_folder(path: Path, name: str) -> str | None:
    """The folder that all entries without an output of their own lie in; None where there is none."""
    common: str | None = None
    for entry in _entries(path, name):
        folder = _folder(entry.text)
        if common is None:
            common = folder
        elif folder != common:
            try:
                common = os.path.commonpath([common, folder])
            except ValueError:  # an absolute path beside a relative one, or two drives
                return None
    return common


def _folder(text: str) -> str:
    return os.path.dirname(os.path.normpath(text.split("::")[0]))


def _found(entry: _Entry, common: str | None, failed: Failed) -> Iterator[Found]:
    place = place_of(entry.text)
    listed: list[Found] | Iterator[Found] = [Found(place, Path(place.name))]
    if not isinstance(place, Url) and not looks_like_sound(place.name):
        try:
            listed = list(find_recordings([entry.text], failed)) if place.is_dir() else listed
        except UsageError as error:
            failed(place, str(error))
            return
    below = Path(place.name)
    if common is not None and entry.output is None:
        below = Path(os.path.normpath(entry.text.split("::")[0])).relative_to(common or ".")
    for found in listed:
        inner = found.relative if found.path != place else Path()
        yield Found(found.path, below / inner, entry.output)
