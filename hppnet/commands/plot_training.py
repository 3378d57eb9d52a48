"""``hppnet plot-training``: a training run's curves as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail
from .options import Force, able_to_draw


def plot_training(
    folder: Annotated[
        Path, typer.Argument(metavar="RUN_FOLDER", exists=True, file_okay=False, help="What train wrote.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PNG", help="[default: RUN_FOLDER/curves.png]")
    ] = None,
    force: Force = False,
) -> None:
    """Draw a run's losses, learning rate, gradient and scores."""
    from ..offline.writing import cannot_write
    from ..training import curves
    from .reports import check_place, check_report, write_report

    able_to_draw(True)
    picture = output or folder / "curves.png"
    check_place(str(picture))
    try:
        check_report(picture, force, "png")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    try:
        write_report(picture, lambda part: curves.plot(folder, part), force, "png")
    except OSError as error:
        fail(cannot_write(error))
    except ValueError as error:
        fail(str(error))
    print(picture)
