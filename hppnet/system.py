"""What Windows does otherwise than POSIX, so that no other file need ask which of the two runs it.

Untested on a real Windows; ``tests/test_system.py`` takes away here what is missing there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

WINDOWS = os.name == "nt"
#: What asks a program to end: Ctrl-C, a shutdown, a terminal that is closed (Ctrl-Break on Windows).
ENDING_SIGNALS = tuple(n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
#: For ``os.open``: without it Windows writes two bytes for a line feed.
BINARY = getattr(os, "O_BINARY", 0)
REPLACE_WITHIN_S = 2.0  #: as long as another program, a virus scanner say, may hold the file that goes
LOOK_S = 0.05
#: Of Windows: WAIT_TIMEOUT, SYNCHRONIZE, ERROR_ACCESS_DENIED.
_STILL_RUNS, _MAY_WAIT, _FORBIDDEN = 0x102, 0x100000, 5


def replace(part: Path, target: str | Path) -> None:
    """Has ``part`` take the place of ``target``, as ``os.replace``. Raises OSError.

    On Windows that fails while another program has the file open: it is tried again for a while.
    """
    until_s = time.monotonic() + REPLACE_WITHIN_S
    while True:
        try:
            return os.replace(part, target)
        except PermissionError:
            if not WINDOWS or time.monotonic() > until_s:
                raise
        time.sleep(LOOK_S)


def runs(process: int) -> bool:
    """Whether a process of this number runs. ``os.kill(number, 0)`` would end it on Windows."""
    if WINDOWS:
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _runs_on_windows(process: int) -> bool:
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(_MAY_WAIT, False, process)
    if not handle:
        return bool(kernel.GetLastError() == _FORBIDDEN)  # somebody else's
    try:
        return bool(kernel.WaitForSingleObject(handle, 0) == _STILL_RUNS)
    finally:
        kernel.CloseHandle(handle)


def lock(file: IO[Any]) -> None:
    """Waits until no other process has locked this open file; closing it gives it free.

    On a file system without locks it does not wait.
    """
    try:
        import fcntl
    except ImportError:
        _lock_on_windows(file)
        return
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)


def _lock_on_windows(file: IO[Any]) -> None:
    import msvcrt

    while True:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                return
        time.sleep(LOOK_S)


def out_of_reach() -> dict[str, Any]:
    """For ``subprocess.Popen``: Ctrl-C, which the terminal sends to all, does not reach the new process."""
    if WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)}
    return {"start_new_session": True}


def is_reader_gone(error: OSError) -> bool:
    """Whether writing failed since nobody reads the pipe any more: Windows calls that an invalid argument."""
    invalid = WINDOWS and error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or invalid
