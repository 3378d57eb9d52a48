"""Many recordings at once: a process each with its own copy of the model.

A pool of the standard library stops as a whole when one process dies; here only the file it had is lost.
The caller's thread starts, stops and replaces them all.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from ..processes import Worker, end, interrupts_held_back, start
from .batch import Heard, Load, LoadError, attempt, one_line
from .job import Outcome, load_transcriber
from .outputs import Job
from .settings import Settings
from .writing import remove_parts

_PATIENCE_S = 3.0


def sensible_processes(jobs: int, device: str) -> int:
    """As many as there are cores, at most 8 (some 350 MB each), with two files or more for each to do."""
    if device in ("cuda", "mps"):
        return 1  # one process keeps the device busy
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, 8, jobs // 2))


_Worker = Worker[int]  # its item: the number of its job


def run(
    jobs: Sequence[Job],
    settings: Settings,
    processes: int,
    heard: Heard,
    load: Load = load_transcriber,
) -> Iterator[Outcome]:
    """One outcome a job, as they come. ``load`` must be importable by name.

    Raises LoadError when the model cannot be loaded. Closing the iterator, or Ctrl-C, ends all workers
    and removes their unfinished files.
    """
    waiting = deque(range(len(jobs)))
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.item is not None for worker in workers):
            while len(workers) < min(processes, len(waiting) + len(_busy(workers))):
                workers.append(_start(settings, load))
            for worker in _idle(workers):
                if waiting:
                    number = waiting.popleft()
                    worker.give(number, jobs[number])
            yield from _listen(workers, jobs, heard)
    finally:
        with interrupts_held_back():  # an impatient second Ctrl-C waits for the cleaning up
            _stop(workers, jobs)


def _busy(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.item is not None]


def _idle(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.item is None]


def _start(settings: Settings, load: Load) -> _Worker:
    return start(_work, settings, load)


def _listen(workers: list[_Worker], jobs: Sequence[Job], heard: Heard) -> Iterator[Outcome]:
    """Wait for words from any worker and pass them on; a worker without words has died."""
    for ready in wait([worker.pipe for worker in workers]):
        worker = next(worker for worker in workers if worker.pipe is ready)
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            workers.remove(worker)
            yield from _bury(worker, jobs)
            continue
        if kind == "unusable":
            raise LoadError(value)
        if kind == "heard" and worker.item is not None:
            heard(worker.item, value)
        if kind == "outcome":
            worker.item = None
            yield value


def _bury(worker: _Worker, jobs: Sequence[Job]) -> Iterator[Outcome]:
    how = worker.bury(_PATIENCE_S)
    if worker.item is None:
        return
    job = jobs[worker.item]
    _remove_parts(worker, job)
    yield Outcome(job.source, f"{job.source}: the process that transcribed it ended {how}; the others go on")


def _stop(workers: list[_Worker], jobs: Sequence[Job]) -> None:
    end(workers, _PATIENCE_S)
    for worker in workers:
        if worker.item is not None:
            _remove_parts(worker, jobs[worker.item])


def _remove_parts(worker: _Worker, job: Job) -> None:
    for folder in {path.parent for path in job.outputs.values()}:
        remove_parts(folder, worker.process.pid)


def _work(pipe: Connection, settings: Settings, load: Load) -> None:
    """A worker's life: load the model once, then jobs until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # At once: an exception could come up anywhere, even while garbage is collected. The parent tidies up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        transcriber = load(settings)
    except Exception as error:
        pipe.send(("unusable", one_line(error)))
        return
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pipe.recv()
            pipe.send(("outcome", attempt(job, transcriber, settings, lambda s: pipe.send(("heard", s)))))
