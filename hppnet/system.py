"""What Windows does otherwise than POSIX, so that no other file need ask which of the two runs it.

``model/files.py`` has what concerns files that are replaced. Untested on a real Windows;
``tests/test_system.py`` takes away here what is missing there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from .model.files import WINDOWS as WINDOWS

#: What asks a program to end: Ctrl-C, a shutdown, a terminal that is closed (Ctrl-Break on Windows).
ENDING_SIGNALS = tuple(n for n in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n))
#: For ``os.open``: without it Windows writes two bytes for a line feed.
BINARY = getattr(os, "O_BINARY", 0)
LOOK_S = 0.05
REAL_TIME_PRIORITY = 2  #: of 1 to 99; below the threads of JACK (5) and PipeWire, which bring the sound
_HIGH_PRIORITY_CLASS = 0x80  #: Windows' name


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


@contextmanager
def before_other_programs() -> Iterator[bool]:
    """Meanwhile this thread, and the threads and processes that it starts, run before other programs.

    Gives whether the system granted it: real-time priority (Linux: root, and whom limits.conf allows
    ``rtprio``), on Windows a high priority. Not asked for on a single core, which others need too.
    """
    if WINDOWS:
        before = _exchange_priority_class(_HIGH_PRIORITY_CLASS)
        try:
            yield before != 0
        finally:
            if before:
                _exchange_priority_class(before)
        return
    usual = _ask_for_real_time()
    try:
        yield usual is not None
    finally:
        if usual is not None:
            with suppress(OSError):
                os.sched_setscheduler(0, *usual)


def _ask_for_real_time() -> tuple[int, Any] | None:
    """How this thread was scheduled before; None where it still is."""
    try:
        import resource

        if len(os.sched_getaffinity(0)) < 2:
            return None
        if resource.getrlimit(resource.RLIMIT_RTTIME)[0] != resource.RLIM_INFINITY:
            return None  # loading the network takes longer, and would end the program
        usual = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except (OSError, ImportError, AttributeError):  # refused; Windows, macOS
        return None
    return usual


def _exchange_priority_class(wanted: int) -> int:
    """Returns the class that this process had; 0 where Windows refused the other one."""
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    process = kernel.GetCurrentProcess()
    before: int = kernel.GetPriorityClass(process)
    return before if kernel.SetPriorityClass(process, wanted) else 0


def is_reader_gone(error: OSError) -> bool:
    """Whether writing failed since nobody reads the pipe any more: Windows calls that an invalid argument."""
    invalid = WINDOWS and error.errno == errno.EINVAL and error.filename is None
    return isinstance(error, BrokenPipeError) or invalid
