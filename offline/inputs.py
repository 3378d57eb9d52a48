"""Finds the recordings that a command's arguments and list name, and yields them one by one.

A list is a text with one recording per line, or a CSV with a column ``input``, ``path`` or ``url``.
"""

from __future__ import annotations

import csv
import glob
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from . import places
from .errors import UsageError
from .places import Place, Url, place_of

#: Searched for in folders and patterns. A file named directly may have any suffix.
SOUND_SUFFIXES = frozenset(
    [
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        # ffmpeg reads the following
        *(".m4a", ".m4b", ".aac", ".ac3", ".wma", ".ape", ".wv", ".tta", ".amr", ".mka"),
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".3gp", ".flv", ".mpg", ".mpeg"),
    ]
)

_LIST_COLUMNS = ("input", "path", "url")
#: Called with a place where no recording was found or read, and the reason.
Failed = Callable[[Place, str], object]


@dataclass(frozen=True)
class FoundRecording:
    """A recording and its path below an output folder (``a/take.wav`` for ``rec/a/take.wav`` in ``rec``)."""

    path: Place
    relative: Path
    output: str | None = None  #: output given by a list


def find_recordings(arguments: Sequence[str], failed: Failed) -> Iterator[FoundRecording]:
    """Files, folders (recursively), patterns (``*``, ``?``, ``[]``, ``**``) and URLs of all three.

    A recording named by two arguments is yielded twice. ``failed`` is called for empty and unreadable
    folders. Raises UsageError for a path that does not exist and a pattern without a match, MissingExtra for
    URLs that need a package.
    """
    several = len(arguments) > 1
    for argument in arguments:
        if not argument:
            raise UsageError("expected a file, folder, pattern or URL, got an empty name")
        place = place_of(argument)
        yield from (
            _of_url(place, several, failed) if isinstance(place, Url) else _of_path(place, several, failed)
        )


def _of_path(path: Path, several: bool, failed: Failed) -> Iterator[FoundRecording]:
    if path.is_dir():
        yield from _in_folder(path, _own_root(path) if several else path, failed)
    elif os.path.lexists(path):
        yield FoundRecording(path, Path(path.name))
    elif glob.has_magic(str(path)):
        yield from _fitting(str(path), failed)
    else:
        raise UsageError(f"{path}: no such file or folder")


def _own_root(folder: Path) -> Path:
    """Each of several folders keeps its name under the output folder, as ``cp -r a b out`` does."""
    return folder.parent if folder.name not in ("", "..") else folder


def _in_folder(folder: Path, root: Path, failed: Failed) -> Iterator[FoundRecording]:
    found = troubles = 0

    def unreadable(error: OSError) -> None:
        nonlocal troubles
        troubles += 1
        failed(Path(error.filename), f"cannot be read: {error.strerror}")

    searched = [Path(os.path.realpath(folder))]
    for parent, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        shown = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in shown if _to_search(Path(parent, name), searched)]
        below = Path(parent).relative_to(root)
        for name in sorted(filter(looks_like_sound, names)):
            found += 1
            yield FoundRecording(Path(parent, name), below / name)
    if not found and not troubles:
        failed(folder, "expected recordings in this folder, found none")


def _to_search(folder: Path, searched: list[Path]) -> bool:
    """Whether to search a folder. A link is not followed to a folder in ``searched`` or above its first."""
    if not folder.is_symlink():
        return True
    target = Path(os.path.realpath(folder))
    if searched[0].is_relative_to(target) or any(target.is_relative_to(known) for known in searched):
        return False
    searched.append(target)
    return True


