"""``hppnet bench page``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any

import typer

from ..failure import fail
from . import bench
from .options import Checkpoint, FiguresFile, Force
from .reports import print_figures, write_figures


@bench.app.command()
def page(
    seconds: Annotated[float, typer.Option(min=5, help="Seconds of playing, in real time.")] = 30,
    latency: Annotated[float, typer.Option(help="Algorithmic latency, ms: 52, 92, 132 or 212.")] = 132,
    checkpoint: Checkpoint = None,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """The page that computes in the browser.

    Measures its size, its start, its steps compared with native ones and how soon a note is drawn. Needs
    Chromium and playwright.
    """
    from rich.console import Console

    from ..api import load
    from ..model.checkpoint import CheckpointError
    from ..model.timebase import latency_s
    from ..realtime.bench import BenchError
    from ..realtime.web.network_files import LOOK_AHEADS
    from ..realtime.web.page_bench import measure
    from ..realtime.web.static_page import NoRuntime

    there = [round(1000 * latency_s(frames)) for frames in LOOK_AHEADS]
    if latency not in there:
        raise typer.BadParameter(f"--latency: expected one of {', '.join(map(str, there))}, got {latency:g}")
    try:
        with Console(stderr=True).status("loading") as status:
            transcriber = load(checkpoint, "cpu")
            figures = measure(
                transcriber, checkpoint, seconds, latency, version("hppnet"), report=status.update
            )
        write_figures(figures, json_file, force)
    except (BenchError, CheckpointError, NoRuntime, OSError) as error:
        fail(str(error))
    if not print_figures(figures, json_file):
        print("\n".join(_lines(figures)))


def _lines(figures: dict[str, Any]) -> list[str]:
    return [
        f"first load: {figures['first_load_mb']:.1f} MB compressed (expected at most 6)",
        f"from the cache: loaded in {figures['loaded_s']:.1f} s, listening {figures['ready_s']:.1f} s "
        "after a click (expected at most 2)",
        f"a step with nothing beside it: {figures['step_alone_ms']:.1f} ms, "
        f"{figures['step_over_native']:.1f} times native's {figures['native_step_ms']:.1f} ms "
        "(expected at most 3)",
        f"a step while it plays: {figures['step_ms']:.1f} ms (99 in 100: {figures['step_p99_ms']:.1f})",
        f"a note is drawn {figures['note_drawn_ms']:.0f} ms after the algorithmic latency "
        f"(99 in 100: {figures['note_drawn_p99_ms']:.0f}; expected at most 80 and 150)",
        f"{figures['late_blocks']} blocks late, {figures['dropped_blocks']} dropped (expected none), "
        f"memory grew by {figures['memory_grown_mb']:.1f} MB",
        f"drawing, processor slowed four times, 95 in 100: {figures['drawing_p95_ms']:.1f} ms "
        "(expected at most 8)",
    ]
