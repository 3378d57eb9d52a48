"""What is seen of a training: a progress bar, CSV tables and TensorBoard."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..model.timebase import FRAME_S
from .board import Board
from .log import CsvTable, Means, Watch
from .settings import Settings


class TrainView(Watch):
    """Shows a run and writes it down, while entered."""

    def __init__(self, settings: Settings, visible: bool = True) -> None:
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
        self._bar.start()  # not before: what cannot be begun is one line

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
