"""Many recordings on many machines, by Dask: groups of them as tasks, a model a worker.

The driver keeps a few groups for each of the workers' threads and no more, so its memory does not depend
on how many recordings there are. A worker tells of each recording as it is done. When one dies, Dask gives
its group to another; what had been told of is not told twice.
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

_GROUP_S = 3.0  #: of work that a group should be: a long one leaves the others idle at the end
_LARGEST_GROUP = 256
_GROUPS_A_THREAD = 2
_CENSUS_S = 5.0  #: workers come and go
_PATIENCE_S = 30.0  #: for a scheduler to answer


@dataclass
class _Group:
    """A task that the scheduler has, and what is not known to be done of it."""

    future: Any
    left: dict[int, Job]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.left)


@dataclass(frozen=True)
class Cluster:
    """The workers of a Dask scheduler.

    Its ``run`` raises MissingExtra without Dask, and LoadError also when there is no scheduler. Closing the
    iterator has the workers leave what they have not finished.
    """

    address: str  #: ``local``, ``local:N``, a scheduler's, or its file
    digest: str | None = None  #: of the weights that all workers must have
    say: Callable[[str], object] = lambda line: None  #: is told where the dashboard is
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
        self._begun: dict[int, tuple[str, int]] = {}  # machine and process that have a job
        self._seconds = _GROUP_S  # that a recording takes: the first groups are of one
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
        """Also after Ctrl-C: workers look between two pieces of sound whether they are still wanted."""
        with suppress(Exception):  # a scheduler that is gone
            self._client.cancel([group.future for group in self._groups], force=True)
            self._client.unsubscribe_topic(self._topic)

    def tidy(self) -> None:
        """After workers of this machine were ended; those of others clean up behind themselves."""
        for group in self._groups:
            for number, job in group.left.items():
                machine, process = self._begun.get(number, ("", 0))
                if machine == machine_name():
                    remove_parts_of(process, job, machine)

    def _capacity(self) -> int:
        """Groups that the scheduler may have."""
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
        """A worker's report of a recording that is under way."""
        group = next((group for group in self._groups if report.number in group.left), None)
        if group is None:
            return  # it was told before
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
        """The end of a group; a recording that alone brought down several workers is given up."""
        from distributed import KilledWorker

        self._groups.remove(group)
        try:
            outcomes, seconds = group.future.result()
        except KilledWorker:
            for number, job in group.left.items():
                if group.size > 1:
                    self._submit({number: job})
                else:
                    yield died(job, "on several machines")
            return
        except LoadError:
            raise
        except Exception as error:  # no hppnet on the worker, a scheduler that is gone
            raise LoadError(f"the cluster cannot do it: {one_line(error)}") from error
        self._seconds = 0.5 * self._seconds + 0.5 * seconds / group.size
        for number, outcome in outcomes:
            if number in group.left:  # what was told did not come through
                yield self._done(group, number, outcome)
