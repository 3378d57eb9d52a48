"""Transcribes recordings on many machines with Dask: a task is a group of recordings, a worker has a model.

The driver submits only a few groups per worker thread, so its memory does not depend on the number of
recordings. A worker reports each recording when it is done. If a worker dies, Dask gives its group to
another; recordings reported before are not reported again.
"""

from __future__ import annotations

import pickle
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from ...model.files import machine_name
from ..errors import LoadError, MissingExtra
from ..jobs import Job, Outcome
from ..recording_task import one_line
from ..settings import Settings, load_transcriber
from .cluster_workers import WorkerReport, local_client, transcribe_group
from .executor import Load, Outcomes, ReportRead, died, remove_parts_of

_GROUP_S = 3.0  #: computing time that a group should take: long groups leave workers idle at the end
_LARGEST_GROUP = 256
_GROUPS_A_THREAD = 2
_CENSUS_S = 5.0  #: interval between counts of workers: they come and go
_PATIENCE_S = 30.0  #: time limit for a scheduler's answer


@dataclass
class _Group:
    """A task submitted to the scheduler, and its recordings that are not known to be done."""

    future: Any
    left: dict[int, Job]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.left)


@dataclass(frozen=True)
class Cluster:
    """Transcribes recordings on the workers of a Dask scheduler.

    ``run`` raises MissingExtra without Dask, and LoadError also without a scheduler. When the iterator is
    closed, the workers abandon unfinished recordings.
    """

    address: str  #: ``local``, ``local:N``, a scheduler's address, or its scheduler file
    digest: str | None = None  #: digest of the weights that all workers must have
    say: Callable[[str], object] = lambda line: None  #: receives the dashboard's address
    load: Load = load_transcriber

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        driver = None
        try:
            with _connected(self.address) as client:
                self.say(f"cluster: {client.scheduler.address}, dashboard: {client.dashboard_link}")
                driver = _Driver(client, settings, report_read, self.digest, self.load)
                try:
                    yield from driver.run(jobs)
                finally:
                    driver.stop()
        finally:
            if driver is not None:
                driver.tidy()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    if find_spec("distributed") is None:
        raise MissingExtra("--cluster needs Dask: pip install 'hppnet[cluster]'")
    kind, _, count = address.partition(":")
    with local_client(count) if kind == "local" else _client_of(address) as client:
        yield client


def _client_of(address: str) -> Any:
    import distributed

    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return distributed.Client(**where, timeout=_PATIENCE_S)
    except (OSError, ValueError, TypeError) as error:
        raise LoadError(
            f"--cluster {address}: expected a Dask scheduler (tcp://HOST:8786, its file, or local:N): "
            f"{one_line(error)}"
        ) from None


class _Driver:
    def __init__(
        self, client: Any, settings: Settings, report_read: ReportRead, digest: str | None, load: Load
    ) -> None:
        self._client, self._settings, self._report_read = client, settings, report_read
        self._digest, self._load = digest, load
        self._topic = f"hppnet-{uuid.uuid4().hex}"
        self._received: queue.SimpleQueue[WorkerReport | _Group] = queue.SimpleQueue()
        self._groups: list[_Group] = []
        self._begun: dict[int, tuple[str, int]] = {}  # machine and process working on each job
        self._seconds = _GROUP_S  # computing time per recording; the first groups have one recording each
        self._given = 0
        self._room, self._counted = 1, 0.0
        client.subscribe_topic(self._topic, lambda event: self._received.put(pickle.loads(event[1])))

    def run(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        waiting = iter(jobs)
        while True:
            while len(self._groups) < self._capacity() and (group := self._next_group(waiting)):
                self._submit(group)
            if not self._groups:
                return
            with suppress(queue.Empty):
                received = self._received.get(timeout=_CENSUS_S)
                yield from (
                    self._receive(received) if isinstance(received, WorkerReport) else self._take(received)
                )

    def stop(self) -> None:
        """Cancel all groups, also after Ctrl-C. Workers check for cancellation after each block of sound."""
        with suppress(Exception):  # the scheduler may be gone
            self._client.cancel([group.future for group in self._groups], force=True)
            self._client.unsubscribe_topic(self._topic)

    def tidy(self) -> None:
        """Remove unfinished files after the local workers have ended. Workers elsewhere do so themselves."""
        for group in self._groups:
            for number, job in group.left.items():
                machine, process = self._begun.get(number, ("", 0))
                if machine == machine_name():
                    remove_parts_of(process, job, machine)

    def _capacity(self) -> int:
        """How many groups may be submitted at once."""
        if time.monotonic() - self._counted > _CENSUS_S:
            self._room = max(1, sum(self._client.nthreads().values()))
            self._counted = time.monotonic()
        return _GROUPS_A_THREAD * self._room

    def _next_group(self, waiting: Iterator[Job]) -> dict[int, Job]:
        count = max(1, min(_LARGEST_GROUP, int(_GROUP_S / max(1e-6, self._seconds))))
        first = self._given + 1
        group = dict(enumerate(islice(waiting, count), first))
        self._given += len(group)
        return group

    def _submit(self, jobs: dict[int, Job]) -> None:
        future = self._client.submit(
            transcribe_group,
            jobs,
            self._settings,
            self._digest,
            self._topic,
            self._load,
            key=f"{self._topic}-{uuid.uuid4().hex}",
            pure=False,
        )
        group = _Group(future, dict(jobs))
        self._groups.append(group)
        future.add_done_callback(lambda _: self._received.put(group))

    def _receive(self, report: WorkerReport) -> Iterator[Outcome]:
        """Handle a worker's report about a recording in progress."""
        group = next((group for group in self._groups if report.number in group.left), None)
        if group is None:
            return  # already reported
        job = group.left[report.number]
        before = self._begun.get(report.number)
        if before is not None and before != (report.machine, report.process):
            remove_parts_of(before[1], job, before[0])
        self._begun[report.number] = (report.machine, report.process)
        if isinstance(report.said, Outcome):
            yield self._done(group, report.number, report.said)
        else:
            self._report_read(job, report.said)

    def _done(self, group: _Group, number: int, outcome: Outcome) -> Outcome:
        del group.left[number]
        self._begun.pop(number, None)
        return outcome

    def _take(self, group: _Group) -> Iterator[Outcome]:
        """Handle the end of a group. A recording that on its own killed several workers is given up."""
        from distributed import KilledWorker

        self._groups.remove(group)
        try:
            outcomes, seconds = group.future.result()
        except KilledWorker:
            for number, job in group.left.items():
                if group.size > 1:
                    self._submit({number: job})
                else:
                    yield died(job, "several workers of the cluster")
            return
        except LoadError:
            raise
        except Exception as error:  # as without hppnet on the worker, or without a scheduler
            raise LoadError(
                f"the cluster failed: {one_line(error)}; check the scheduler, and hppnet on its workers"
            ) from error
        self._seconds = 0.5 * self._seconds + 0.5 * seconds / group.size
        for number, outcome in outcomes:
            if number in group.left:  # its report was lost
                yield self._done(group, number, outcome)
