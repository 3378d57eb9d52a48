"""The logs of a run: CSV tables for any plotting tool, TensorBoard, a progress bar."""

from __future__ import annotations

import csv
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..model.timebase import FRAME_S
from .settings import TrainingSettings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Watch:
    """Receives the progress of a run. This base class ignores it."""

    def begin(self, step: int) -> None:
        """Training starts, or resumes, after ``step`` steps."""

    def planned(self, steps: int) -> None:
        """The run will take ``steps`` steps in total."""

    def step(self, step: int, values: dict[str, float]) -> None:
        """A step was taken: losses, learning rate, norm of the gradient, seconds."""

    def validating(self, done: int, total: int) -> None:
        """``done`` of ``total`` recordings of a validation have been transcribed."""

    def validated(self, step: int, values: dict[str, float], picture: np.ndarray) -> None:
        """A validation has ended: scores in percent, picture [H, W, 3] (bytes) of targets and predictions."""


class Means:
    """Collects the values of ``every`` steps and averages them."""

    def __init__(self, every: int = 50) -> None:
        self._every = every
        self._rows: list[dict[str, float]] = []

    def add(self, step: int, values: dict[str, float]) -> dict[str, float] | None:
        """Adds a step's values; returns the means after every ``every`` steps, else None."""
        self._rows.append(values)
        return None if step % self._every else self.take()

    def take(self) -> dict[str, float] | None:
        """The means since the last row, or None; seconds (``s``) and learning rate are the last values."""
        if not self._rows:
            return None
        last = self._rows[-1]
        means = {name: _mean([row[name] for row in self._rows]) for name in last}
        self._rows.clear()
        return {**means, **{name: last[name] for name in ("s", "rate") if name in last}}


def _mean(values: list[float]) -> float:
    """The mean of the finite values: a skipped step has no finite gradient norm."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


TABLES = {"log.csv": "onset", "validation.csv": "offline_onset"}  #: a run's tables, with a required column


def check_tables(folder: Path) -> None:
    """Raises ValueError where a run's tables would overwrite other files."""
    for name, column in TABLES.items():
        columns, _ = read_table(folder / name)
        if columns and column not in columns:
            raise ValueError(
                f"{folder / name}: it was not written by hppnet train; move it away, "
                "or choose another --folder"
            )


class CsvTable:
    """A CSV file of values by step. Rows after ``from_step`` are dropped: a resumed run writes them again.

    New columns are added to the table; earlier rows leave them empty.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._columns, rows = read_table(path)
        if self._columns:  # this also removes an incomplete last line
            self._rewrite([row for row in rows if int(row["step"]) <= from_step])

    def append(self, step: int, values: dict[str, float]) -> None:
        columns = ["step", *values]
        if not set(columns) <= set(self._columns):
            rows = read_table(self._path)[1]
            self._columns += [name for name in columns if name not in self._columns]
            self._rewrite(rows)
        row = {"step": str(step), **{name: f"{value:.5g}" for name, value in values.items()}}
        with open(self._path, "a", newline="") as handle:
            csv.DictWriter(handle, self._columns).writerow(row)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        with open(temporary, "w", newline="") as handle:
            writer = csv.DictWriter(handle, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self._path)


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a table, both empty where there is no file.

    Raises ValueError where the first column is not ``step``. An incomplete last line is left out.
    """
    if not path.exists():
        return [], []
    with open(path, newline="") as handle:
        reader = csv.DictReader(handle)
        columns = list(reader.fieldnames or [])
        rows = [{name: row[name] or "" for name in columns} for row in reader if _whole(row)]
    if columns and columns[0] != "step":
        raise ValueError(f"{path}: expected a table whose first column is step, found {columns[0]!r}")
    return columns, rows


def _whole(row: dict[str, str]) -> bool:
    return None not in row and None not in row.values() and (row.get("step") or "").isdigit()


FOLDER = "tensorboard"  #: subfolder of the run's folder


class Board:
    """Writes to TensorBoard, in ``FOLDER``. Raises ModuleNotFoundError where TensorBoard is not installed."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Entries after this step are dropped: the resumed run writes them again.
        self._writer: SummaryWriter = SummaryWriter(str(folder / FOLDER), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float], group: str) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def image(self, step: int, image: np.ndarray) -> None:
        """Writes a picture [H, W, 3] of bytes."""
        self._writer.add_image("excerpt, onsets above frames", image, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class TrainView(Watch):
    """Shows the progress of a run and writes its logs; a context manager."""

    def __init__(self, settings: TrainingSettings, visible: bool = True) -> None:
        self._settings = settings
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not visible)
        self._task = self._bar.add_task(
            "training", total=None if settings.minutes else settings.schedule.steps
        )
        self._means = Means()
        self._log: CsvTable | None = None
        self._board: Board | None = None
        self._last_step, self._last_s, self._speed = 0, 0.0, 0.0

    def __enter__(self) -> TrainView:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        self._write_means()
        if self._log is not None:
            self._bar.stop()
        if self._board is not None:
            self._board.close()

    def begin(self, step: int) -> None:
        folder = Path(self._settings.folder)
        self._log = CsvTable(folder / "log.csv", step)
        self._validation = CsvTable(folder / "validation.csv", step)
        if self._settings.tensorboard:
            try:
                self._board = Board(folder, step)
            except ModuleNotFoundError as error:
                print(f"going on without TensorBoard: pip install {error.name}", file=sys.stderr)
        self._last_step, self._last_s = step, time.monotonic()
        self._bar.update(self._task, completed=step)
        self._bar.start()  # not earlier: if the run cannot begin, only the error is shown

    def planned(self, steps: int) -> None:
        self._bar.update(self._task, total=steps)

    def step(self, step: int, values: dict[str, float]) -> None:
        self._last_step = step
        if (row := self._means.add(step, values)) is not None:
            self._write(step, row)
        now = time.monotonic()
        speed = self._settings.batch * self._settings.frames * FRAME_S / max(now - self._last_s, 1e-9)
        self._speed = 0.9 * self._speed + 0.1 * speed if self._speed else speed
        self._last_s = now
        said = f"onset loss {values['onset']:.2f}, {self._speed:.0f} s of sound a second"
        self._bar.update(self._task, completed=step, description=said)

    def validating(self, done: int, total: int) -> None:
        self._bar.update(self._task, description=f"validating, {done} of {total} recordings")

    def validated(self, step: int, values: dict[str, float], picture: np.ndarray) -> None:
        self._validation.append(step, values)
        if self._board is not None:
            self._board.scalars(step, values, "validation")
            self._board.image(step, picture)
        f1 = ", ".join(f"{mode} {values[f'{mode}_onset']:.1f}" for mode in ("offline", "streaming"))
        self._bar.console.print(f"step {step}: onset F1 {f1} %", highlight=False)
        self._last_s = time.monotonic()

    def _write_means(self) -> None:
        if (row := self._means.take()) is not None:
            self._write(self._last_step, row)

    def _write(self, step: int, row: dict[str, float]) -> None:
        if self._log is not None:
            self._log.append(step, row)
        if self._board is not None:
            self._board.scalars(step, row, "training")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[..., None]]:
    """A progress bar that appears with the first report: what is done, the total, perhaps the activity."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)

    def report(done: int, total: int, what: str = what) -> None:
        bar.start()
        bar.update(task, description=what, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()
