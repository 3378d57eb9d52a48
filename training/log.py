"""The training log: a CSV file that any plotting tool reads."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


class CsvLog:
    """Appends the mean of every ``every`` reports to a CSV file."""

    def __init__(self, path: Path, every: int = 50) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._every = path, every
        self._rows: list[dict[str, float]] = []

    def __call__(self, step: int, values: dict[str, float]) -> None:
        self._rows.append(values)
        if step % self._every:
            return
        means = {name: float(np.mean([row[name] for row in self._rows])) for name in values}
        means["s"] = values["s"]  # seconds since the start
        self._rows.clear()
        new = not self._path.exists()
        with open(self._path, "a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["step", *means])
            writer.writerow([step, *(f"{value:.5g}" for value in means.values())])
