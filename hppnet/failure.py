"""How a verb gives up: one line on standard error and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def fail(line: str, code: int = 1) -> NoReturn:
    """Exit code 1: something failed and is named; 2: wrong use."""
    print(f"error: {line}", file=sys.stderr)
    raise typer.Exit(code)
