"""``hppnet bench live``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from ..system import before_other_programs
from . import bench
from .options import Checkpoint, Device, FiguresFile, Force
from .reports import print_figures, write_figures

if TYPE_CHECKING:
    from rich.table import Table


@bench.app.command()
def live(
    seconds: Annotated[
        float, typer.Option(min=5, help="Seconds of sound; it plays twice, in real time.")
    ] = 30,
    recording: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Sound to play instead of the test piece."),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE.mid", help="The notes played in --recording."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: the processor.")] = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Live: whether this machine keeps up, and how late it is.

    Measures jitter and accuracy too, end to end through a session in this process: a file plays in real
    time, and a port keeps the events that it receives.
    """
    from rich.console import Console

    from ..api import load
    from ..listening import live_device
    from ..model.checkpoint import CheckpointError
    from ..offline.bench_machine import machine, unit_ms
    from ..offline.errors import AudioError
    from ..realtime.bench import make_task, measure

    if (recording is None) != (notes is None):
        raise typer.BadParameter("--recording and --notes go together: expected both or neither")
    console = Console(stderr=True)
    where = live_device(device.value)
    try:
        with console.status("loading") as status:
            played = None if recording is None or notes is None else _recording(recording, notes)
            task = make_task(load(checkpoint, where), seconds, checkpoint, where, played)
            units_ms = [unit_ms()]
            with before_other_programs():  # as hppnet live
                figures = measure(task, threads, report=status.update)
            units_ms.append(unit_ms())
        figures["detail"] |= {"machine": machine(task.transcriber), "unit_ms": sum(units_ms) / 2}
        write_figures(figures, json_file, force)
    except (AudioError, CheckpointError, RuntimeError, OSError, ValueError) as error:
        fail(str(error))  # ValueError: a missing device, or no note arrived
    if print_figures(figures, json_file):
        return
    screen = Console()
    screen.print(_machine(figures["detail"]), highlight=False)
    screen.print(_figures(figures))


def _recording(recording: Path, notes: Path) -> tuple[Any, Any]:
    """Samples [n] at the benchmark's rate and the notes played in them. Raises AudioError, ValueError."""
    from ..model.notes import read_midi

    return _sound(recording), read_midi(notes)


def _sound(recording: Path) -> Any:
    """Samples [n] at the benchmark's rate. Raises AudioError."""
    import numpy as np
    import soxr

    from ..api import read_blocks
    from ..realtime.bench import RATE

    blocks, sample_rate = read_blocks(recording)
    return soxr.resample(np.concatenate([np.zeros(0, dtype=np.float32), *blocks]), sample_rate, RATE)


def _machine(detail: dict[str, Any]) -> str:
    machine = detail["machine"]
    used = f"{detail['threads']} of {machine['cores']} cores"
    where = used if machine["device"] == "cpu" else machine["device"]
    lines = [
        f"{machine['cpu']}, {where}, {machine['engine']}, {machine['checkpoint']}",
        f"end to end through a session in this process, {detail['seconds']:g} s of sound",
    ]
    return "\n".join(lines)


def _figures(figures: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    detail = figures["detail"]
    algorithmic, impulse = figures["algorithmic_latency_ms"], detail["impulse_latency_ms"]
    compute, whole = figures["compute_ms"], figures["end_to_end_ms"]
    usual, unit = detail["default"], detail["unit_ms"]
    f1 = f"{usual['f1_live']:.1f} live, {usual['f1_streaming']:.1f} by transcribe --streaming"
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for what, figure, bar, remark in (
        (
            "algorithmic latency, smallest",
            f"{algorithmic['smallest']:.1f} ms",
            "<= 60",
            _impulse(impulse["smallest"]),
        ),
        ("  default", f"{algorithmic['default']:.1f} ms", "<= 140", _impulse(impulse["default"])),
        ("computing 20 ms of sound", f"{compute['median']:.1f} ms", "", "median"),
        ("", f"{compute['p99']:.1f} ms", "<= 10", "99 in 100 take no longer"),
        ("", f"{compute['median'] / unit:.3f} units", "", f"median; a unit takes {unit:.1f} ms"),
        ("", f"{compute['p99'] / unit:.3f} units", "", "99 in 100"),
        ("onset to note-on, default", f"{whole['median']:.0f} ms", "<= 180", "median"),
        ("", f"{whole['p99']:.0f} ms", "<= 230", "99 in 100"),
        ("  smallest", f"{whole['smallest_median']:.0f} ms", "<= 100", "median"),
        ("jitter", f"{figures['jitter_ms']:.1f} ms", "<= 8", "standard deviation of arrival less onset"),
        ("F1 lost on the way", f"{figures['f1_gap']:.2f}", "<= 0.5", f1),
        ("listening after", f"{figures['startup_s']:.1f} s", "<= 4", "from the start of Python"),
    ):
        table.add_row(what, figure, bar, remark)
    return table


def _impulse(measured_ms: float | None) -> str:
    return "one note was not detected" if measured_ms is None else f"one note measures {measured_ms:.0f} ms"
