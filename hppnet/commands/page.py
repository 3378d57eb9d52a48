"""``hppnet page``: the page as files for any static host."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail
from .options import Checkpoint


def page(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that the files go to.")],
    checkpoint: Checkpoint = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a folder that has files already.")
    ] = False,
) -> None:
    """Write a page that listens and computes in the browser.

    Its plain files suit any static host and work below any path. Browsers give microphones to https and to
    localhost only.
    """
    if folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"{folder}: expected a folder, this is a file", param_hint="DIR")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        fail(f"{folder}: has files already; --force writes the page among them")
    from ..model.checkpoint import CheckpointError
    from ..offline.writing import cannot_write, write_outputs
    from ..realtime.web.static_page import NoRuntime, first_load_mb, page_files

    try:
        files = page_files(checkpoint, version("hppnet"))
    except (NoRuntime, CheckpointError) as error:
        fail(str(error))
    try:
        for part in {folder / Path(name).parent for name in files}:
            part.mkdir(parents=True, exist_ok=True)
        write_outputs({folder / name: partial(_put, content) for name, content in files.items()})
    except OSError as error:
        fail(cannot_write(error))
    print(f"{folder}: {len(files)} files; {first_load_mb(files):.1f} MB compressed are loaded first")
    print(f"try it:  python3 -m http.server --bind localhost --directory {folder} 8000")


def _put(content: bytes, path: Path) -> None:
    path.write_bytes(content)
