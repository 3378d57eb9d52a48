"""Runs ``hppnet live``: opens the session, prepares the process, handles signals, the view and the end."""

from __future__ import annotations

import atexit
import gc
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from ..failure import fail, printable
from ..system import ENDING_SIGNALS
from .live_events import EventTarget
from .live_report import say, say_fault, start_lines, status_every

if TYPE_CHECKING:
    from ..realtime.session import LiveSession
    from ..realtime.settings import LiveSettings

STATUS_EVERY_S = 10.0
log = logging.getLogger("hppnet.live")


@contextmanager
def ending_signals() -> Iterator[threading.Event]:
    """Yields an event that ENDING_SIGNALS set instead of ending the program.

    A closed terminal does not end a session that was started with ``nohup``.
    """
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    numbers = [getattr(signal, name) for name in ENDING_SIGNALS]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_session(
    settings: LiveSettings,
    checkpoint: Path | None,
    device: str,
    stop: threading.Event,
    verbose: bool,
    quiet: bool,
    target: EventTarget | None,
) -> LiveSession:
    """Runs a session until ``stop`` is set or the file ends; returns the ended session.

    Raises BadParameter for wrong use; ends the command if something is missing or fails.
    """
    from ..listening import open_session
    from ..model.checkpoint import CheckpointError
    from ..offline.errors import AudioError
    from ..realtime.inputs import InputFault
    from ..realtime.midi_ports import PortFault

    if verbose:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(message)s", stream=sys.stderr)
    shares_screen = target is not None and target.takes_standard_output
    view = not quiet and not verbose and not shares_screen and sys.stdout.isatty()
    try:
        session = open_session(settings, checkpoint, device, log.info if view or verbose else say_fault)
        prepare_process()
        session.prepare()
        if target is not None:
            target.attach(session, stop)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        fail(f"cannot write {error.filename or 'the recording'}: {error.strerror or error}")
    except (InputFault, PortFault, AudioError, CheckpointError, RuntimeError) as error:
        fail(str(error))
    about = start_lines(session)
    if target is not None and not target.takes_standard_output:
        about.append(f"events   {target.path}")
    if not quiet:
        say(*about)
    try:
        _run(session, stop, about, view, quiet)
    except Exception as error:  # the engine's; the session survives all others
        log.debug("the session failed", exc_info=True)
        for fault in session.recording_faults:
            say_fault(f"error: {printable(fault)}")
        fail(f"the session ended: {type(error).__name__}: {error}")
    if session.events is not None and session.events.reader_gone:
        raise typer.Exit(1)  # silently, as always when the output's reader has gone
    return session


def prepare_process() -> None:
    """Sets one computing thread and fast switches between Python's threads. Call after loading the model."""
    from ..model.device import one_thread

    one_thread()
    sys.setswitchinterval(0.001)  # the sender must not wait 5 ms for the view's thread
    gc.collect()
    gc.freeze()  # imported objects stay, so later collections skip them
    atexit.register(gc.unfreeze)  # else soxr warns of objects that the last collection leaves


def _run(session: LiveSession, stop: threading.Event, about: list[str], view: bool, quiet: bool) -> None:
    """Runs the session. A view that fails (a closed terminal) must not keep the session from ending."""
    if view:
        from ..realtime.view import LiveView

        with suppress(OSError), LiveView(about=about) as screen:
            session.run(stop, screen.update)
        session.stop()
        if session.failure is not None:  # an OSError of the engine or input, suppressed above
            raise session.failure
    else:
        session.run(stop, None if quiet else status_every(STATUS_EVERY_S))
