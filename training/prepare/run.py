"""Makes the missing pieces of a data set in worker processes. A dead process costs one piece only."""

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
    """A folder in ``out`` for unfinished files, emptied before use and removed at the end.

    Raises ValueError if another run is at work in ``out``, OSError if nothing can be written.
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
    """Yields each source's outcome when it is done; stops early once no piece can be written any more.

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
    """Yields ``work(item)`` for each item when it is done, ``died(item, why)`` if its process has died.

    ``work`` must be picklable and must not raise. Closing the iterator, or Ctrl-C, ends all processes; they
    remove their unfinished files and end the programs that they started.
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
                    worker.pipe.close()  # ends the worker
                yield result
    finally:
        with interrupts_held_back():  # a second Ctrl-C waits for the clean-up
            end(workers, _PATIENCE_S)


def _bury(worker: Worker[Item], died: Callable[[Item, str], Result]) -> Result:
    how = worker.bury(_PATIENCE_S)
    assert worker.item is not None
    return died(worker.item, f"the process that worked on it ended {how}")


def _work(pipe: Connection, work: Callable[[Item], Result]) -> None:
    """The worker process: works on items until the pipe is closed."""
    # An exception, so that ``work`` removes its files and ends its programs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["OMP_NUM_THREADS"] = "1"  # one core per worker; PyTorch reads this when it is loaded
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(work(pipe.recv()))
