"""``-``: a recording that comes through standard input, and an output that goes to standard output."""

from __future__ import annotations

import errno
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..offline.writing import FORMATS

if TYPE_CHECKING:
    from ..offline.recording_task import Outcome

PIPE = "-"
_IN = "standard-input"


class ReaderGone(BaseException):
    """Nobody reads standard output any more. No fault of a recording, so it passes what catches those."""


class LinesOut:
    """Writes lines to standard output at once. Raises ReaderGone, or OSError for a full disk."""

    def __init__(self, out: TextIO) -> None:
        self.used = False
        self._out = out

    def __call__(self, lines: str) -> None:
        self.used = True
        try:
            self._out.write(lines)
            self._out.flush()
        except BrokenPipeError:
            raise ReaderGone from None


@dataclass(frozen=True)
class Pipes:
    """The files that stand for standard input and output, where they are asked for."""

    recording: Path | None = None
    output: Path | None = None
    tell: LinesOut | None = None  #: takes the lines of jsonl in place of ``output``, in this process

    def told(self, outcome: Outcome) -> Outcome:
        """With the names by which the user knows them."""
        error = outcome.error
        if self.output is not None:
            outcome = replace(outcome, outputs=[Path(PIPE)] * len(outcome.outputs))
            error = error and error.replace(str(self.output), "standard output")
        if self.recording is not None and outcome.source == self.recording:
            outcome = replace(outcome, source=Path(PIPE))
            error = error and error.replace(str(self.recording), "standard input")
        return replace(outcome, error=error)


def check_pipes(
    paths: list[str], output: str | None, formats: str | None, plot: bool, cluster: str | None
) -> None:
    """Raises ValueError for a - that cannot be meant."""
    if PIPE in paths:
        if paths.count(PIPE) > 1:
            raise ValueError("expected - once: there is one standard input")
        if output is None:
            raise ValueError(
                "a recording from standard input lies in no folder: name the output, -o FILE.mid or -o -"
            )
        if cluster is not None:
            raise ValueError("--cluster cannot read this machine's standard input: save the recording first")
        if sys.stdin is None or sys.stdin.isatty():
            raise ValueError(
                "- reads a recording from standard input: expected a pipe or a file, got a terminal"
            )
    if output == PIPE:
        if plot or (formats and "," in formats):
            raise ValueError("-o - takes one output: expected one --format, and no --plot")
        if formats is not None and formats.strip().lower() not in FORMATS:
            raise ValueError(f"--format: expected any of {', '.join(FORMATS)}, got {formats!r}")


@contextmanager
def piped(
    paths: list[str], output: str | None, formats: str | None
) -> Iterator[tuple[list[str], str | None, Pipes]]:
    """The paths and the output with files for ``-``. What is printed goes to standard error instead.

    At the end of the ``with`` block the output, where there is one, is written to standard output; lines of
    jsonl as they come. Raises OSError where standard input cannot be kept, or nobody takes the output.
    """
    if PIPE not in paths and output != PIPE:
        yield paths, output, Pipes()
        return
    with tempfile.TemporaryDirectory(prefix="hppnet-") as name:
        folder = Path(name)
        pipes = Pipes(
            folder / _IN if PIPE in paths else None,
            folder / f"standard-output.{(formats or 'mid').strip().lower()}" if output == PIPE else None,
        )
        if pipes.recording is not None:
            with open(pipes.recording, "wb") as kept:
                shutil.copyfileobj(sys.stdin.buffer, kept, 1 << 20)
        paths = [str(pipes.recording) if path == PIPE else path for path in paths]
        if pipes.output is None:
            yield paths, output, pipes
            return
        out = sys.stdout
        tell = LinesOut(out) if pipes.output.suffix == ".jsonl" else None
        with redirect_stdout(sys.stderr):
            try:
                yield paths, str(pipes.output), replace(pipes, tell=tell)
            except ReaderGone:
                raise BrokenPipeError(errno.EPIPE, "nobody reads standard output") from None
        if pipes.output.exists() and not (tell and tell.used):
            out.flush()
            out.buffer.write(pipes.output.read_bytes())
            out.flush()
