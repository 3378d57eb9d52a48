"""What ``hppnet live`` prints, and the picture of a take."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..realtime.session import LiveSession
    from ..realtime.status import Status


def start_lines(session: LiveSession) -> list[str]:
    """The session's input, port, model, device, latency and recordings, one line each."""
    from ..model.tuning import AUTO_LIMIT

    model: Any = session.model
    latency = session.latency
    recordings = [f"record   {path}" for path in session.recordings]
    tuning = [f"tuning   {AUTO_LIMIT}"] if session.settings.tuning == "auto" else []
    pedal = ", with the pedal" if session.sends_pedal else ""
    return [
        f"input    {session.input.name}, {session.input.sample_rate} Hz",
        f"port     {session.port.name}, channel {session.settings.midi_channel}{pedal}",
        f"model    {model.checkpoint_name}",
        f"device   {model.device}",
        f"latency  {latency.algorithmic_ms:.0f} ms, the model's",
        f"in all   {latency}",
        *tuning,
        *recordings,
    ]


def last_line(session: LiveSession) -> str:
    from ..realtime.status import troubles

    status = session.status()
    return ", ".join([f"ended after {status.running_s:.0f} s: {status.notes} notes", *troubles(status)])


def status_every(seconds: float) -> Callable[[Status], None]:
    """A function that prints a line of status whenever ``seconds`` have passed."""
    from ..realtime.view import status_line

    due_s = [seconds]

    def show(status: Status) -> None:
        if status.running_s >= due_s[0]:
            due_s[0] += seconds
            say(status_line(status))

    return show


def say(*lines: str) -> None:
    with suppress(OSError):  # the output's reader has gone; the session goes on
        print(*lines, sep="\n", flush=True)


def say_fault(line: str) -> None:
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def draw_take(session: LiveSession, quiet: bool) -> list[str]:
    """Draws the take beside its file, under its name or the next free one. Returns errors, one line each."""
    from ..model.notes import read_midi, read_pedal
    from ..offline.pictures import draw_piano_roll
    from ..offline.writing import cannot_write, write_outputs
    from ..realtime.recorder import unused

    take = session.recordings[0]
    picture = unused(take.with_suffix(".png"))
    try:
        notes, pedal = read_midi(take), read_pedal(take)
        end_s = max([session.status().running_s, *(note.offset_s for note in notes)])
        write_outputs(
            {picture: lambda part: draw_piano_roll(part, notes, None, end_s, take.name, pedal or None)}
        )
    except OSError as error:
        return [cannot_write(error)]
    except ValueError as error:
        return [f"cannot draw {take}: {error}"]
    if not quiet:
        say(f"picture  {picture}")
    return []
