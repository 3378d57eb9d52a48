"""Several recordings at once, each in a process with its own copy of the model.

A pool of the standard library stops completely if one process dies. Here another process tries the recording
once more before it counts as failed. The caller's thread starts, stops and replaces all processes.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from ...processes import Worker, cores, end, interrupts_held_back, start
from ..errors import LoadError
from ..jobs import Job, Outcome
from ..recording_task import one_line, transcribe_recording
from ..settings import Settings, load_transcriber
from .executor import JobSupply, Load, Outcomes, ReportRead, died, remove_parts_of

PATIENCE_S = 3.0
_JobWorker = Worker[Job]


def default_processes(jobs: int, device: str) -> int:
    """One per core, at most 8 (some 550 MB each), each with two or more recordings."""
    if device in ("cuda", "mps"):
        return 1  # one process keeps the device busy
    return max(1, min(cores(), 8, jobs // 2))


@dataclass(frozen=True)
class WorkerProcesses:
    """Transcribes recordings in ``count`` processes. ``load`` must be importable by name."""

    count: int
    load: Load = load_transcriber

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        supply = JobSupply(jobs)
        workers: list[_JobWorker] = []
        try:
            while True:
                self._hand_out(supply, workers, settings)
                if all(worker.item is None for worker in workers):
                    return
                yield from _receive(workers, supply, report_read)
        finally:
            with interrupts_held_back():  # a second Ctrl-C must not interrupt the cleanup
                stop_workers(workers)

    def _hand_out(self, supply: JobSupply, workers: list[_JobWorker], settings: Settings) -> None:
        """Give a job to every idle worker; start workers, up to ``count``, while there are jobs."""
        idle = [worker for worker in workers if worker.item is None]
        while (idle or len(workers) < self.count) and supply.has_next:
            if not idle:
                workers.append(start_worker(settings, self.load))
                idle.append(workers[-1])
            job = supply.next()
            idle.pop().give(job, job)


def start_worker(settings: Settings, load: Load) -> _JobWorker:
    return start(_work, settings, load)


def stop_workers(workers: list[_JobWorker]) -> None:
    end(workers, PATIENCE_S)
    for worker in workers:
        if worker.item is not None:
            remove_parts_of(worker.process.pid, worker.item)


def _receive(workers: list[_JobWorker], supply: JobSupply, report_read: ReportRead) -> Iterator[Outcome]:
    """Wait for messages from any worker and handle them. If a worker's pipe has ended, it has died."""
    for ready in wait([worker.pipe for worker in workers]):
        worker = next(worker for worker in workers if worker.pipe is ready)
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            workers.remove(worker)
            yield from _bury(worker, supply)
            continue
        if kind == "unusable":
            raise LoadError(value)
        if kind == "read" and worker.item is not None:
            report_read(worker.item, value)
        if kind == "outcome":
            worker.item = None
            yield value


def _bury(worker: _JobWorker, supply: JobSupply) -> Iterator[Outcome]:
    how = worker.bury(PATIENCE_S)
    if worker.item is None:
        return
    remove_parts_of(worker.process.pid, worker.item)
    if not supply.give_back(worker.item):
        yield died(worker.item, "two processes", how)


def _work(pipe: Connection, settings: Settings, load: Load) -> None:
    """A worker's main loop: load the model once, then transcribe jobs until the parent ends."""
    leave_signals_to_parent()
    try:
        transcriber = load(settings)
    except Exception as error:
        pipe.send(("unusable", one_line(error)))
        return
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pipe.recv()
            outcome = transcribe_recording(job, transcriber, settings, lambda s: pipe.send(("read", s)))
            pipe.send(("outcome", outcome))


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C, which the parent handles; end this process on SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Exit at once: an exception could occur anywhere, even during garbage collection. The parent cleans up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
