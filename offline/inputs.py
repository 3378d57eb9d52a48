"""Which recordings the arguments of the command line mean."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Looked for in folders and patterns; a file named outright may have any suffix.
SOUND_SUFFIXES = frozenset(
    [
        *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
        *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
        *(
            ".m4a",
            ".m4b",
            ".aac",
            ".ac3",
            ".wma",
            ".ape",
            ".wv",
            ".tta",
            ".amr",
            ".mka",
        ),  # ffmpeg from here
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".3gp", ".flv", ".mpg", ".mpeg"),
    ]
)


class UsageError(ValueError):
    """Arguments that cannot be meant: no such path, two inputs for one output file."""


@dataclass(frozen=True)
class Found:
    """A recording, and its place under an output folder (``rec/a/take.wav`` of ``rec``: ``a/take.wav``)."""

    path: Path
    relative: Path


@dataclass
class Search:
    """What the arguments led to."""

    found: list[Found] = field(default_factory=list)
    failures: list[tuple[Path, str]] = field(default_factory=list)  #: folders without or beyond reading


def find_recordings(arguments: Sequence[str]) -> Search:
    """Files, folders (recursively) and patterns (``*``, ``?``, ``[]``, ``**``), each recording once.

    A folder without recordings is a failure of that folder. Raises UsageError for a path that does not
    exist and a pattern that fits nothing.
    """
    search = Search()
    several = len(arguments) > 1
    for argument in arguments:
        path = Path(argument).expanduser()
        if path.is_dir():
            _search_folder(path, _own_root(path) if several else path, search)
        elif os.path.lexists(path):
            search.found.append(Found(path, Path(path.name)))
        elif glob.has_magic(argument):
            _search_pattern(str(path), search)
        else:
            raise UsageError(f"{argument}: no such file or folder")
    search.found = _without_repeats(search.found)
    return search


def _own_root(folder: Path) -> Path:
    """Of several folders each keeps its name under the output folder, as ``cp -r a b out`` does."""
    return folder.parent if folder.name not in ("", "..") else folder


def _search_folder(folder: Path, root: Path, search: Search) -> None:
    before = len(search.found)

    def unreadable(error: OSError) -> None:
        search.failures.append((Path(error.filename), f"cannot be read: {error.strerror}"))

    failed = len(search.failures)
    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if _looks_like_sound(name):
                path = Path(parent, name)
                search.found.append(Found(path, path.relative_to(root)))
    if len(search.found) == before and len(search.failures) == failed:
        search.failures.append((folder, "expected recordings in this folder, found none"))


def _looks_like_sound(name: str) -> bool:
    """Hidden files are left alone: macOS keeps ``._take.wav``, which is no sound, beside ``take.wav``."""
    return not name.startswith(".") and Path(name).suffix.lower() in SOUND_SUFFIXES


def _search_pattern(pattern: str, search: Search) -> None:
    """A pattern that names a suffix gets what it asks for, another only what looks like sound."""
    root = Path(pattern)
    while glob.has_magic(str(root)):
        root = root.parent
    matches = sorted(glob.glob(pattern, recursive=True))
    if not matches:
        raise UsageError(f"{pattern}: no file fits this pattern")
    wanted = Path(pattern).suffix
    before = len(search.found)
    for match in map(Path, matches):
        if match.is_dir():
            if "**" not in pattern:  # there the files come by themselves
                _search_folder(match, root, search)
        elif _looks_like_sound(match.name) or (wanted and not glob.has_magic(wanted)):
            search.found.append(Found(match, match.relative_to(root)))
    if len(search.found) == before:
        search.failures.append((Path(pattern), "expected recordings to fit this pattern, found none"))


def _without_repeats(found: Iterable[Found]) -> list[Found]:
    unique: dict[str, Found] = {}
    for item in found:
        unique.setdefault(os.path.realpath(item.path), item)
    return list(unique.values())
