"""Differences between Windows and POSIX, so that no other file needs to check which of the two it runs on.

``model/files.py`` handles the replacement of files. Untested on a real Windows; ``tests/test_system.py``
removes from this module what is missing there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from .model.files import WINDOWS as WINDOWS

#: Signals that ask a program to end: Ctrl-C, a shutdown, a closed terminal (Ctrl-Break on Windows).
ENDING_SIGNALS = tuple(n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
#: For ``os.open``: without it Windows writes two bytes for a line feed.
BINARY = getattr(os, "O_BINARY", 0)
LOOK_S = 0.05
REAL_TIME_PRIORITY = 2  #: 1 to 99; below the sound threads of JACK (5) and PipeWire
_HIGH_PRIORITY_CLASS = 0x80  #: from the Windows API


def lock(file: IO[Any], wait: bool = True) -> bool:
    """Locks this open file for this process, until it is closed. Returns whether the lock was taken.

    Waits while another process holds the lock; without ``wait`` it returns False instead. On a file system
    without locks it returns True at once.
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
    """Arguments for ``subprocess.Popen`` that keep the terminal's Ctrl-C from the new process."""
    if WINDOWS:
        return {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200)}
    return {"start_new_session": True}


@contextmanager
def before_other_programs() -> Iterator[bool]:
    """Runs this thread, and the threads and processes that it starts, before other programs.

    Yields whether the system granted it: high priority on Windows, real-time priority on Linux (for root, and
    for users with ``rtprio`` in limits.conf). It is not requested on a single core, which others need too.
    """
    give_back = _take_high_priority() if WINDOWS else _take_real_time()
    try:
        yield give_back is not None
    finally:
        if give_back is not None:
            with suppress(OSError):
                give_back()


def _take_real_time() -> Callable[[], object] | None:
    """Takes real-time priority; returns what gives it back, None if it was refused."""
    from .processes import cores  # imported here, as it imports this module

    try:
        import resource

        if cores() < 2:
            return None
        if resource.getrlimit(resource.RLIMIT_RTTIME)[0] != resource.RLIM_INFINITY:
            return None  # loading the network exceeds such a limit, which would end the program
        usual, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except (OSError, ImportError, AttributeError):  # refused; macOS has no such calls
        return None
    return lambda: os.sched_setscheduler(0, usual, parameters)


def before_parent() -> None:
    """Runs this thread, and those that it starts, before a parent that is in ``before_other_programs``."""
    with suppress(OSError, AttributeError):
        if os.sched_getscheduler(0) == os.SCHED_RR:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY + 1))


def _take_high_priority() -> Callable[[], object] | None:
    """As ``_take_real_time``, on Windows."""
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    process = kernel.GetCurrentProcess()
    usual = kernel.GetPriorityClass(process)
    if not kernel.SetPriorityClass(process, _HIGH_PRIORITY_CLASS):
        return None
    return lambda: kernel.SetPriorityClass(process, usual)


def is_reader_gone(error: OSError) -> bool:
    """Whether writing failed because the pipe's reader has gone. Windows calls that an invalid argument."""
    invalid = WINDOWS and error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or invalid
