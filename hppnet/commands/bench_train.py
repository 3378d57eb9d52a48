"""``hppnet bench train``: how fast this machine trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from . import bench
from .options import ComputeDevice, Device, FiguresFile, Force
from .reports import print_figures, write_figures

if TYPE_CHECKING:
    from rich.table import Table


@bench.app.command()
def train(
    seconds: Annotated[float, typer.Option(min=1, help="Seconds to train for.")] = 30,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes that share each batch.  [default: one for each core, or for each GPU]"
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Excerpts of 5.12 s in a step, over all processes.")] = 4,
    config: Annotated[str, typer.Option(help="A named network.")] = "default",
    device: ComputeDevice = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Training: seconds of sound a second, in whole steps.

    Features and augmentation are computed on the fly.
    """
    try:
        from ..training.bench import measure
    except ModuleNotFoundError as error:
        fail(f"bench train needs {error.name}: pip install 'hppnet[train]'")
    from rich.console import Console

    try:
        with Console(stderr=True).status(f"training for {seconds:g} s"):
            figures = measure(seconds, processes, threads, device.value, config, batch)
        write_figures(figures, json_file, force)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    except (RuntimeError, OSError) as error:
        fail(str(error))
    if print_figures(figures, json_file):
        return
    screen = Console()
    screen.print(_machine(figures["detail"]), highlight=False)
    screen.print(_figures(figures))


def _machine(detail: dict[str, Any]) -> str:
    kernels = ", C++ kernels" if detail["kernels"] else ""
    return (
        f"{detail['device']}: {detail['processes']} processes of {detail['threads']} threads on "
        f"{detail['cores']} cores{kernels}; load before: {detail['load_before']:.1f}"
    )


def _figures(figures: dict[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    detail = figures["detail"]
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for what, figure, remark in (
        ("training", f"{figures['audio_s_per_s']:.1f} s", "of sound a second"),
        ("  a core", f"{detail['audio_s_per_core_s']:.1f} s", "of sound a second of its time"),
        ("a step", f"{detail['step_ms']:.0f} ms", f"of {detail['batch']} excerpts"),
        *((f"  {part}", f"{share:.0f} %", "") for part, share in detail["where_percent"].items()),
    ):
        table.add_row(what, figure, remark)
    return table
