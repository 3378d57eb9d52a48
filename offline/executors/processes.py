"""Many recordings at once: a process each with its own copy of the model.

A pool of the standard library stops as a whole when one process dies; here the file it had is tried once
more by another, and only then is lost. The caller's thread starts, stops and replaces them all.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from ...processes import Worker, cores, end, interrupts_held_back, start
from ..batch import Heard, Load
from ..errors import LoadError
from ..recording_task import Outcome, attempt, load_transcriber, one_line
from ..jobs import Job
from ..places import Url
from ..settings import Settings
from ..writing import machine as this_machine
from ..writing import remove_parts

PATIENCE_S = 3.0
TRIES = 2  #: of a recording over which processes die


def sensible_processes(jobs: int, device: str) -> int:
    """As many as there are cores, at most 8 (some 350 MB each), with two files or more for each to do."""
    if device in ("cuda", "mps"):
        return 1  # one process keeps the device busy
    return max(1, min(cores(), 8, jobs // 2))


class Supply:
    """Jobs as they are asked for, and those that come back from processes that died."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._following: Job | None = None
        self._again: deque[Job] = deque()
        self._tried: dict[str, int] = {}

    @property
    def more(self) -> bool:
        """Whether there is a next one."""
        if self._following is None:
            self._following = next(self._jobs, None)
        return bool(self._again) or self._following is not None

    def next(self) -> Job:
        """The next one: see ``more``. First those that came back."""
        if self._again:
            return self._again.popleft()
        assert self.more and self._following is not None, "there are no more jobs"
        job, self._following = self._following, None
        return job

    def back(self, job: Job) -> bool:
        """Whether the job will be tried again."""
        self._tried[str(job.source)] = tries = self._tried.get(str(job.source), 1) + 1
        if tries <= TRIES:
            self._again.append(job)
        return tries <= TRIES

    @property
    def has_returned(self) -> bool:
        return bool(self._again)


_Worker = Worker[Job]


def run(
    jobs: Iterable[Job],
    settings: Settings,
    processes: int,
    heard: Heard,
    load: Load = load_transcriber,
) -> Iterator[Outcome]:
    """One outcome a job, as they come. ``load`` must be importable by name.

    Raises LoadError when the model cannot be loaded. Closing the iterator, or Ctrl-C, ends all workers
    and removes their unfinished files.
    """
    supply = Supply(jobs)
    workers: list[_Worker] = []
    try:
        while True:
            _hand_out(supply, workers, processes, settings, load)
            if all(worker.item is None for worker in workers):
                return
            yield from _listen(workers, supply, heard)
    finally:
        with interrupts_held_back():  # an impatient second Ctrl-C waits for the cleaning up
            _stop(workers)


def _hand_out(supply: Supply, workers: list[_Worker], processes: int, settings: Settings, load: Load) -> None:
    """A job for every idle worker, and a worker more where there is still one."""
    idle = [worker for worker in workers if worker.item is None]
    while (idle or len(workers) < processes) and supply.more:
        if not idle:
            workers.append(_start(settings, load))
            idle.append(workers[-1])
        job = supply.next()
        idle.pop().give(job, job)


def _start(settings: Settings, load: Load) -> _Worker:
    return start(_work, settings, load)


def _listen(workers: list[_Worker], supply: Supply, heard: Heard) -> Iterator[Outcome]:
    """Wait for words from any worker and pass them on; a worker without words has died."""
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
        if kind == "heard" and worker.item is not None:
            heard(worker.item, value)
        if kind == "outcome":
            worker.item = None
            yield value


def _bury(worker: _Worker, supply: Supply) -> Iterator[Outcome]:
    how = worker.bury(PATIENCE_S)
    if worker.item is None:
        return
    remove_parts_of(worker.process.pid, worker.item)
    if not supply.back(worker.item):
        yield died(worker.item, how)


def died(job: Job, how: str) -> Outcome:
    """The outcome of a recording over which processes ended."""
    said = f"{job.source}: the process that transcribed it ended {how}, twice; the others go on"
    return Outcome(job.source, said, outputs=list(job.outputs.values()))


def _stop(workers: list[_Worker]) -> None:
    end(workers, PATIENCE_S)
    for worker in workers:
        if worker.item is not None:
            remove_parts_of(worker.process.pid, worker.item)


def remove_parts_of(process: int | None, job: Job, machine: str = "") -> None:
    """What a process that ended has left half written of a job."""
    for folder in {place.parent for place in job.outputs.values()}:
        if process is not None and not isinstance(folder, Url):
            remove_parts(folder, process, machine or this_machine())


def _work(pipe: Connection, settings: Settings, load: Load) -> None:
    """A worker's life: load the model once, then jobs until the parent is gone."""
    at_the_parents_word()
    try:
        transcriber = load(settings)
    except Exception as error:
        pipe.send(("unusable", one_line(error)))
        return
    with suppress(EOFError, BrokenPipeError):
        while True:
            job = pipe.recv()
            pipe.send(("outcome", attempt(job, transcriber, settings, lambda s: pipe.send(("heard", s)))))


def at_the_parents_word() -> None:
    """Ctrl-C is the parent's to answer, and SIGTERM ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # At once: an exception could come up anywhere, even while garbage is collected. The parent tidies up.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
