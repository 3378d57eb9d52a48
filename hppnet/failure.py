"""How a command fails: one line on standard error and an exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer


def fail(line: str, code: int = 1) -> NoReturn:
    """Ends the command. Exit code 1: something failed and is named; 2: wrong use."""
    print(f"error: {printable(line)}", file=sys.stderr)
    raise typer.Exit(code)


def printable(text: str) -> str:
    """``text`` in one line: bytes that are not UTF-8 and control characters are escaped."""
    escaped = (c if c.isprintable() or c == "\xa0" else c.encode("unicode_escape").decode() for c in text)
    return "".join(escaped)
