"""Options that several commands share, so that they mean the same everywhere."""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..failure import fail, printable
from .reports import checked_report


class Device(str, enum.Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


ComputeDevice = Annotated[Device, typer.Option(help="Where to compute.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Other weights than those that come with hppnet."),
]


#: A checkpoint as a command's argument.
CheckpointFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        exists=True,
        dir_okay=False,
        help="A checkpoint.  [default: the weights that come with hppnet]",
    ),
]


def renamed_option(old: str, new: str, parameter: str | None = None) -> Any:
    """Annotates a hidden option: ``old`` works as ``new`` for one release, with a note on standard error.

        note_ends: NoteEnds = "keys",
        _offsets: Annotated[str | None, renamed_option("--offsets", "--note-ends")] = None,

    The function ignores the parameter of ``old``: its value arrives as ``new``, with the checks of ``new``,
    unless ``new`` is given too. ``parameter`` is the name of the function's parameter for ``new``, if it
    differs from the option's name. A flag is annotated with ``bool`` and defaults to False.
    """
    target = parameter or new.lstrip("-").replace("-", "_")

    def hand_over(context: typer.Context, value: Any) -> Any:
        if value is not None and value is not False and value not in ((), []):
            print(f"note: {old} is now {new}; the old name works until the next release", file=sys.stderr)
            context.default_map = {**(context.default_map or {}), target: value}
        return value

    return typer.Option(old, hidden=True, is_eager=True, callback=hand_over)


def able_to_draw(wanted: bool) -> bool:
    """The option's value. Ends the command before any work if pictures cannot be drawn."""
    from importlib.util import find_spec

    if wanted and find_spec("matplotlib") is None:
        fail("pictures need matplotlib: pip install 'hppnet[plot]'")
    return wanted


Force = Annotated[
    bool, typer.Option("--force", is_eager=True, help="Replace also files that hppnet did not write.")
]
#: File for a benchmark's figures: see ``reports``. Use it with Force.
FiguresFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write all figures as JSON; - for standard output.",
        callback=checked_report,
    ),
]
#: For a command that prints a table or a text.
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")]
NoteEnds = Annotated[
    str,
    typer.Option(
        metavar="keys|sounding",
        help="keys: end notes with their keys and write the pedal; sounding: end notes with their sound.",
    ),
]
#: Work that several processes share.
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes at once; default: by cores and files.")]
InputChannel = Annotated[
    int | None,
    typer.Option(
        min=1, help="Channel of the recordings; default: all but those that are silent or only noise."
    ),
]
Track = Annotated[
    int | None,
    typer.Option(min=1, help="Track of files with several audio tracks; default: the file's default track."),
]
Tuning = Annotated[
    str | None,
    typer.Option(
        metavar="CENTS|HZ|auto",
        help="Tuning of the piano: cents off A = 440 Hz (-200 to 200), its A (415Hz), or auto (-50 to 50).",
    ),
]
Threshold = Annotated[float | None, typer.Option(min=0, max=1, help="0 to 1; default: the checkpoint's.")]
EndThreshold = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="0 to 1; default: the checkpoint's. If given, thresholds alone end notes."
    ),
]


def latency_ms(latency: str | None, streaming: bool) -> float | None:
    """--latency in milliseconds, None for full context.

    Raises ValueError for a latency without --streaming and for one that is no number or name.
    """
    from ..model.timebase import LATENCIES, latency_s

    if not streaming:
        if latency is not None:
            raise ValueError("--latency needs --streaming; without it the whole recording is the context")
        return None
    latency = "accurate" if latency is None else latency
    if latency in LATENCIES:
        return float(round(1000 * latency_s(LATENCIES[latency])))
    try:
        return float(latency)
    except ValueError:
        names = ", ".join(LATENCIES)
        raise ValueError(f"--latency: expected milliseconds or one of {names}, got {latency!r}") from None


def tuning_setting(tuning: str | None) -> float | str | None:
    """--tuning in cents, "auto" or None for the checkpoint's. Raises ValueError for anything else."""
    from ..model.tuning import parse_tuning

    try:
        return None if tuning is None else parse_tuning(tuning)
    except ValueError as error:
        raise ValueError(f"--tuning: {error}") from None


@contextmanager
def wrong_use() -> Iterator[None]:
    """Ends the command with exit code 2 for a ValueError (wrong use), with 1 for an OSError."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(printable(str(error))) from None
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
