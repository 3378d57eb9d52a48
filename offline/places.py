"""Files and folders by URL, next to paths: whatever fsspec reaches (s3, gs, http, zip and tar members, ...).

``s3://bucket/take.wav``, ``https://host/take.wav``, ``zip://in/take.wav::takes.zip``,
``tar://take.wav::s3://bucket/takes.tar``. A recording is copied to a temporary file for reading; an output
is written there and copied when it is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from .errors import AudioError, MissingExtra

#: An object is there when it has come whole; elsewhere a name ending in .part becomes the file's.
_WHOLE_OR_NOT = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}
_READ_ONLY = {"http", "https", "zip", "tar", "libarchive", "github", "git", "data", "reference"}


@dataclass(frozen=True)
class Url:
    """A place by URL, with the few words of ``pathlib.Path`` that recordings and outputs need."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def scheme(self) -> str:
        return self.text.split("://", 1)[0]

    @property
    def writable(self) -> bool:
        return self.scheme not in _READ_ONLY

    @property
    def inner(self) -> str:
        """Without the archive that it lies in, and without a web address's query."""
        inner = self.text.split("::", 1)[0]
        return inner.split("?", 1)[0] if self.scheme in ("http", "https") else inner

    @property
    def _outer(self) -> str:
        return self.text[len(self.text.split("::", 1)[0]) :]

    @property
    def name(self) -> str:
        name = self.inner.rsplit("/", 1)[1]
        return unquote(name) if self.scheme in ("http", "https") else name

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    @property
    def parent(self) -> Url:
        return Url(self.inner.rsplit("/", 1)[0] + self._outer)

    def with_name(self, name: str) -> Url:
        return Url(f"{self.inner.rsplit('/', 1)[0]}/{name}{self._outer}")

    def with_suffix(self, suffix: str) -> Url:
        return self.with_name(Path(self.name).stem + suffix)

    def __truediv__(self, below: str | os.PathLike[str]) -> Url:
        folder = self.inner if self.inner.endswith("://") else self.inner.rstrip("/") + "/"
        return Url(folder + Path(below).as_posix() + self._outer)

    def beside(self, path: str) -> Url:
        """What this URL's file system calls ``path``."""
        return Url(_system(self)[0].unstrip_protocol(path) + self._outer)

    def is_dir(self) -> bool:
        return self._ask("isdir")

    def is_file(self) -> bool:
        return self._ask("isfile")

    def exists(self) -> bool:
        return self._ask("exists")

    def _ask(self, question: str) -> bool:
        system, path = _system(self)
        system.invalidate_cache()
        return bool(getattr(system, question)(path))

    def first_bytes(self, count: int | None) -> bytes:
        """None: all of them."""
        system, path = _system(self)
        return cast(bytes, system.cat_file(path, start=0, end=count))


Place = Path | Url


def place_of(text: str) -> Place:
    """A path, or a URL where there is ``://``. ``file://`` is a path, and so is whatever has this name."""
    if os.path.lexists(text):
        return Path(text)
    if "://" not in text:
        try:
            return Path(text).expanduser()
        except RuntimeError:  # ~ and a name that is no user's
            return Path(text)
    if text.startswith("file://") and "::" not in text:
        return Path(unquote(urlsplit(text).path))
    return Url(text)


def walk(folder: Url) -> Iterator[tuple[Url, list[str]]]:
    """Each folder below, sorted, and the names of its files. Raises OSError."""
    system, root = _system(folder)
    if not system.isdir(root):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder.text)
    for parent, folders, files in system.walk(root):
        folders_here = cast(Any, folders)
        for name in [name for name in folders_here if name.startswith(".")]:
            folders_here.pop(name) if isinstance(folders_here, dict) else folders_here.remove(name)
        with suppress(AttributeError):
            system.dircache.clear()  # of a million objects it would keep every name
        yield folder.beside(parent), sorted(files)


def glob(pattern: Url) -> list[Url]:
    """What fits a pattern, sorted. Raises OSError."""
    system, path = _system(pattern)
    return [pattern.beside(found) for found in sorted(system.glob(path))]


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """The file itself, or for as long as the ``with`` block lasts a copy of what a URL names.

    Raises AudioError, one line, when it cannot be fetched; and has errors name the URL, not the copy.
    """
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="hppnet-") as folder:
        copy = Path(folder, f"recording{place.suffix}")
        try:
            system, path = _system(place)
            with system.open(path, "rb") as there, open(copy, "wb") as here:
                shutil.copyfileobj(there, here, 1 << 20)
        except Exception as error:  # each store has errors of its own
            said = " ".join(str(error).split()) or type(error).__name__
            raise AudioError(f"{place}: cannot be read: {said}; check the address and your access") from None
        try:
            yield copy
        except AudioError as error:
            raise AudioError(str(error).replace(str(copy), str(place))) from error


@contextmanager
def uploaded(place: Url) -> Iterator[Path]:
    """A temporary file that is copied to the URL if nothing went wrong, whole or not at all.

    Raises OSError when it cannot be.
    """
    with tempfile.TemporaryDirectory(prefix="hppnet-") as folder:
        copy = Path(folder, place.name)
        yield copy
        try:
            _put(copy, place)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), place.text) from error
        except Exception as error:
            raise OSError(errno.EIO, " ".join(str(error).split()), place.text) from error


def _put(copy: Path, place: Url) -> None:
    system, path = _system(place)
    if place.scheme in _WHOLE_OR_NOT:
        system.put_file(str(copy), path)
        return
    system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    part = f"{path}.{os.getpid()}.part"
    try:
        system.put_file(str(copy), part)
        system.mv(part, path)
    except BaseException:
        with suppress(Exception):
            system.rm_file(part)
        raise


def _system(place: Url) -> tuple[Any, str]:
    """fsspec's file system and its own name of the place.

    Raises MissingExtra without fsspec, or without the package that a store needs.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtra(f"{place}: URLs need fsspec: pip install 'hppnet[cluster]'") from None
    try:
        system, path = fsspec.core.url_to_fs(place.text)
    except ImportError as error:
        raise MissingExtra(f"{place}: {' '.join(str(error).split())}") from None
    except ValueError as error:  # a protocol that nobody knows
        raise MissingExtra(f"{place}: {' '.join(str(error).split())}") from None
    return system, path
