"""What Windows does otherwise than POSIX, so that no other file need ask which of the two runs it.

``model/files.py`` has what concerns files that are replaced. Untested on a real Windows;
``tests/test_system.py`` takes away here what is missing there.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from typing import IO, Any

from .model.files import WINDOWS as WINDOWS

#: What asks a program to end: Ctrl-C, a shutdown, a terminal that is closed (Ctrl-Break on Windows).
ENDING_SIGNALS = tuple(n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
#: For ``os.open``: without it Windows writes two bytes for a line feed.
BINARY = getattr(os, "O_BINARY", 0)
LOOK_S = 0.05


def lock(file: IO[Any], wait: bool = True) -> bool:
    """Locks this open file for this process; closing it gives it free.

    Waits until no other process has it. Without ``wait`` it does not, and returns False where another has it.
    On a file system without locks it returns True at once.
    """
    try:
        import fcntl
    except ImportError:
        return _lock_on_windows(file, wait)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _lock_on_windows(file: IO[Any], wait: bool) -> bool:
    import msvcrt

    while True:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return True
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                return True
        if not wait:
            return False
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
