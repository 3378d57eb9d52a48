"""Writes files completely or not at all: under a temporary name, then renamed."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import itertools
import os
import platform
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

PART_PREFIX = ".hppnet"  #: prefix of the names of temporary files
WINDOWS = os.name == "nt"
REPLACE_WITHIN_S = 2.0  #: time for another program, such as a virus scanner, to close the file
LOOK_S = 0.05
#: Windows constants: WAIT_TIMEOUT, SYNCHRONIZE, ERROR_ACCESS_DENIED.
_STILL_RUNS, _MAY_WAIT, _FORBIDDEN = 0x102, 0x100000, 5
_numbers = itertools.count()


def replace(part: Path, target: str | Path) -> None:
    """Replaces ``target`` with ``part``, as ``os.replace``. Raises OSError.

    On Windows this fails while another program has the file open, so it is retried for REPLACE_WITHIN_S.
    """
    until_s = time.monotonic() + REPLACE_WITHIN_S
    while True:
        try:
            return os.replace(part, target)
        except PermissionError:
            if not WINDOWS or time.monotonic() > until_s:
                raise
        time.sleep(LOOK_S)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder. Its file replaces ``path`` unless an error occurs.

    If ``path`` is a link, its target is replaced and the link stays. Raises OSError.
    """
    part = _part_of(path)
    try:
        yield part
        replace(part, os.path.realpath(path))
    finally:
        part.unlink(missing_ok=True)


def write_files(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Writes each file with its function and makes folders. If one file fails, all old files are kept.

    Raises OSError, which names the file, if a folder or file cannot be written.
    """
    parts: dict[Path, Path] = {}
    with ExitStack() as finished:
        for path, write in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part = _part_of(path)
            finished.callback(part.unlink, missing_ok=True)
            with _naming(path):
                write(part)
            parts[part] = path
        _replace_all(parts)


def _replace_all(parts: Mapping[Path, Path]) -> None:
    """Replaces each file with its part. If one fails, the files replaced before it are restored."""
    done: list[tuple[Path, Path, Path | None]] = []  # part, target, the old file's second name
    try:
        for part, path in parts.items():
            target = Path(os.path.realpath(path))  # the target of a link; the link stays
            if len(parts) > 1:
                done.append((part, target, _kept(target)))
            with _naming(path):
                replace(part, target)
    except BaseException:
        for part, target, kept in done:
            with suppress(OSError):
                if not part.exists():  # else it has replaced nothing
                    target.unlink() if kept is None else replace(kept, target)
                elif kept is not None:
                    kept.unlink()
        raise
    for _, _, kept in done:
        if kept is not None:
            kept.unlink(missing_ok=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes an OSError name the user's file instead of the temporary one."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error


def _kept(target: Path) -> Path | None:
    """A second name for the old file, to restore it from. None if there is no old file."""
    kept = _part_of(target)
    try:
        os.link(target, kept)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without hard links
        kept.write_bytes(target.read_bytes())
    return kept


def _part_of(path: Path) -> Path:
    """A temporary path, short for any file name, in the folder of the file itself (links followed)."""
    folder = Path(os.path.realpath(path)).parent
    return folder / f"{PART_PREFIX}-{os.getpid()}-{next(_numbers)}-{machine_name()}.part"


@cache
def machine_name() -> str:
    """A name shared by all processes whose ids this process sees. Containers may share host names."""
    own = [platform.node()]
    with suppress(OSError):
        own.append(Path("/etc/machine-id").read_text())
    with suppress(OSError):
        own.append(str(os.stat("/proc/self/ns/pid").st_ino))
    return f"{platform.node()[:64]}-{hashlib.sha256(' '.join(own).encode()).hexdigest()[:8]}"


def remove_parts(folder: Path, process: int, machine: str) -> None:
    """Removes the temporary files of a process of one machine that was killed while writing."""
    for part in folder.glob(f"{PART_PREFIX}-{process}-*-{glob.escape(machine)}.part"):
        if re.fullmatch(rf"{re.escape(PART_PREFIX)}-\d+-\d+-{re.escape(machine)}\.part", part.name):
            part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Removes the temporary files of all ended processes of this machine."""
    ours = re.compile(rf"{re.escape(PART_PREFIX)}-(\d+)-\d+-{re.escape(machine_name())}\.part")
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            named = ours.fullmatch(entry.name)
            if named and not runs(int(named[1])):
                Path(entry.path).unlink(missing_ok=True)


def runs(process: int) -> bool:
    """Whether a process with this id runs. On Windows, ``os.kill(process, 0)`` would end it."""
    if WINDOWS:
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's process
        return True
    return True


def _runs_on_windows(process: int) -> bool:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(_MAY_WAIT, False, process)
    if not handle:
        return bool(kernel.GetLastError() == _FORBIDDEN)  # another user's process
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == _STILL_RUNS)
    finally:
        kernel.CloseHandle(handle)


def file_above(path: Path) -> Path | None:
    """The file that stands where ``path`` needs a folder; None if there is none."""
    return next(filter(os.path.isfile, path.parents), None)


def is_special(path: Path) -> bool:
    """Whether this is a pipe, a terminal or /dev/null: it is written to, never replaced by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
