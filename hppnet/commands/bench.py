"""``hppnet bench``: measures the speed of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from .options import Checkpoint, ComputeDevice, Device, FiguresFile, Force
from .reports import print_figures, write_figures

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Measure the speed of this machine.", no_args_is_help=True)


@app.callback()
def _bench() -> None:
    """Measure the speed of this machine."""


@app.command()
def offline(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of generated sound to transcribe.")] = 60,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of which the median counts.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    checkpoint: Checkpoint = None,
    device: ComputeDevice = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Transcribing: speed, memory, start, and where time goes.

    Measures whole recordings and streams.
    """
    from rich.console import Console

    from ..model.checkpoint import CheckpointError
    from ..offline.bench import measure

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
    screen.print(_batches(figures["detail"]["batches"]))


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


def _batches(figures: dict[str, Any]) -> Table:
    """Speed of each part alone (the network by batch size) and of the whole, in times real time."""
    from rich import box
    from rich.table import Table

    table = Table(title="many recordings, × real time", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column(justify="right")
    table.add_column()
    for size, rate in figures["network_x_realtime"].items():
        chosen = "chosen" if int(size) == figures["batch"] else ""
        table.add_row(f"network, {size} at once", f"{rate:.0f} ×", chosen)
    table.add_row(
        "reading", f"{figures['reading_x_realtime_a_process']:.0f} ×", "a process; FLAC, 44.1 kHz, 2"
    )
    table.add_row("decoding, writing", f"{figures['decoding_x_realtime_a_process']:.0f} ×", "a process")
    if figures["processes"] > 1:
        both = f"{figures['processes']} processes"
        table.add_row("both together", f"{figures['reading_and_decoding_x_realtime']:.0f} ×", both)
    bound = f"from disk to disk; bound by {figures['bound_by']}"
    table.add_row("the whole", f"{figures['whole_x_realtime']:.0f} ×", bound)
    return table
