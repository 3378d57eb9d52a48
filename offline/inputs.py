"""Which recordings the arguments of the command line mean, one after the other as they are found."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from . import remote
from .places import Place, Url, place_of

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

#: Told of a folder without recordings or beyond reading, and why.
Failed = Callable[[Place, str], object]


class UsageError(ValueError):
    """Arguments that cannot be meant: no such path, two inputs for one output file."""


@dataclass(frozen=True)
class Found:
    """A recording, and its place under an output folder (``rec/a/take.wav`` of ``rec``: ``a/take.wav``)."""

    path: Place
    relative: Path
    output: str | None = None  #: where a list says that it goes


def find_recordings(arguments: Sequence[str], failed: Failed) -> Iterator[Found]:
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


def _of_path(path: Path, several: bool, failed: Failed) -> Iterator[Found]:
    if path.is_dir():
        yield from _in_folder(path, _own_root(path) if several else path, failed)
    elif os.path.lexists(path):
        yield Found(path, Path(path.name))
    elif glob.has_magic(str(path)):
        yield from _fitting(str(path), failed)
    else:
        raise UsageError(f"{path}: no such file or folder")


def _own_root(folder: Path) -> Path:
    """Of several folders each keeps its name under the output folder, as ``cp -r a b out`` does."""
    return folder.parent if folder.name not in ("", "..") else folder


def _in_folder(folder: Path, root: Path, failed: Failed) -> Iterator[Found]:
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
            yield Found(Path(parent, name), below / name)
    if not found and not troubles:
        failed(folder, "expected recordings in this folder, found none")


def looks_like_sound(name: str) -> bool:
    """Hidden files are left alone: macOS keeps ``._take.wav``, which is no sound, beside ``take.wav``."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SOUND_SUFFIXES


def _fitting(pattern: str, failed: Failed) -> Iterator[Found]:
    """A pattern that names a suffix gets what it asks for, another only what looks like sound."""
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
            yield Found(match, match.relative_to(root))
    if not found:
        failed(Path(pattern), "expected recordings to fit this pattern, found none")


def _of_url(url: Url, several: bool, failed: Failed) -> Iterator[Found]:
    """A web server rarely says what its folders hold: there a URL is a file unless it ends in a slash."""
    try:
        if glob.has_magic(url.text.split("::")[0]) and url.scheme not in ("http", "https"):
            yield from _fitting_urls(url)
        elif url.name == "" or (url.scheme not in ("http", "https") and url.is_dir()):
            yield from _in_url(url, several, failed)
        else:
            yield Found(url, Path(url.name))
    except ValueError:
        raise
    except Exception as error:  # each store has errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        failed(url, f"cannot be read: {said}")


def _fitting_urls(pattern: Url) -> Iterator[Found]:
    matches = [url for url in remote.glob(pattern) if looks_like_sound(url.name)]
    if not matches:
        raise UsageError(f"{pattern}: no recording fits this pattern")
    inner = [PurePosixPath(url.text.split("::")[0]) for url in matches]
    common = os.path.commonpath([path.parent for path in inner])
    for url, path in zip(matches, inner, strict=True):
        yield Found(url, Path(path.relative_to(common)))


def _in_url(folder: Url, several: bool, failed: Failed) -> Iterator[Found]:
    found = False
    root: str | None = None
    for parent, names in remote.walk(folder):
        root = parent.inner if root is None else root
        below = Path(PurePosixPath(root).name if several else "", parent.inner[len(root) :].lstrip("/"))
        for name in filter(looks_like_sound, names):
            found = True
            yield Found(parent / name, below / name)
    if not found:
        failed(folder, "expected recordings in this folder, found none")
