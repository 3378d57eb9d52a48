"""Which recordings the arguments and the list of a command mean, one after the other as they are found.

A list is a text, one recording a line, or a CSV with a column ``input``, ``path`` or ``url``.
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

#: Looked for in folders and patterns; a file named outright may have any suffix.
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
#: Told of a folder without recordings or beyond reading, and why.
Failed = Callable[[Place, str], object]


@dataclass(frozen=True)
class FoundRecording:
    """A recording, and its place under an output folder (``rec/a/take.wav`` of ``rec``: ``a/take.wav``)."""

    path: Place
    relative: Path
    output: str | None = None  #: where a list says that it goes


def find_recordings(arguments: Sequence[str], failed: Failed) -> Iterator[FoundRecording]:
    """Files, folders (recursively), patterns (``*``, ``?``, ``[]``, ``**``) and URLs of all three.

    What two arguments mean comes twice. ``failed`` is told of folders without or beyond reading. Raises
    UsageError for a path that does not exist and a pattern that fits nothing, MissingExtra for URLs that
    need a package.
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

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(parent).relative_to(root)
        for name in sorted(filter(looks_like_sound, names)):
            found += 1
            yield FoundRecording(Path(parent, name), below / name)
    if not found and not troubles:
        failed(folder, "expected recordings in this folder, found none")


def looks_like_sound(name: str) -> bool:
    """Hidden files are left alone: macOS keeps ``._take.wav``, which is no sound, beside ``take.wav``."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SOUND_SUFFIXES


def _fitting(pattern: str, failed: Failed) -> Iterator[FoundRecording]:
    """A pattern that names a suffix gets what it asks for, any other what looks like sound."""
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
            if "**" not in pattern:  # there the files come by themselves
                found = True  # or it says so itself
                yield from _in_folder(match, root, failed)
        elif looks_like_sound(match.name) or (wanted and not glob.has_magic(wanted)):
            found = True
            yield FoundRecording(match, match.relative_to(root))
    if not found:
        failed(Path(pattern), "expected recordings to fit this pattern, found none")


def _of_url(url: Url, several: bool, failed: Failed) -> Iterator[FoundRecording]:
    """A web server rarely says what its folders hold: there a URL is a file unless it ends in a slash."""
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
    """The recordings of a list (``-``: standard input), read as they are asked for.

    Paths mean what they would mean on the command line. What has a sound file's suffix is taken as a
    recording without a look at it, so that a million of them need not be touched twice; below an output
    folder they keep their folders beneath the one that all have in common. Raises UsageError for a list
    that cannot be read or has no such column.
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
    """A file that can be read twice."""
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
    """A line that begins with # is a remark; a file of such a name can be written ``./#name``."""
    return bool(line.strip()) and not line.startswith("#")


def _header(file: IO[str], name: str) -> tuple[str, int, int | None] | None:
    """Delimiter and columns where the first line names them; None for a plain text."""
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
    for found in listed:
        inner = found.relative if found.path != place else Path()
        yield FoundRecording(found.path, below / inner, entry.output)
