"""The training log: CSV tables that any plotting tool reads, and what is told about a run."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import numpy as np


class Watch:
    """Is told how a run goes on; this one keeps it to itself."""

    def begin(self, step: int) -> None:
        """Training goes on from this step."""

    def planned(self, steps: int) -> None:
        """How many steps the run will have had in the end."""

    def step(self, step: int, values: dict[str, float]) -> None:
        """A step was taken: losses, learning rate, norm of the gradient, seconds."""

    def validating(self, done: int, total: int) -> None:
        """So many recordings of a validation have been heard."""

    def validated(self, step: int, values: dict[str, float], picture: np.ndarray) -> None:
        """Scores in percent, and a picture [H, W, 3] (bytes) of an excerpt, wanted and heard."""


class Means:
    """Gathers the values of ``every`` steps into their means."""

    def __init__(self, every: int = 50) -> None:
        self._every = every
        self._rows: list[dict[str, float]] = []

    def add(self, step: int, values: dict[str, float]) -> dict[str, float] | None:
        """Takes a step's values; the means where a row is complete."""
        self._rows.append(values)
        return None if step % self._every else self.take()

    def take(self) -> dict[str, float] | None:
        """The means of what was added since; seconds (``s``) and learning rate are the last ones."""
        if not self._rows:
            return None
        last = self._rows[-1]
        means = {name: _mean([row[name] for row in self._rows]) for name in last}
        self._rows.clear()
        return {**means, **{name: last[name] for name in ("s", "rate") if name in last}}


def _mean(values: list[float]) -> float:
    """Over those that are numbers: a step that was skipped has no finite norm."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan


TABLES = {"log.csv": "onset", "validation.csv": "offline_onset"}  #: of a run, and a column that is in each


def check_tables(folder: Path) -> None:
    """Raises ValueError where a run's tables would take the place of others."""
    for name, column in TABLES.items():
        columns, _ = read_table(folder / name)
        if columns and column not in columns:
            raise ValueError(
                f"{folder / name}: it was not written by hppnet train; move it away, "
                "or choose another --folder"
            )


class CsvTable:
    """A CSV file of values by step. Rows beyond ``from_step`` are dropped: they are about to come again.

    New columns are added to a table that lacks them; earlier rows leave them empty.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._columns, rows = read_table(path)
        if self._columns:  # also for the sake of a last line that was cut short
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
    """Columns and rows of a table; none of either where there is no such file.

    Raises ValueError for a file that is no table by step. A last line that was cut short is left out.
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
