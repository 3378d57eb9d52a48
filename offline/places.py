"""Files and folders by URL, beside local paths, through fsspec (s3, gs, http, zip and tar members, ...).

``s3://bucket/take.wav``, ``https://host/take.wav``, ``zip://in/take.wav::takes.zip``,
``tar://take.wav::s3://bucket/takes.tar``. A recording is copied to a temporary file for reading. An output
is written to a temporary file and uploaded when it is complete.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from ..model.files import machine_name, runs
from .errors import AudioError, MissingExtra

#: Stores in which a file appears only when its upload is complete. Elsewhere a .part file is renamed.
_WHOLE_OR_NOT = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oci", "oss", "memory"}
_READ_ONLY = {"http", "https", "zip", "tar", "libarchive", "github", "git", "data", "reference"}


@dataclass(frozen=True)
class Url:
    """A place given by URL, with the part of ``pathlib.Path`` that recordings and outputs need."""

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
        """The URL without the archive around it and without the query of a web address."""
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
        """The URL of ``path``, a path in this URL's file system."""
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
        """The first ``count`` bytes; None: the whole file."""
        system, path = _system(self)
        return cast(bytes, system.cat_file(path, start=0, end=count))


Place = Path | Url


def place_of(text: str) -> Place:
    """A URL for text with ``://``, else a path. ``file://`` and names of existing files are paths too."""
    if os.path.lexists(text):
        return Path(text)
    if "://" not in text:
        try:
            return Path(text).expanduser()
        except RuntimeError:  # ~NAME without a user of this name
            return Path(text)
    if text.startswith("file://") and "::" not in text:
        return Path(unquote(urlsplit(text).path))
    return Url(text)


def walk(folder: Url) -> Iterator[tuple[Url, list[str]]]:
    """Yields ``folder`` and all folders below that are not hidden, with their file names. Raises OSError.

    Both are sorted, whatever order the store lists them in: all tasks of a job array must see the same.
    """
    system, root = _system(folder)
    if not system.isdir(root):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder.text)
    for parent, folders, files in system.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        with suppress(AttributeError):
            system.dircache.clear()  # the cache would keep the name of every object
        yield folder.beside(parent), sorted(files)


def glob(pattern: Url) -> list[Url]:
    """The URLs that match a pattern, sorted. Raises OSError."""
    system, path = _system(pattern)
    return [pattern.beside(found) for found in sorted(system.glob(path))]


@contextmanager
def local_copy(place: Place) -> Iterator[Path]:
    """Yields a path as it is, or a temporary copy of a URL that exists until the ``with`` block ends.

    Raises AudioError, one line, if the URL cannot be fetched. Each AudioError from the block names the URL,
    not the copy.
    """
    if isinstance(place, Path):
        yield place
        return
    with temporary_folder() as folder:
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
    """Yields a temporary file, and uploads it to the URL if the ``with`` block raises nothing.

    The URL receives the whole file or nothing. Raises OSError if the upload fails.
    """
    with temporary_folder() as folder:
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


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process for copies. If the process is killed, ``remove_dead_copies`` removes it."""
    return tempfile.TemporaryDirectory(prefix=f"hppnet-{os.getpid()}-{machine_name()}-")


def remove_dead_copies() -> None:
    """Remove the temporary folders of all ended processes of this machine."""
    ours = re.compile(rf"hppnet-(\d+)-{re.escape(machine_name())}-.+")
    with suppress(OSError):  # a folder for temporary files that cannot be listed
        for name in os.listdir(tempfile.gettempdir()):
            named = ours.fullmatch(name)
            if named and not runs(int(named[1])):
                shutil.rmtree(Path(tempfile.gettempdir(), name), ignore_errors=True)


def _system(place: Url) -> tuple[Any, str]:
    """The fsspec file system of a place, and the place's path in it.

    Raises MissingExtra without fsspec, or without the package that the store needs.
    """
    try:
        import fsspec
    except ImportError:
        raise MissingExtra(f"{place}: URLs need fsspec: pip install 'hppnet[cluster]'") from None
    try:
        system, path = fsspec.core.url_to_fs(place.text)
    except ImportError as error:
        raise MissingExtra(f"{place}: {' '.join(str(error).split())}") from None
    except ValueError as error:  # an unknown protocol
        raise MissingExtra(f"{place}: {' '.join(str(error).split())}") from None
    return system, path