def looks_like_sound(name: str) -> bool:
    """Whether a name has a sound suffix and is not hidden. macOS's hidden ``._take.wav`` holds no sound."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SOUND_SUFFIXES


def _fitting(pattern: str, failed: Failed) -> Iterator[FoundRecording]:
    """Files that match a pattern; only those with a sound suffix, unless the pattern names a suffix."""
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise UsageError(f"{pattern}: no file fits this pattern")
    wanted = Path(pattern).suffix
    found = False
    for match in map(Path, matches):
        if match.is_dir():
            if "**" not in pattern:  # ** also matches the files in it
                found = True  # _in_folder reports an empty folder
                yield from _in_folder(match, root, failed)
        elif looks_like_sound(match.name) or (wanted and not glob.has_magic(wanted)):
            found = True
            yield FoundRecording(match, match.relative_to(root))
    if not found:
        failed(Path(pattern), "expected recordings to fit this pattern, found none")


def _of_url(url: Url, several: bool, failed: Failed) -> Iterator[FoundRecording]:
    """Recordings of a URL. Web servers rarely list folders: http URLs of folders must end in a slash."""
    try:
        if glob.has_magic(url.text.split("::")[0]) and url.scheme not in ("http", "https"):
            yield from _fitting_urls(url)
        elif url.name == "" or (url.scheme not in ("http", "https") and url.is_dir()):
            yield from _in_url(url, several, failed)
        else:
            yield FoundRecording(url, Path(url.name))
    except ValueError:
        raise
    except Exception as error:  # each store has errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        failed(url, f"cannot be read: {said}")


def _fitting_urls(pattern: Url) -> Iterator[FoundRecording]:
    matches = [url for url in places.glob(pattern) if looks_like_sound(url.name)]
    if not matches:
        raise UsageError(f"{pattern}: no recording fits this pattern")
    inner = [PurePosixPath(url.text.split("::")[0]) for url in matches]
    common = os.path.commonpath([path.parent for path in inner])
    for url, path in zip(matches, inner, strict=True):
        yield FoundRecording(url, Path(path.relative_to(common)))


def _in_url(folder: Url, several: bool, failed: Failed) -> Iterator[FoundRecording]:
    found = False
    root: str | None = None
    for parent, names in places.walk(folder):
        root = parent.inner if root is None else root
        below = Path(PurePosixPath(root).name if several else "", parent.inner[len(root) :].lstrip("/"))
        for name in filter(looks_like_sound, names):
            found = True
            yield FoundRecording(parent / name, below / name)
    if not found:
        failed(folder, "expected recordings in this folder, found none")


# --- lists ---


@dataclass(frozen=True)
class _ListEntry:
    text: str
    output: str | None = None


def find_listed(list_file: str, failed: Failed) -> Iterator[FoundRecording]:
    """The recordings of a list (``-``: standard input), which is read as they are requested.

    Paths, but not patterns, are interpreted as on the command line. An entry with a sound suffix is taken as
    a recording without a check that it exists, so a million files are not accessed twice. In an output
    folder recordings keep their folders below the common folder of all entries without an output of their
    own. Raises UsageError for a list that cannot be read, is empty or has no such column.
    """
    with _read_twice(list_file) as path:
        common = _common_folder(path, list_file)
        empty = True
        for entry in _entries(path, list_file):
            empty = False
            yield from _recordings_of(entry, common, failed)
    if empty:
        raise UsageError(f"--list {list_file}: expected recordings, found none")


@contextmanager
def _read_twice(list_file: str) -> Iterator[Path]:
    """Yields a path that can be read twice; standard input is saved to a temporary file."""
    if list_file != "-":
        yield Path(list_file)
        return
    with tempfile.NamedTemporaryFile("wb") as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.flush()
        yield Path(kept.name)


def _entries(path: Path, name: str) -> Iterator[_ListEntry]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            header = _header(file, name)
            if header is None:
                file.seek(0)
                lines = (line.rstrip("\r\n") for line in file)
                yield from (
                    _ListEntry(line.removeprefix("\ufeff")) for line in lines if _says_something(line)
                )
                return
            delimiter, column, output = header
            for row in csv.reader(file, delimiter=delimiter):
                if len(row) > column and row[column].strip():
                    own = row[output].strip() if output is not None and len(row) > output else ""
                    yield _ListEntry(row[column].strip(), own or None)
    except OSError as error:
        raise UsageError(f"--list {name}: cannot be read: {error.strerror}") from None


def _says_something(line: str) -> bool:
    """Whether a line is neither blank nor a comment (``#...``). A file ``#name`` is written ``./#name``."""
    return bool(line.strip()) and not line.startswith("#")


def _header(file: IO[str], name: str) -> tuple[str, int, int | None] | None:
    """Delimiter, input column and output column of a table; None for a plain text."""
    first = file.readline()
    delimiter = "\t" if name.lower().endswith(".tsv") else ","
    names = [field.strip().lower() for field in next(csv.reader([first], delimiter=delimiter), [])]
    for wanted in _LIST_COLUMNS:
        if wanted in names:
            return delimiter, names.index(wanted), names.index("output") if "output" in names else None
    if name.lower().endswith((".csv", ".tsv")):
        found = ", ".join(names) or "nothing"
        raise UsageError(f"--list {name}: expected a column named input, path or url, found: {found}")
    return None


def _common_folder(path: Path, name: str) -> str | None:
    """The lowest folder with all entries that have no output of their own; None where there is none."""
    common: str | None = None
    for entry in _entries(path, name):
        if entry.output is not None:
            continue
        folder = _folder(entry.text)
        if common is None:
            common = folder
        elif folder != common:
            try:
                common = os.path.commonpath([common, folder])
            except ValueError:  # an absolute and a relative path, or two drives
                return None
    return common


def _folder(text: str) -> str:
    return os.path.dirname(os.path.normpath(text.split("::")[0]))


def _recordings_of(entry: _ListEntry, common: str | None, failed: Failed) -> Iterator[FoundRecording]:
    place = place_of(entry.text)
    listed: list[FoundRecording] | Iterator[FoundRecording] = [FoundRecording(place, Path(place.name))]
    if not isinstance(place, Url) and not looks_like_sound(place.name):
        try:
            listed = list(find_recordings([entry.text], failed)) if place.is_dir() else listed
        except UsageError as error:
            failed(place, str(error))
            return
    below = Path(place.name)
    if common is not None and entry.output is None:
        below = Path(os.path.normpath(entry.text.split("::")[0])).relative_to(common or ".")
    if ".." in below.parts:  # outputs stay below the output folder
        below = Path("" if place.name == ".." else place.name)
    for found in listed:
        inner = found.relative if found.path != place else Path()
        yield FoundRecording(found.path, below / inner, entry.output)
