"""The workers of a cluster: what each does with a group of recordings, and how this machine starts its own.

Workers of this machine live as long as a run. Before the first recording they wait for imports: of
PyTorch and of Dask. On Linux one process imports both while this one imports Dask and starts the
scheduler, and each worker is a fork of that process, also one in place of a worker that died.
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
_executors: dict[Settings, Executor] = {}  #: of this process; the last one alone
_TELL_S = 0.5  #: how often a recording's progress is told of
#: The workers' environment, from their first moment on: one thread each, and memory that is kept, as
#: ``keep_memory`` does. Tasks run in a thread, whose memory glibc would give back whenever it is empty: a
#: tenth of the time.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
}
#: Dask looks at itself a hundred times a second, which is a twentieth of each core; the dashboard is as
#: good with less.
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
    """What a worker says of one recording: the seconds that it has read, or the outcome."""

    number: int
    machine: str
    process: int
    said: float | Outcome


class Unwanted(BaseException):
    """The driver has stopped or is gone: what is not finished is left."""


def transcribe_group(
    jobs: dict[int, Job],
    settings: Settings,
    digest: str | None,
    topic: str,
    load: Load = load_transcriber,
) -> tuple[list[tuple[int, Outcome]], float]:
    """Outcomes by their numbers, and the seconds all took. Each is told of under ``topic`` as it comes.

    Raises LoadError where there is no model, or not the one that the driver has.
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
    """Tells the driver, and asks whether it still listens."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        self._key = self._worker.get_current_task()
        self._machine, self._process = machine_name(), os.getpid()
        self._told_s = 0.0

    def report_read(self, number: int, seconds: float) -> None:
        """Raises Unwanted when the task was cancelled."""
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
    """With the numbers of the jobs."""
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
    """One with a loaded model, kept for all threads of a worker: in batches where there is a GPU."""
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


# --- workers of this machine ---


@contextmanager
def local_client(count: str) -> Iterator[Any]:
    """A client of ``count`` new workers ("": one a core). Raises LoadError for what is no number."""
    if count and (not count.isdecimal() or int(count) < 1):
        raise LoadError(f"--cluster local:{count}: expected local:N with N workers, 1 or more")
    with interrupts_held_back():  # the workers inherit that: Ctrl-C is ours
        method = _begin_imports()
        cluster = _start(int(count or cores()), method)
    try:
        with cluster.get_client() as client:
            yield client
    finally:
        with interrupts_held_back():
            cluster.close()


def _begin_imports() -> str:
    """Returns how Dask is to start its workers."""
    if sys.platform != "linux":
        return "spawn"  # elsewhere a fork of a process that has imported much may fail
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
