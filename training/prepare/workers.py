"""The same work on many items, in processes of which each may die without the others.

The caller's thread starts and ends them all.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from ...processes import Worker, end, interrupts_held_back, start

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
