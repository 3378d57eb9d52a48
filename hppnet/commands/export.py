"""``hppnet export``: a checkpoint's graphs, for programs in other languages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail
from .options import CheckpointFile


def export(
    checkpoint: CheckpointFile = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder that the graphs go to.")
    ] = Path("."),
    latency: Annotated[float, typer.Option(help="Milliseconds, for the graph of a live step.")] = 132,
    force: Annotated[bool, typer.Option("--force", help="Replace graphs that are there already.")] = False,
) -> None:
    """Write a checkpoint as two ONNX graphs.

    step.onnx is for live use, window.onnx for recordings. They run wherever ONNX Runtime does: C++,
    JavaScript, Swift and more. model/ONNX.md, which comes with hppnet, describes their inputs, outputs and
    states.
    """
    above = next(place for place in (output, *output.absolute().parents) if place.exists())
    if not above.is_dir():
        raise typer.BadParameter(f"{output}: expected a folder, {above} is a file", param_hint="--output")
    from ..model import checkpoint as checkpoints
    from ..model.engine.network import graphs
    from ..model.files import write_files
    from ..model.timebase import frames_for_latency
    from ..offline.writing import cannot_write

    try:
        found = checkpoints.read(checkpoint)
        look_ahead = frames_for_latency(latency, found.config.front_end.look_ahead)
        contents = {output / name: content for name, content in graphs(found, look_ahead).items()}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--latency") from None
    except checkpoints.CheckpointError as error:
        fail(str(error))
    for path in contents:
        if path.exists() and not force:
            fail(f"{path}: is there already; --force replaces it")
    try:
        write_files({path: partial(_put, content) for path, content in contents.items()})
    except OSError as error:
        fail(cannot_write(error))
    for path in contents:
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")


def _put(content: bytes, path: Path) -> None:
    path.write_bytes(content)
