"""The same work on many items, in processes of which each may die without the others.

Only this module starts and ends processes; the caller's thread does it all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_PATIENCE_S = 5.0


@dataclass
class _Worker(Generic[Item]):
    process: Any  # multiprocessing's SpawnProcess
    pipe: Connection
    item: Item | None = None  #: that it works on


def in_processes(
    work: Callable[[Item], Result], items: Sequence[Item], processes: int, died: Callable[[Item, str], Result]
) -> Generator[Result, None, None]:
    """``work(item)`` of each, as they come; ``died(item, why)`` of one whose process ended over it.

    ``work`` must be picklable and keep its errors to itself. Closing the iterator, or Ctrl-C, ends all
    processes; what they had started (files, programs) they take back.
    """
    waiting = deque(items)
    workers: list[_Worker[Item]] = []
    try:
        while waiting or workers:
            while waiting and len(workers) < processes:
                workers.append(_start(work))
                _give(workers[-1], waiting.popleft())
            for ready in wait([worker.pipe for worker in workers]):
                worker = next(worker for worker in workers if worker.pipe is ready)
                try:
                    result = worker.pipe.recv()
                except (EOFError, OSError):
                    workers.remove(worker)
                    yield _bury(worker, died)
                    continue
                if waiting:
                    _give(worker, waiting.popleft())
                else:
                    workers.remove(worker)
                    worker.pipe.close()  # at which it ends
                yield result
    finally:
        with _interrupts_held_back():  # an impatient second Ctrl-C waits for the cleaning up
            _stop(workers)


def _start(work: Callable[[Item], Result]) -> _Worker[Item]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, work), daemon=True)
    with _interrupts_held_back():
        process.start()
    theirs.close()  # so that reading ours ends when the worker does
    return _Worker(process, ours)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A worker inherits the block: Ctrl-C, which the terminal sends to all, is the parent's to answer."""
    resource_tracker.ensure_running()  # starting it, the first worker would lift the block again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _give(worker: _Worker[Item], item: Item) -> None:
    worker.item = item
    with suppress(BrokenPipeError):  # it has died: found out on reading
        worker.pipe.send(item)


def _bury(worker: _Worker[Item], died: Callable[[Item, str], Result]) -> Result:
    worker.process.join(_PATIENCE_S)
    worker.pipe.close()
    code = worker.process.exitcode
    killed = code is not None and code < 0
    how = f"by signal {-code}, perhaps for want of memory" if killed else f"with exit status {code}"
    assert worker.item is not None
    return died(worker.item, f"the process that worked on it ended {how}")


def _stop(workers: list[_Worker[Item]]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _work(pipe: Connection, work: Callable[[Item], Result]) -> None:
    """A worker's life: items until the parent is gone."""
    # An exception, so that files and programs that the work has started are cleared away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["OMP_NUM_THREADS"] = "1"  # read when PyTorch is loaded: a core for each worker
    with suppress(EOFError, ConnectionError):
        while True:
            pipe.send(work(pipe.recv()))
