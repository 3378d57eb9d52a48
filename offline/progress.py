"""Shows the progress of a batch: a bar on a terminal, a line for every file, a summary."""

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

from ..failure import printable
from .jobs import Job, Outcome
from .places import Url
from .reading import likely_duration_s


def clock(seconds: float) -> str:
    """Format seconds: 75.4 -> 1:15, 3675 -> 1:01:15."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class _Rate(ProgressColumn):
    """Column for the speed, in seconds of sound per second."""

    def render(self, task: Task) -> Text:
        sound_s, elapsed_s = task.fields["sound_s"], task.elapsed or 0.0
        rate = f"{sound_s / elapsed_s:.1f} × real time" if sound_s and elapsed_s else ""
        return Text(rate, style="progress.data.speed")


class BatchScreen:
    """Shows the progress of a batch; a context manager. The bar requires a terminal (standard error).

    With ``jobs``, few enough to look up their lengths, the bar counts seconds of sound. Otherwise it counts
    recordings; ``total`` is their number, including those already done, of which ``skipped`` are known.
    """

    def __init__(
        self, jobs: Sequence[Job], total: int, skipped: int = 0, *, quiet: bool, verbose: bool
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._bar = _bar() if total and not quiet else None
        # Only the bar needs the expected lengths.
        self._expected_s = {str(job.source): _likely_s(job) for job in jobs} if self._bar else {}
        self._read_s: dict[str, float] = {}  # seconds read of each unfinished recording
        whole = sum(self._expected_s.values()) if jobs else float(total)
        self._by_sound = bool(jobs)
        self._total = whole
        self._task = self._bar.add_task("loading", total=whole, sound_s=0.0) if self._bar else None
        self.skipped, self.done, self.failed = skipped, 0, 0
        self._sound_s = 0.0

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

    def report_read(self, job: Job, seconds: float) -> None:
        """Report that ``seconds`` of a job have been read."""
        if self._bar:
            source = str(job.source)
            self._read_s[source] = seconds
            self._expect(source, max(seconds, self._expected_s.get(source, 0.0)))
            self._show(printable(job.source.name))

    def skip(self) -> None:
        """Count one more recording that is already done."""
        self.skipped += 1
        self._show()

    def finished(self, outcome: Outcome) -> None:
        """Print one line for the outcome. Errors and warnings go to standard error."""
        if outcome.error is not None:
            self.failed += 1
            print(f"error: {printable(outcome.error)}", file=sys.stderr, flush=True)
            if self._verbose and outcome.trace:
                print(outcome.trace, file=sys.stderr, flush=True)
        else:
            self.done += 1
            self._sound_s += outcome.duration_s
            for line in outcome.warnings:
                print(printable(f"warning: {outcome.source}: {line}"), file=sys.stderr, flush=True)
            if not self._quiet:
                print(printable(_line(outcome)), flush=True)
        if self._bar:
            source = str(outcome.source)
            self._read_s.pop(source, None)
            # A failed file has a duration of 0 here, so the bar does not wait for its rest.
            self._expect(source, outcome.duration_s)
            self._expected_s.pop(source, None)
            self._show("")

    def summary(self) -> str:
        """One line: files, hours of sound, × real time, failures."""
        wall_s = max(1e-9, time.monotonic() - self._started)
        words = [
            f"{self.done} file{'' if self.done == 1 else 's'} transcribed",
            f"{clock(self._sound_s)} ({self._sound_s / 3600:.2f} hours) of sound in {clock(wall_s)}",
            f"{self._sound_s / wall_s:.1f} × real time",
            f"{self.failed} failed",
        ]
        return ", ".join(words + ([f"{self.skipped} skipped"] if self.skipped else []))

    def _expect(self, source: str, seconds: float) -> None:
        """Correct the expected length of a recording."""
        if self._by_sound and source in self._expected_s:
            self._total += seconds - self._expected_s[source]
            self._expected_s[source] = seconds

    def _show(self, name: str | None = None) -> None:
        """Update the bar. ``name``: the recording to show; None: the same as before."""
        if self._bar and self._task is not None:
            sound_s = self._sound_s + sum(self._read_s.values())
            completed = sound_s if self._by_sound else self.done + self.failed + self.skipped
            shown = None if name is None else name[:30]
            self._bar.update(
                self._task, completed=completed, total=self._total, description=shown, sound_s=sound_s
            )


def _likely_s(job: Job) -> float:
    return 0.0 if isinstance(job.source, Url) else likely_duration_s(job.source)


def _bar() -> Progress | None:
    console = Console(stderr=True)
    if not console.is_terminal:
        return None
    columns = (
        *(TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn()),
        *(_Rate(), TimeRemainingColumn(), TextColumn("left")),
    )
    # Where standard output is a file, its lines must not be drawn above the bar.
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
    """Print the notes as a table on standard output."""
    table = Table(title=Text(printable(outcome.source.name)), title_justify="left")
    for name in ("onset s", "offset s", "name", "pitch", "velocity"):
        table.add_column(name, justify="right")
    for note in outcome.notes or []:
        table.add_row(
            *(f"{note.onset_s:.3f}", f"{note.offset_s:.3f}", note.name, str(note.pitch), str(note.velocity))
        )
    Console().print(table)
