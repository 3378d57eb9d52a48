"""Files that options name: figures, tables and pictures. What this program did not write is not replaced."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from ..failure import fail
from ..program import program

INSTEAD = "move it away, name another file, or replace it with --force"


def check_report(file: Path, force: bool, kind: str | None = None) -> None:
    """Whether a report of a kind (json, csv, png; None: by the name) may be put here.

    Raises FileExistsError for what is there and was not written by this program, unless ``force``, and
    OSError for a name that no file can have.
    """
    from ..offline.jobs import check_free

    if not _streams(file):
        check_free(file, kind, INSTEAD, replaceable=force)


def write_report(file: Path, write: Callable[[Path], object], force: bool, kind: str | None = None) -> None:
    """Whole or not at all, where it still may; ``write`` is called with a path. Raises OSError."""
    from ..offline.writing import write_outputs

    if _streams(file):
        write(file)
        return
    check_report(file, force, kind)
    write_outputs({file: write})


def _streams(file: Path) -> bool:
    """A pipe, a terminal or /dev/null: nothing is lost there, and it must not be replaced by a file."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def checked_report(context: typer.Context, file: str | None) -> str | None:
    """A place that a report in JSON can be written to, before the work that it reports; ``--force`` is eager.

    Raises BadParameter, and ends the command with 1 where something else would be lost.
    """
    if file is not None and file != "-":
        check_place(file)
        try:
            check_report(Path(file), context.params.get("force", False), "json")
        except OSError as error:
            fail(f"{error.filename}: {error.strerror}")
    return file


def check_place(file: str) -> None:
    """Raises BadParameter for a folder, and for a file in a folder that is not there."""
    path = Path(file)
    if path.is_dir():
        raise typer.BadParameter(f"{file or '.'}: expected a file, this is a folder")
    if not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"{file}: there is no such folder")


def write_figures(figures: dict[str, Any], json_file: str | None, force: bool) -> None:
    """Into the file of --json, if it names one. Raises OSError."""
    if json_file not in (None, "-"):
        text = as_json(figures)
        write_report(Path(json_file), lambda part: part.write_text(text, encoding="utf-8"), force, "json")


def print_figures(figures: dict[str, Any], json_file: str | None) -> bool:
    """True where --json asked for them on standard output, and nothing else belongs there."""
    if json_file == "-":
        print(as_json(figures), end="")
    return json_file == "-"


def as_json(figures: dict[str, Any]) -> str:
    """With who says it, as the first key."""
    return json.dumps({"program": program(), **figures}, indent=2) + "\n"
