"""``hppnet bench``: what this machine does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from .options import Checkpoint, Device, FiguresFile, Force
from .reports import print_figures, write_figures

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Measure what this machine does.", no_args_is_help=True)


@app.callback()
def _bench() -> None:
    """Measure what this machine does."""


@app.command()
def offline(
    seconds: Annotated[float, typer.Option(min=1, help="Of sound; it is made up here.")] = 60,
    repeats: Annotated[int, typer.Option(min=1, help="The median of so many runs counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Transcribing: speed of whole recordings and of streams, memory, start-up, where the time goes."""
    from rich.console import Console

    from ..model.checkpoint import CheckpointError
    from ..offline.bench import measure
    from .bench_batches import batches

    console = Console(stderr=True)
    try:
        with console.status("loading") as status:
            figures = measure(seconds, repeats, threads, checkpoint, device.value, report=status.update)
        write_figures(figures, json_file, force)
    except ValueError as error:  # a device that is not there
        raise typer.BadParameter(str(error)) from None
    except (CheckpointError, RuntimeError, OSError) as error:
        fail(str(error))
    if print_figures(figures, json_file):
        return
    screen = Console()
    screen.print(_machine(figures["detail"]), highlight=False)
    screen.print(_figures(figures))
    if figures["detail"]["where_percent"]:
        screen.print(_where(figures["detail"]["where_percent"]))
    screen.print(batches(figures["detail"]["batches"]))


@app.command()
def live(
    seconds: Annotated[float, typer.Option(min=5, help="Of sound; it is played twice, in real time.")] = 30,
    recording: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="To play instead of a made-up piece."),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, metavar="FILE.mid", help="What is played in --recording."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: the processor.")] = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Live: whether this machine is fast enough, and how late, regular and faithful it is.

    End to end over JACK where that is installed (no running server is touched), else through a session in
    this process.
    """
    from rich.console import Console

    from ..api import load
    from ..listening import live_device
    from ..model.checkpoint import CheckpointError
    from ..offline.bench_machine import machine, unit_ms
    from ..offline.errors import AudioError
    from ..realtime import bench
    from ..realtime.jack import JackError
    from .bench_tables import live_figures, live_machine

    if (recording is None) != (notes is None):
        raise typer.BadParameter("--recording and --notes go together: expected both or neither")
    console = Console(stderr=True)
    where = live_device(device.value)
    try:
        with console.status("loading") as status:
            played = None if recording is None or notes is None else _recording(recording, notes)
            task = bench.task(load(checkpoint, where), seconds, checkpoint, where, played)
            units_ms = [unit_ms()]
            figures = bench.measure(task, threads, report=status.update)
            units_ms.append(unit_ms())
        figures["detail"] |= {"machine": machine(task.transcriber), "unit_ms": sum(units_ms) / 2}
        write_figures(figures, json_file, force)
    except (AudioError, CheckpointError, JackError, RuntimeError, OSError) as error:
        fail(str(error))
    except ValueError as error:  # a device that is not there, no note that came back
        fail(str(error))
    if print_figures(figures, json_file):
        return
    screen = Console()
    screen.print(live_machine(figures["detail"]), highlight=False)
    screen.print(live_figures(figures))


@app.command()
def soak(
    hours: Annotated[float, typer.Option(min=0.001, help="Of simulated playing.")] = 24,
    faults: Annotated[int, typer.Option(min=0, help="Random ones; one in fifty is a signal.")] = 1000,
    recording: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="To play in a loop instead of a made-up piece."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random.")] = 1,
    checkpoint: Checkpoint = None,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Live for a day, and a thousand faults, faster than real time: does anything grow, hang or break?

    Exit code: 0 all well, 1 something was wrong and is named. A day takes about an hour.
    """
    from rich.console import Console

    from ..api import load
    from ..model.checkpoint import CheckpointError
    from ..model.device import one_thread
    from ..offline.errors import AudioError
    from ..realtime import soak as long
    from ..realtime.bench import RATE
    from ..realtime.piece import piece
    from ..realtime.soak_signals import strike
    from .bench_tables import soak_lines

    console = Console(stderr=True)
    figures: dict[str, Any] = {}
    try:
        with console.status("loading") as status:
            transcriber = load(checkpoint, "cpu")
            one_thread()
            music = piece(60, RATE)[0] if recording is None else _sound(recording)
            if hours:
                figures["day"] = long.day(transcriber, music, RATE, hours, seed, status.update).as_dict()
            signals = faults // 50
            if faults - signals:
                figures["faults"] = long.faults(
                    transcriber, music, RATE, faults - signals, seed, status.update
                ).as_dict()
            options = ["--checkpoint", str(checkpoint)] if checkpoint else []
            if signals:
                figures["signals"] = strike(signals, music, RATE, options, seed, status.update)
        write_figures(figures, json_file, force)
    except (AudioError, CheckpointError, OSError) as error:
        fail(str(error))
    lines, wrong = soak_lines(figures)
    if not print_figures(figures, json_file):
        print("\n".join(lines))
    if wrong:
        fail("; ".join(wrong))


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
    return (
        f"{machine['cpu']}, {where}, {machine['engine']}, "
        f"{machine['precision']} offline, fp32 streaming, {machine['checkpoint']}"
    )


def _figures(figures: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    detail = figures["detail"]
    stream = detail["streaming"]
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for what, figure, remark in (
        ("whole recordings", f"{figures['offline_x_realtime']:.1f} ×", "real time"),
        ("  a second of sound", f"{detail['offline']['units_a_second']:.2f} units", "a unit: see below"),
        ("stream", f"{figures['streaming_x_realtime']:.1f} ×", f"real time, at {stream['latency_ms']} ms"),
        ("  a step of 20 ms", f"{stream['step_median_ms']:.1f} ms", "median"),
        ("", f"{stream['step_p99_ms']:.1f} ms", "99 in 100 take no longer"),
        ("", f"{stream['step_median_units']:.3f} units", "median"),
        ("", f"{stream['step_p99_units']:.3f} units", "99 in 100"),
        ("a unit", f"{detail['unit_ms']:.1f} ms", "NumPy's product of two 1024 × 1024 matrices, one thread"),
        ("memory", f"{figures['peak_rss_mib']:.0f} MiB", f"at most, with {detail['seconds']:g} s of sound"),
        ("ready after", f"{figures['startup_s']:.2f} s", "from the start of Python"),
        ("hppnet --help", f"{detail['help_s']:.2f} s", ""),
    ):
        table.add_row(what, figure, remark)
    return table


def _where(shares: dict[str, dict[str, float]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title="where the time goes, %", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for way in shares:
        table.add_column(way, justify="right")
    for part in next(iter(shares.values())):
        table.add_row(part, *(f"{shares[way][part]:.1f}" for way in shares))
    return table
