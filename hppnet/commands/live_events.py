"""``hppnet live --events``: the events as lines of JSON, on standard output or in a file."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..realtime.session import LiveSession

STANDARD_OUTPUT = "-"


class EventTarget:
    """The destination of events. ``out`` is standard output, None for a file that is not open yet."""

    def __init__(self, path: Path, out: io.RawIOBase | None) -> None:
        self.path = path
        self.takes_standard_output = out is not None
        self._out = out

    def attach(self, session: LiveSession, stop: threading.Event) -> None:
        """Makes a prepared session write its events; sets ``stop`` when their reader has gone.

        Raises OSError if the file cannot be written.
        """
        from ..realtime.event_output import EventOutput, open_events

        try:
            if self._out is None:
                self._out, self.path = open_events(self.path)
        except OSError:
            session.stop()
            raise
        session.events = EventOutput(self._out, _about(session), stop.set, session.report)


def check_events(events: str | None) -> None:
    """Raises BadParameter for a file name that is not allowed for events."""
    if events is None or events == STANDARD_OUTPUT:
        return
    from ..realtime.event_output import check_events_name

    try:
        check_events_name(Path(events))
    except ValueError as error:
        raise typer.BadParameter(f"--events: {error}") from None


@contextmanager
def event_target(events: str | None) -> Iterator[EventTarget | None]:
    """The destination for a checked value of --events. With ``-``, all other output goes to stderr."""
    if events is None:
        yield None
        return
    path = Path(events)
    if events != STANDARD_OUTPUT:
        yield EventTarget(path, None)
        return
    from ..realtime.event_output import standard_output

    with standard_output(sys.stdout) as out, redirect_stdout(sys.stderr):
        yield EventTarget(path, out)


def _about(session: LiveSession) -> dict[str, Any]:
    model: Any = session.model
    return {
        "source": session.input.name,
        "sample_rate": session.input.sample_rate,
        "latency_ms": round(session.latency.algorithmic_ms, 2),
        "checkpoint": model.checkpoint_name,
        "pedal": session.sends_pedal,
    }
