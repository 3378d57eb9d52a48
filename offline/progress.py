"""What the user sees of a batch: a bar on a terminal, a line for every file, a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from .job import Outcome
from .outputs import Job
from .reading import likely_duration_s


def clock(seconds: float) -> str:
    """75.4 -> 1:15, 3675 -> 1:01:15."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class _Rate(ProgressColumn):
    """Seconds of sound in a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} × real time" if task.speed else "", style="progress.data.speed")


class BatchScreen:
    """Shows a batch. Used with ``with``; the bar only where standard error is a terminal."""

    def __init__(self, jobs: Sequence[Job], *, quiet: bool, verbose: bool) -> None:
        self._jobs = jobs
        self._heard_s = [0.0] * len(jobs)
        self._quiet = quiet
        self._verbose = verbose
        self._bar = _bar() if jobs and not quiet else None
        # Only the bar wants to know beforehand how much there is.
        self._expected_s = [likely_duration_s(job.source) if self._bar else 0.0 for job in jobs]
        self._task = self._bar.add_task("loading", total=sum(self._expected_s)) if self._bar else None
        self._numbers = {job.source: number for number, job in enumerate(jobs)}
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> BatchScreen:
        self._started = time.monotonic()
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def heard(self, number: int, seconds: float) -> None:
        """A job has been read up to here, in seconds."""
        self._heard_s[number] = seconds
        self._expected_s[number] = max(seconds, self._expected_s[number])
        self._show(self._jobs[number].source.name)

    def finished(self, outcome: Outcome) -> None:
        """One line for this file, an error to standard error."""
        self.outcomes.append(outcome)
        if outcome.error is not None:
            print(f"error: {outcome.error}", file=sys.stderr, flush=True)
            if self._verbose and outcome.trace:
                print(outcome.trace, file=sys.stderr, flush=True)
        elif not self._quiet:
            print(_line(outcome), flush=True)
        number = self._numbers.get(outcome.source)
        if number is not None:
            # A failed file weighs nothing: nobody will wait for the rest of it.
            self._expected_s[number] = self._heard_s[number] = outcome.duration_s
            self._show("")

    def summary(self, skipped: int = 0) -> str:
        """Files, hours of sound, × real time, failures."""
        wall_s = max(1e-9, time.monotonic() - self._started)
        done = [outcome for outcome in self.outcomes if outcome.error is None]
        failed = len(self.outcomes) - len(done)
        sound_s = sum(outcome.duration_s for outcome in done)
        words = [
            f"{len(done)} file{'' if len(done) == 1 else 's'} transcribed",
            f"{clock(sound_s)} ({sound_s / 3600:.2f} hours) of sound in {clock(wall_s)}",
            f"{sound_s / wall_s:.1f} × real time",
            f"{failed} failed",
        ]
        return ", ".join(words + ([f"{skipped} skipped"] if skipped else []))

    def _show(self, name: str) -> None:
        if self._bar and self._task is not None:
            self._bar.update(
                self._task, completed=sum(self._heard_s), total=sum(self._expected_s), description=name[:30]
            )


def _bar() -> Progress | None:
    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()),
        *(_Rate(), TimeRemainingColumn(), TextColumn("left")),
    )
    # Standard output may be a file: then its lines must not be drawn above the bar.
    return Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def _line(outcome: Outcome) -> str:
    rate = outcome.duration_s / max(1e-9, outcome.wall_s)
    found = "" if outcome.found_cents is None else f", tuning found: {outcome.found_cents:+.1f} cents"
    outputs = ", ".join(map(str, outcome.outputs))
    return (
        f"{outcome.source} -> {outputs}: {outcome.note_count} notes, {clock(outcome.duration_s)}"
        f"{found}, {rate:.1f} × real time"
    )


def show_notes(outcome: Outcome) -> None:
    """The notes as a table on standard output."""
    table = Table(title=Text(outcome.source.name), title_justify="left")
    for name in ("onset s", "offset s", "name", "pitch", "velocity"):
        table.add_column(name, justify="right")
    for note in outcome.notes or []:
        table.add_row(
            *(f"{note.onset_s:.3f}", f"{note.offset_s:.3f}", note.name, str(note.pitch), str(note.velocity))
        )
    Console().print(table)
