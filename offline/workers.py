"""Many recordings at once: a process each with its own copy of the model.

A pool of the standard library stops as a whole when one process dies; here only the file it had is lost.
Only this module starts, stops and replaces processes; the caller's thread does it all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

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


@dataclass
class _Worker:
    process: Any  # multiprocessing's SpawnProcess
    pipe: Connection
    number: int | None = None  #: of the job it has


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
        while waiting or any(worker.number is not None for worker in workers):
            while len(workers) < min(processes, len(waiting) + len(_busy(workers))):
                workers.append(_start(settings, load))
            for worker in _idle(workers):
                if waiting:
                    worker.number = waiting.popleft()
                    with suppress(BrokenPipeError):  # it has died: found out below
                        worker.pipe.send(jobs[worker.number])
            yield from _listen(workers, jobs, heard)
    finally:
        with _interrupts_held_back():  # an impatient second Ctrl-C waits for the cleaning up
            _stop(workers, jobs)


def _busy(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.number is not None]


def _idle(workers: list[_Worker]) -> list[_Worker]:
    return [worker for worker in workers if worker.number is None]


def _start(settings: Settings, load: Load) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, load), daemon=True)
    with _interrupts_held_back():
        process.start()
    theirs.close()  # so that reading ours ends when the worker does
    return _Worker(process, ours)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """A worker inherits the block: Ctrl-C, which the terminal sends to all, is the parent's to answer."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it, the first worker would lift the block again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
        if kind == "heard" and worker.number is not None:
            heard(worker.number, value)
        if kind == "outcome":
            worker.number = None
            yield value


def _bury(worker: _Worker, jobs: Sequence[Job]) -> Iterator[Outcome]:
    worker.process.join(_PATIENCE_S)
    worker.pipe.close()
    if worker.number is None:
        return
    job = jobs[worker.number]
    _remove_parts(worker, job)
    code = worker.process.exitcode
    killed = code is not None and code < 0
    how = f"by signal {-code}, perhaps for want of memory" if killed else f"with exit status {code}"
    yield Outcome(job.source, f"{job.source}: the process that transcribed it ended {how}; the others go on")


def _stop(workers: list[_Worker], jobs: Sequence[Job]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_PATIENCE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()
        if worker.number is not None:
            _remove_parts(worker, jobs[worker.number])


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
