"""``hppnet prepare pack``: what a recipe trains on, for another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail


def pack(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A TOML file, or a name: default.")],
    data: Annotated[
        Path,
        typer.Option(
            metavar="ROOT", help="Folder that the recipe's sources are in.", exists=True, file_okay=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the parts.", file_okay=False)
    ],
    size: Annotated[float, typer.Option(min=1, metavar="MB", help="The size of all parts together.")] = 60.0,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For decoded and rendered sound.  [default: the platform's cache]"),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting; repeatable.")
    ] = None,
) -> None:
    """Pack what a recipe trains on, for another machine.

    The other machine needs only DIR. Recordings are re-encoded as Opus, performances are rendered here. If
    not all fits, each source gets room by its weight, and the output says how much is left out. On the other
    machine: hppnet train RECIPE --data DIR --minutes 12.
    """
    from ..training import recipe as recipes
    from ..training.data.run_files import find_run_files
    from ..training.logs import progress_bar
    from ..training.prepare.packed import check_parts
    from ..training.prepare.packed import pack as write

    try:
        check_parts(output)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    try:
        settings = recipes.read(recipe, data=data, cache=cache, sets=sets or [])
        files = find_run_files(settings)
    except (ValueError, OSError) as error:
        fail(str(error), code=2)
    try:
        with progress_bar("packing") as report:
            found = write(settings, files, output, size, report)
    except (ValueError, OSError, RuntimeError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted: what was rendered is kept, the same command begins the parts anew", code=130)
    for source in found.sources:
        print(source.line())
    for part in found.parts:
        print(f"{part}: {part.stat().st_size / 1e6:.1f} MB")
