"""ALSA, JACK and PortAudio write to the process's standard error while they are asked what is there."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_lock = threading.Lock()
_depth = 0
_kept = -1


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Standard error's file descriptor points to nowhere within the block, except when logging is wanted.

    For the short time of asking or opening: lines that Python writes there meanwhile are lost too.
    """
    if os.name == "nt" or os.environ.get("HPPNET_LIBRARY_MESSAGES"):
        yield
        return
    _silence()
    try:
        yield
    finally:
        _restore()


def _silence() -> None:
    global _depth, _kept
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        _flush()
        try:
            _kept = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        except OSError:  # standard error is closed: nothing to silence
            _kept = -1


def _restore() -> None:
    global _depth, _kept
    with _lock:
        _depth -= 1
        if _depth or _kept < 0:
            return
        _flush()
        os.dup2(_kept, 2)
        os.close(_kept)
        _kept = -1


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
