"""Workers of a cluster: how they transcribe a group of recordings, and how local workers are started.

Local workers live as long as a run. They must import hppnet and Dask before the first recording. On Linux a
fork server imports both while this process imports Dask and starts the scheduler. Each worker, including the
replacement of one that died, is a fork of that server.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import platform
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...model.files import machine_name
from ...processes import cores, interrupts_held_back
from ..errors import LoadError
from ..jobs import Job, Outcome
from ..recording_task import one_line
from ..settings import Settings, load_transcriber
from .executor import Executor, Load, OneProcess

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber

_loading = threading.Lock()
_executors: dict[Settings, Executor] = {}  #: executors of this process; only the latest is kept
_TELL_S = 0.5  #: interval between progress reports of a recording
#: Environment of the workers from their start: one thread each, and memory is kept as in ``keep_memory``.
#: Tasks run in a thread. If glibc released its memory when empty, this would take a tenth of the time.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
#: By default Dask profiles itself a hundred times a second, which takes a twentieth of each core. The
#: dashboard does not need that.
_CALM = {
    "distributed.worker.profile.interval": "200ms",
    "distributed.worker.profile.cycle": "10s",
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
}
_IMPORTED = [
    *("hppnet.cli", "hppnet.offline.executors.cluster_workers", "hppnet.model.transcriber"),
    "distributed",
]


@dataclass(frozen=True)
class WorkerReport:
    """A worker's report about a recording: the seconds that have been read, or the outcome."""

    number: int
    machine: str
    process: int
    said: float | Outcome


class Unwanted(BaseException):
    """The driver has stopped or is gone, so unfinished recordings are abandoned."""


def transcribe_group(
    jobs: dict[int, Job],
    settings: Settings,
    digest: str | None,
    topic: str,
    load: Load = load_transcriber,
) -> tuple[list[tuple[int, Outcome]], float]:
    """Transcribe a group. Returns numbers with outcomes, and the seconds that all took.

    Each outcome is also sent under ``topic`` as it comes. Raises LoadError if the model cannot be loaded or
    is not the driver's.
    """
    started = time.monotonic()
    executor = _executor(settings, digest, load)
    teller = _Teller(topic)
    done = []
    try:
        for number, outcome in _outcomes(jobs, executor, settings, teller):
            teller.tell(number, outcome)
            done.append((number, outcome))
    except Unwanted:
        pass
    return done, time.monotonic() - started


class _Teller:
    """Sends reports to the driver, and checks whether the task was cancelled."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        self._key = self._worker.get_current_task()
        self._machine, self._process = machine_name(), os.getpid()
        self._told_s = 0.0

    def report_read(self, number: int, seconds: float) -> None:
        """Report progress, not too often. Raises Unwanted when the task was cancelled."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state in ("cancelled", "resumed"):
            raise Unwanted
        if seconds == 0 or time.monotonic() - self._told_s > _TELL_S:
            self._told_s = time.monotonic()
            self.tell(number, seconds)

    def tell(self, number: int, said: float | Outcome) -> None:
        report = WorkerReport(number, self._machine, self._process, said)
        self._worker.log_event(self._topic, pickle.dumps(report))


def _outcomes(
    jobs: dict[int, Job], executor: Executor, settings: Settings, teller: _Teller
) -> Iterator[tuple[int, Outcome]]:
    """Run the executor; yields outcomes with the numbers of their jobs."""
    numbers = {str(job.source): number for number, job in jobs.items()}

    def begun() -> Iterator[Job]:
        for number, job in jobs.items():
            teller.report_read(number, 0.0)
            yield job

    def report_read(job: Job, seconds: float) -> None:
        teller.report_read(numbers[str(job.source)], seconds)

    for outcome in executor.run(begun(), settings, report_read):
        yield numbers[str(outcome.source)], outcome


def _executor(settings: Settings, digest: str | None, load: Load) -> Executor:
    """An executor with a loaded model, kept for all threads of a worker; with batches on a GPU."""
    from .batched_worker import BatchedWorker, uses_batches

    with _loading:
        if settings not in _executors:
            try:
                transcriber = load(settings)
            except Exception as error:
                raise LoadError(f"on {platform.node()}: {one_line(error)}") from None
            _check(transcriber, digest)
            _executors.clear()
            _executors[settings] = (
                BatchedWorker(transcriber, settings.batch)
                if uses_batches(transcriber, settings)
                else OneProcess(load=lambda _: transcriber)
            )
        return _executors[settings]


def _check(transcriber: Transcriber, digest: str | None) -> None:
    own = transcriber.checkpoint_name.rsplit(" ", 1)[-1]
    if digest is not None and own != digest:
        raise LoadError(
            f"on {platform.node()}: expected the weights {digest}, found {own}; "
            "install one version everywhere, or put the --checkpoint where all machines see it"
        )


# --- local workers ---


@contextmanager
def local_client(count: str) -> Iterator[Any]:
    """Yields a client of ``count`` new workers ("": one per core)."""
    with interrupts_held_back():  # workers inherit this: only this process handles Ctrl-C
        method = _begin_imports()
        cluster = _start(int(count or cores()), method)
    try:
        with cluster.get_client() as client:
            yield client
    finally:
        with interrupts_held_back():
            cluster.close()


def _begin_imports() -> str:
    """Start the fork server, which begins to import. Returns the method by which Dask starts workers."""
    if sys.platform != "linux":
        return "spawn"  # elsewhere, forking a process that has imported much may fail
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload(_IMPORTED)
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
    return "forkserver"


def _start(workers: int, method: str) -> Any:
    import dask.config
    import distributed

    how = {
        **_CALM,
        "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
        "distributed.worker.multiprocessing-method": method,
    }
    with dask.config.set(how), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*[Pp]ort .* is already in use")
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=None, silence_logs=logging.CRITICAL
        )
