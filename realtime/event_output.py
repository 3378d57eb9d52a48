"""Writes a session's events as lines of JSON (model/EVENTS.md) at once, in a thread of its own.

``put`` may be called by any thread and never waits for the reader.
"""

from __future__ import annotations

import errno
import io
import os
import queue
import select
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.event_lines import EventLines
from ..model.files import file_above, is_special
from ..model.notes import Event
from ..system import BINARY, is_reader_gone
from .recorder import unused

SUFFIX = ".jsonl"
LOOK_S = 0.25  #: interval between checks that the reader is still there
MOST_QUEUED = 4096  #: calls of ``put``: more than a minute of the densest playing
CLOSE_WITHIN_S = 2.0


class EventOutput:
    """Writes to the unbuffered stream ``out`` and closes it (see ``standard_output``).

    ``about`` goes into the first line. ``gone`` is called when nobody reads any more, ``report`` with a line
    when events cannot be written or come faster than they are read. Both may be called from any thread.
    """

    def __init__(
        self,
        out: io.RawIOBase,
        about: Mapping[str, Any],
        gone: Callable[[], None] = lambda: None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.reader_gone = False
        self.fault: str | None = None  #: why events could not be written
        self._out, self._about, self._gone, self._report = out, about, gone, report
        self._queue: queue.SimpleQueue[Callable[[EventLines], None] | None] = queue.SimpleQueue()
        self._left_out_s: float | None = None  # time of the last event that was left out
        self._closed = self._over = False  # ``_over``: the thread writes no more
        self._thread = threading.Thread(target=self._run, name="hppnet-events", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[Event], decided_s: float) -> None:
        """Queues events that became known at ``decided_s`` (stream time)."""
        if self._over:
            return
        if self._queue.qsize() >= MOST_QUEUED:
            if self._left_out_s is None:
                self._report("events: their reader is too slow; some are left out")
            self._left_out_s = decided_s
            return
        self._tell_lost()
        kept = list(events)
        self._queue.put(lambda lines: lines.add(kept, decided_s))

    def close(self, time_s: float) -> None:
        """Writes the queued events and the last line. May be called twice; never raises."""
        if not self._closed:
            self._closed = True
            self._tell_lost()
            self._queue.put(lambda lines: lines.end(time_s))
            self._queue.put(None)
        self._thread.join(CLOSE_WITHIN_S)  # a stalled reader must not block the session

    def _tell_lost(self) -> None:
        if self._left_out_s is not None:
            lost_s, self._left_out_s = self._left_out_s, None
            self._queue.put(lambda lines: lines.lost(lost_s))

    def _run(self) -> None:
        try:
            lines = EventLines(self._write, self._about)
            while (write := self._next()) is not None:
                write(lines)
        except OSError as error:
            self.reader_gone = is_reader_gone(error)
            if self.reader_gone:
                self._gone()
            else:
                self.fault = f"events: no longer written ({error.strerror or error})"
                self._report(f"{self.fault}; the session goes on without them")
        finally:
            self._over = True
            self._out.close()

    def _next(self) -> Callable[[EventLines], None] | None:
        while True:
            try:
                return self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                check_reader(self._out)

    def _write(self, lines: str) -> None:
        rest = memoryview(lines.encode("ascii"))
        while rest:
            rest = rest[self._out.write(rest) or 0 :]


def check_reader(out: io.RawIOBase) -> None:
    """Raises BrokenPipeError if ``out`` is a pipe whose reader has gone. Not supported on Windows."""
    if not hasattr(select, "poll"):
        return
    try:
        file = out.fileno()
    except (OSError, io.UnsupportedOperation):
        return
    poll = select.poll()
    poll.register(file, 0)  # errors are always reported
    if any(flags & select.POLLERR for _, flags in poll.poll(0)):
        raise BrokenPipeError(errno.EPIPE, "nobody reads the events")


def check_events_name(path: Path) -> None:
    """Raises ValueError if events cannot be written to a file of this name."""
    if is_special(path):
        return
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"expected a name that ends in {SUFFIX}, or -, got {path}")
    if path.is_dir():
        raise ValueError(f"expected a file, {path} is a folder")
    if file := file_above(path):
        raise ValueError(f"expected only folders above {path}, but {file} is a file")


def open_events(path: Path) -> tuple[io.RawIOBase, Path]:
    """Opens a file for writing; returns it and its name, with a number added if the name is taken.

    A pipe or device is used as it is. Raises OSError.
    """
    if not is_special(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path = unused(path)
        return open(path, "xb", buffering=0), path
    try:
        file = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | BINARY)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(
                error.errno, "nobody reads this pipe yet; start its reader first", str(path)
            ) from None
        raise
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(file, True)
    return open(file, "wb", buffering=0), path


def standard_output(out: Any) -> io.RawIOBase:
    """Returns an unbuffered binary stream to where ``out`` writes. Closing it leaves ``out`` open."""
    out.flush()
    try:
        return open(os.dup(out.fileno()), "wb", buffering=0)
    except (OSError, io.UnsupportedOperation):  # a stream in memory
        return _Unclosed(out.buffer)


class _Unclosed(io.RawIOBase):
    """Writes to a binary stream, which stays open when this one is closed."""

    def __init__(self, out: Any) -> None:
        self._out = out

    def write(self, data: Any) -> int:
        written: int = self._out.write(data)
        self._out.flush()
        return written
