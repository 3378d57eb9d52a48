"""Batches windows of many recordings in one process, as the workers of a cluster do on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

import numpy as np

from ...model.decoder import Probable
from ...model.engines import Predicted, WindowEngine, window_engine
from ...model.frames import CONTEXT_FRAMES, WINDOW_FRAMES, Row
from ...model.timebase import HOP
from ...model.transcriber import Transcriber
from ..jobs import Job, Outcome
from ..recording_task import RecordingTask, WindowSound
from ..settings import Settings
from .executor import Outcomes, ReportRead
from .window_task import ModelFacts, window_task

_MOST = 128  #: recordings; more gain nothing, and wait for each other
_SHARE = 0.6  #: share of the free memory that is used; the allocator cannot use all of it


class Batcher:
    """The network and its batch size: ``size`` rows, halved when memory runs out."""

    def __init__(self, transcriber: Transcriber, size: int | None = None) -> None:
        half = transcriber.precision == "bf16"
        self.windows = window_engine(transcriber.network, transcriber.config.front_end, half)
        self.size = size or default_batch(self.windows, transcriber.device)

    def predict(self, rows: Sequence[Row]) -> tuple[int, Predicted]:
        """Predict as many of the first rows as fit into a batch. Returns their number and predictions.

        Raises MemoryError if the device's memory is too small for a single row.
        """
        while True:
            count = min(self.size, len(rows))
            try:
                return count, self.windows.predict(rows[:count])
            except MemoryError:
                if count == 1:
                    raise MemoryError("the device has too little memory for a window of 20 s") from None
                self.size = count // 2


def default_batch(windows: WindowEngine, device: str) -> int:
    """The batch size for a GPU's free memory; 1 on a CPU, where larger batches gain nothing (measured)."""
    if device != "cuda":
        return 1
    import torch

    free, _ = torch.cuda.mem_get_info()
    return max(1, min(_MOST, int(_SHARE * free / _bytes_a_row(windows))))


def _bytes_a_row(windows: WindowEngine) -> float:
    """Memory that the largest window needs on a GPU, by trial, which also warms up the convolutions."""
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    samples = np.zeros((WINDOW_FRAMES + CONTEXT_FRAMES - 1) * HOP + windows.span, dtype=np.float32)
    windows.predict([Row(windows.start(), samples, False)] * 2).wait()
    return max(1.0, (torch.cuda.max_memory_allocated() - before) / 2)


_Waiting = tuple[
    RecordingTask, Any, WindowSound
]  #: a task, the network's state before its window, the window


def uses_batches(transcriber: Transcriber, settings: Settings) -> bool:
    """Whether recordings share batches: on a GPU or if ``batch`` is set, but never at a live latency."""
    return settings.latency_ms is None and (settings.batch is not None or transcriber.device == "cuda")


class BatchedWorker:
    """An executor without other processes: reading, the network and writing take turns."""

    def __init__(self, transcriber: Transcriber, batch: int | None = None) -> None:
        """``batch``: recordings per batch; None: chosen by device and memory."""
        self._model = ModelFacts.of(transcriber)
        self._batcher = Batcher(transcriber, batch)

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        left = iter(jobs)
        waiting: list[_Waiting] = []
        while True:
            while len(waiting) < self._batcher.size and (job := next(left, None)) is not None:
                task = window_task(job, self._model, settings, partial(report_read, job))
                yield from _advance(waiting, task, None, self._batcher.windows.start())
            if not waiting:
                return
            rows = [Row(past, sound.samples, sound.last) for _, past, sound in waiting]
            try:
                count, predicted = self._batcher.predict(rows)
            except MemoryError as error:
                task, past, _ = waiting.pop(0)
                yield from _advance(waiting, task, error, past)
                continue
            taken, waiting = waiting[:count], waiting[count:]
            for (task, _, _), past, answer in zip(taken, predicted.pasts, predicted.wait(), strict=True):
                yield from _advance(waiting, task, answer, past)


def _advance(
    waiting: list[_Waiting], task: RecordingTask, answer: Probable | Exception | None, past: Any
) -> Iterator[Outcome]:
    """Send a task its predictions or an error. Its next window joins ``waiting``; an outcome is yielded."""
    try:
        sound = task.throw(answer) if isinstance(answer, Exception) else task.send(cast("Probable", answer))
        waiting.append((task, past, sound))
    except StopIteration as end:
        yield end.value
