"""How much memory a process takes, and whether it keeps it."""

from __future__ import annotations

import contextlib
import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  #: malloc.h


def peak_mib() -> float | None:
    """The most memory this process has held so far, in MiB; None where the system does not tell."""
    try:
        # Not getrusage: on Linux a new process takes over there the peak of the one that started it.
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    except (OSError, StopIteration):
        if sys.platform != "darwin":
            return None
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def keep_memory() -> None:
    """Lets glibc keep the memory of large tensors (mallopt(3)); elsewhere nothing.

    Handed back to the system after each use and fetched again, it takes a seventh of the time of a training
    step, and of a recording's; and half of a Dask worker's, which is told to hand back all. Threads that
    begin later share the main thread's memory: of their own they would hand back whatever is empty.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(AttributeError, OSError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_ARENA_MAX, 1)
