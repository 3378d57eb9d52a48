"""Writes figures, tables and pictures to the files that options name. Replaces only this program's files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from ..failure import fail
from ..program import program

INSTEAD = "move it away, name another file, or replace it with --force"


def check_report(file: Path, force: bool, kind: str | None = None) -> None:
    """Checks that a report of a kind (json, csv, png; None: by the name) may be written to ``file``.

    Raises FileExistsError for an existing file that this program did not write, unless ``force``, and
    OSError for an impossible file name.
    """
    from ..model.files import is_special
    from ..offline.jobs import check_free

    if not is_special(file):
        check_free(file, kind, INSTEAD, replaceable=force)


def write_report(file: Path, write: Callable[[Path], object], force: bool, kind: str | None = None) -> None:
    """Checks ``file`` again; writes it whole or not at all. ``write`` receives a path. Raises OSError."""
    from ..model.files import is_special, write_files

    if is_special(file):
        write(file)
        return
    check_report(file, force, kind)
    write_files({file: write})


def checked_report(context: typer.Context, file: str | None) -> str | None:
    """Checks the file of --json before any work. Reads ``--force``, which is eager.

    Raises BadParameter; ends the command with 1 if a file of another program would be lost.
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
    """Writes the figures to the file of --json, if it names one. Raises OSError."""
    if json_file not in (None, "-"):
        text = as_json(figures)
        write_report(Path(json_file), lambda part: part.write_text(text, encoding="utf-8"), force, "json")


def print_figures(figures: dict[str, Any], json_file: str | None) -> bool:
    """Prints the figures if --json is ``-``; returns True then, as nothing else may be printed."""
    if json_file == "-":
        print(as_json(figures), end="")
    return json_file == "-"


def as_json(figures: dict[str, Any]) -> str:
    """The figures as JSON; the first key names the program."""
    return json.dumps({"program": program(), **figures}, indent=2) + "\n"
