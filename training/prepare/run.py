"""Makes all recordings of a data set that are not there yet, in processes of which each may die alone."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TypeVar

from ... import system
from ...processes import Worker, end, interrupts_held_back, start
from .convert import How, PreparationOutcome, RecordingSource, attempt

UNFINISHED = ".unfinished"


@contextmanager
def unfinished_in(out: Path) -> Iterator[Path]:
    """A folder in ``out`` for what is not whole yet; gone in the end, with what an earlier run left there.

    Raises ValueError where another run is at work in ``out``, OSError where nothing can be written.
    """
    folder = out / UNFINISHED
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        if not system.lock(lock, wait=False):
            raise ValueError(f"{out}: another hppnet prepare is at work in this folder; wait for it")
        try:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run(sources: Sequence[RecordingSource], how: How, jobs: int) -> Generator[PreparationOutcome, None, None]:
    """The outcome of each, as they get done; ends early where none could be written any more.

    Closing the iterator, or Ctrl-C, ends all processes; no file is left half written.
    """
    if min(jobs, len(sources)) <= 1:
        yield from _while_hopeful(attempt(source, how) for source in sources)
        return
    work = partial(attempt, how=how)
    with closing(in_processes(work, sources, jobs, _died)) as outcomes:
        yield from _while_hopeful(outcomes)


def _while_hopeful(outcomes: Iterable[PreparationOutcome]) -> Iterator[PreparationOutcome]:
    for outcome in outcomes:
        yield outcome
        if outcome.hopeless:
            return


def _died(source: RecordingSource, why: str) -> PreparationOutcome:
    return PreparationOutcome(source.name, source.folder, why=f"{why}; fewer --jobs may help")


Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE_S = 5.0


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, died: Callable[[Item, str], Result]
) -> Generator[Result, None, None]:
    """``work(item)`` of each, as they come; ``died(item, why)`` of one whose process ended over it.

    ``work`` must be picklable and keep its errors to itself. Closing the iterator, or Ctrl-C, ends all
    processes; what they had started (files, programs) they take back.
    """
    waiting = deque(items)
    workers: list[Worker[Item]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                workers.append(start(_work, work))
                item = waiting.popleft()
                workers[-1].give(item, item)
            for ready in wait([worker.pipe for worker in workers]):
                worker = next(worker for worker in workers if worker.pipe is ready)
                try:
                    result = worker.pipe.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    yield _bury(worker, died)
                    continue
                if waiting:
                    item = waiting.popleft()
                    worker.give(item, item)
                else:
                    workers.remove(worker)
                    worker.pipe.close()  # at which it ends
                yield result
    finally:
        with interrupts_held_back():  # an impatient second Ctrl-C waits for the cleaning up
            end(workers, _PATIENCE_S)


def _bury(worker: Worker[Item], died: Callable[[Item, str], Result]) -> Result:
    how = worker.bury(_PATIENCE_S)
    assert worker.item is not None
    return died(worker.item, f"the process that worked on it ended {how}")


def _work(pipe: Connection, work: Callable[[Item], Result]) -> None:
    """A worker's life: items until the parent is gone."""
    # An exception, so that files and programs that the work has started are cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["OMP_NUM_THREADS"] = "1"  # read when PyTorch is loaded: a core for each worker
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(work(pipe.recv()))
