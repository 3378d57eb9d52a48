"""``hppnet plot-training``: a training run's curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail
from .options import checked_report


def plot_training(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER", exists=True, file_okay=False, help="What train wrote.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PNG", help="[default: RUN_FOLDER/curves.png]")
    ] = None,
) -> None:
    """Draw a run's losses, learning rate, gradient and validation scores."""
    from ..training.curves import plot

    picture = output or folder / "curves.png"
    checked_report(str(picture))
    try:
        plot(folder, picture)
    except (ValueError, OSError) as error:
        fail(str(error))
    print(picture)
