"""``hppnet export``: a checkpoint's graphs, for programs in other languages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail


def export(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CHECKPOINT]",
            exists=True,
            dir_okay=False,
            help="A checkpoint.  [default: the weights that come with hppnet]",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder that the graphs go to.")
    ] = Path("."),
    latency: Annotated[float, typer.Option(help="Of the graph of a live step, in milliseconds.")] = 132,
    force: Annotated[bool, typer.Option("--force", help="Replace graphs that are there already.")] = False,
) -> None:
    """Write a checkpoint as two ONNX graphs: step.onnx for live use, window.onnx for recordings.

    They run wherever ONNX Runtime does: C++, JavaScript, Swift and more. model/ONNX.md, which comes with
    hppnet, describes their inputs, outputs and states.
    """
    above = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not above.is_dir():
        raise typer.BadParameter(f"{output}: expected a folder, {above} is a file", param_hint="--output")
    from ..model import checkpoint as checkpoints
    from ..model.engine.export import write
    from ..model.timebase import frames_for_latency

    try:
        found = checkpoints.read(checkpoint)
        look_ahead = frames_for_latency(latency, found.config.front_end.look_ahead)
        written = write(found, look_ahead, output, force)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--latency") from None
    except checkpoints.CheckpointError as error:
        fail(str(error))
    except OSError as error:  # without a number it is ours: a graph that is there
        fail(f"cannot write {error.filename}: {error.strerror}" if error.errno else str(error))
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
