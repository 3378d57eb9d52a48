"""``hppnet bench serve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..failure import fail
from . import bench
from .options import Checkpoint, Device, FiguresFile, Force
from .reports import print_figures, write_figures


@bench.app.command()
def serve(
    streams: Annotated[
        int, typer.Option(min=1, help="Streams to try first; fewer follow if a block was late.")
    ] = 8,
    seconds: Annotated[float, typer.Option(min=5, help="Seconds of sound in each run.")] = 20,
    latency: Annotated[float, typer.Option(help="Algorithmic latency, ms.")] = 132,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Serving: how many streams at once without a late block.

    Also measures how soon a note is drawn on the page. That needs Chromium and playwright; without them it
    is left out, and a line says so.
    """
    from rich.console import Console

    from ..model.timebase import frames_for_latency

    try:
        frames_for_latency(latency)
        from ..realtime.bench import BenchError
        from ..realtime.web.bench import measure
    except ValueError as error:
        raise typer.BadParameter(f"--latency: {error}") from None
    except ImportError as error:
        fail(f"the page needs the web extra: pip install 'hppnet[web]' ({error.name} is missing)")
    options = ["--device", device.value] + (["--checkpoint", str(checkpoint)] if checkpoint else [])
    try:
        with Console(stderr=True).status("starting hppnet serve") as status:
            figures = measure(streams, seconds, latency, options, report=status.update)
        write_figures(figures, json_file, force)
    except (BenchError, OSError) as error:
        fail(str(error))
    if not print_figures(figures, json_file):
        print("\n".join(_lines(figures)))


def _lines(figures: dict[str, Any]) -> list[str]:
    detail = figures["detail"]
    lines = []
    for run in detail["runs"]:
        median, p99 = run["after_algorithmic_ms"]
        lines.append(
            f"{run['streams']} streams: {run['late_blocks']} of {run['blocks']} blocks late, "
            f"{run['dropped_blocks']} dropped; "
            f"events {median:.0f} ms (99 in 100: {p99:.0f} ms) after the algorithmic latency"
        )
    over_ms = figures["page_latency_over_algorithmic_ms"]
    if over_ms is None:
        lines.append(f"no page: {detail['why_no_page']}")
    else:
        lines.append(
            f"page: a note is drawn {over_ms:.0f} ms after the algorithmic latency, median of "
            f"{detail['page_notes']} (expected at most 80)"
        )
    return lines
