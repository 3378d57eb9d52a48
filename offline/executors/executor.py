"""The interface of executors, the code they share, and the simplest one: one recording after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ...model.files import machine_name, remove_parts
from ..errors import LoadError
from ..jobs import Job, Outcome
from ..places import Url, remove_dead_copies
from ..recording_task import one_line, transcribe_recording
from ..settings import Settings, load_transcriber
from ..writing import TellLines

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber

#: Called with a job and the seconds of it that have been read.
ReportRead = Callable[[Job, float], None]
Load = Callable[[Settings], "Transcriber"]
Outcomes = Generator[Outcome, None, None]
TRIES = 2  #: attempts for a recording whose process dies


class Executor(Protocol):
    """Transcribes recordings. If one fails, its outcome has an error, and the others go on."""

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        """Yields one outcome per job, in order of completion.

        Raises LoadError, one line, if the model cannot be loaded. Closing the iterator, or Ctrl-C, ends all
        workers and removes unfinished files.
        """


@dataclass(frozen=True)
class OneProcess:
    """Transcribes one recording after the other, in order, in this process."""

    tell: TellLines | None = None  #: receives JSONL lines as they are known, instead of JSONL files
    load: Load = load_transcriber

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        transcriber = None
        for job in jobs:
            transcriber = transcriber or loaded(settings, self.load)
            yield transcribe_recording(job, transcriber, settings, partial(report_read, job), self.tell)


def loaded(settings: Settings, load: Load) -> Transcriber:
    """Load the transcriber. Raises LoadError for any exception."""
    try:
        return load(settings)
    except Exception as error:  # CheckpointError, ValueError or what a device's driver raises
        raise LoadError(one_line(error)) from error


class JobSupply:
    """Supplies jobs one by one, including those put back because their process died."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = iter(jobs)
        self._following: Job | None = None
        self._again: deque[Job] = deque()
        self._tried: dict[str, int] = {}

    @property
    def has_next(self) -> bool:
        if self._following is None:
            self._following = next(self._jobs, None)
        return bool(self._again) or self._following is not None

    def next(self) -> Job:
        """The next job, those put back first. Requires ``has_next``."""
        if self._again:
            return self._again.popleft()
        assert self.has_next and self._following is not None, "there are no more jobs"
        job, self._following = self._following, None
        return job

    def give_back(self, job: Job) -> bool:
        """Put back a job whose process died. Returns whether it will be tried again."""
        self._tried[str(job.source)] = tries = self._tried.get(str(job.source), 1) + 1
        if tries <= TRIES:
            self._again.append(job)
        return tries <= TRIES

    @property
    def has_returned(self) -> bool:
        return bool(self._again)


def died(job: Job, who: str, last: str = "") -> Outcome:
    """The outcome of a recording over which processes (``who``) died. ``last``: how the last one did."""
    how = f", the last one {last}" if last else ""
    said = f"{job.source}: {who} ended while transcribing it{how}; try it by itself"
    return Outcome(job.source, said, outputs=list(job.outputs.values()))


def remove_parts_of(process: int | None, job: Job, machine: str = "") -> None:
    """Remove the unfinished files of a job, and the temporary copies, that an ended process left behind."""
    remove_dead_copies()
    for folder in {place.parent for place in job.outputs.values()}:
        if process is not None and not isinstance(folder, Url):
            remove_parts(folder, process, machine or machine_name())
