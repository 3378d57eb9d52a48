"""Windows of many recordings in batches: one network, and processes that read, decode and write for it.

        processes                                 here
        read, resample, cut  --- samples --->  batch -> network
        decode, write        <- probabilities -/

Each recording has at most one window in progress, so memory stays bounded. More recordings are in progress
than fit into a batch, so the next batch is ready when the network has finished one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from ...model.engines import Predicted
from ...model.frames import Row
from ...model.transcriber import Transcriber
from ...processes import Worker, cores, end, interrupts_held_back, start
from ..errors import LoadError
from ..jobs import Job, Outcome
from ..recording_task import WindowSound, one_line
from ..settings import Settings, load_transcriber
from .batched_worker import Batcher
from .executor import JobSupply, Load, Outcomes, ReportRead, died, loaded, remove_parts_of
from .window_task import ModelFacts, work
from .worker_processes import PATIENCE_S

_MOST_PROCESSES = 16
_MOST_SLOTS = 16  #: most recordings in progress per process
_IDLE_S = 0.2  #: wait for a batch to fill up before it is computed incomplete
_POLL_S = 0.002


def default_helpers() -> int:
    """Default number of helper processes; leaves one core to the network."""
    return max(1, min(cores() - 1, _MOST_PROCESSES))


@dataclass(frozen=True)
class Pipeline:
    """Runs one network in this process, and everything else in helper processes.

    ``run`` also raises LoadError if the device fails.
    """

    helpers: int | None = None  #: helper processes; None: by the number of cores
    load: Load = load_transcriber

    def run(self, jobs: Iterable[Job], settings: Settings, report_read: ReportRead) -> Outcomes:
        transcriber = loaded(settings, self.load)
        running = None
        try:
            batcher = Batcher(transcriber, settings.batch)
            running = _Running(transcriber, settings, self.helpers or default_helpers(), batcher, report_read)
            yield from running.outcomes(JobSupply(jobs))
        except RuntimeError as error:  # a lost device fails for every file: the rest is left for later
            raise LoadError(one_line(error)) from error
        finally:
            with interrupts_held_back():
                if running is not None:
                    running.stop()


@dataclass(eq=False)
class _Helper:
    """A helper process and its recordings."""

    worker: Worker[None]
    jobs: dict[int, Job] = field(default_factory=dict)
    alone: bool = False  #: has one recording only, over which another process died


@dataclass
class _Window:
    """A window that waits for the network."""

    helper: _Helper
    number: int
    row: Row


@dataclass
class _UnderWay:
    """A batch that the device is computing."""

    windows: list[_Window]
    predicted: Predicted


class _Running:
    """The state of a running pipeline."""

    def __init__(
        self,
        transcriber: Transcriber,
        settings: Settings,
        helpers: int,
        batcher: Batcher,
        report_read: ReportRead,
    ) -> None:
        self._settings, self._batcher, self._report_read = settings, batcher, report_read
        self._model = ModelFacts.of(transcriber)
        self._most_helpers = helpers
        self._slots = max(2, min(_MOST_SLOTS, -(-2 * batcher.size // helpers)))
        self._helpers: list[_Helper] = []
        self._pasts: dict[int, Any] = {}
        self._waiting: deque[_Window] = deque()
        self._under_way: _UnderWay | None = None
        self._given = 0

    def outcomes(self, supply: JobSupply) -> Iterator[Outcome]:
        while True:
            self._hand_out(supply)
            if not any(helper.jobs for helper in self._helpers):
                return
            received = False
            for helper in self._ready():
                received = True
                yield from self._receive(helper, supply)
            following = None
            if self._full or (self._waiting and self._under_way is None and not received):
                following = self._launch()
            if self._under_way is not None and (following is not None or self._under_way.predicted.ready):
                self._answer(self._under_way)  # while the device computes the next batch
                self._under_way = None
            self._under_way = following or self._under_way

    def stop(self) -> None:
        end([helper.worker for helper in self._helpers], PATIENCE_S)
        for helper in self._helpers:
            for job in helper.jobs.values():
                remove_parts_of(helper.worker.process.pid, job)

    # --- jobs to the processes ---

    def _hand_out(self, supply: JobSupply) -> None:
        """Give jobs to the least loaded helpers, up to their limit; start helpers while there are jobs."""
        while supply.has_next and (helper := self._free_helper(supply.has_returned)) is not None:
            helper.alone = supply.has_returned
            job = supply.next()
            self._given += 1
            helper.jobs[self._given] = job
            helper.worker.give(None, (self._given, job))

    def _free_helper(self, again: bool) -> _Helper | None:
        """The helper for the next job. ``again``: a process died over it, so its helper has no other."""
        room = [
            helper
            for helper in self._helpers
            if not helper.jobs or (not again and not helper.alone and len(helper.jobs) < self._slots)
        ]
        fewest = min(room, key=lambda helper: len(helper.jobs), default=None)
        if (fewest is None or fewest.jobs) and len(self._helpers) < self._most_helpers:
            fewest = _Helper(start(work, self._settings, self._model))
            self._helpers.append(fewest)
        return fewest

    @property
    def _full(self) -> bool:
        """Whether a batch is complete, or as large as it can become."""
        in_network = len(self._under_way.windows) if self._under_way else 0
        under_way = sum(len(helper.jobs) for helper in self._helpers)
        enough = min(self._batcher.size, under_way - in_network)
        return bool(self._waiting) and len(self._waiting) >= enough

    # --- messages from the processes ---

    def _ready(self) -> list[_Helper]:
        """The helpers that have sent a message; waits for one if nothing else is to be done."""
        patience_s = _IDLE_S
        if self._full:
            patience_s = 0
        elif self._under_way is not None:
            patience_s = 0 if self._under_way.predicted.ready else _POLL_S
        said = set(wait([helper.worker.pipe for helper in self._helpers], patience_s))
        return [helper for helper in self._helpers if helper.worker.pipe in said]

    def _receive(self, helper: _Helper, supply: JobSupply) -> Iterator[Outcome]:
        """Handle a message of a helper. If its pipe has ended, it has died."""
        try:
            number, said = helper.worker.pipe.recv()
        except (EOFError, OSError):
            self._helpers.remove(helper)
            yield from self._bury(helper, supply)
            return
        if isinstance(said, WindowSound):
            self._waiting.append(_Window(helper, number, self._row(number, said)))
        elif isinstance(said, Outcome):
            del helper.jobs[number]
            self._pasts.pop(number, None)
            yield said
        else:
            self._report_read(helper.jobs[number], said)

    def _row(self, number: int, sound: WindowSound) -> Row:
        past = self._pasts.get(number)
        return Row(past or self._batcher.windows.start(), sound.samples, sound.last)

    def _bury(self, helper: _Helper, supply: JobSupply) -> Iterator[Outcome]:
        how = helper.worker.bury(PATIENCE_S)
        self._waiting = deque(window for window in self._waiting if window.helper is not helper)
        for number, job in helper.jobs.items():
            self._pasts.pop(number, None)
            remove_parts_of(helper.worker.process.pid, job)
            if not supply.give_back(job):
                yield died(job, "two processes", how)

    # --- the network ---

    def _launch(self) -> _UnderWay | None:
        taken = [self._waiting.popleft() for _ in range(min(self._batcher.size, len(self._waiting)))]
        try:
            count, predicted = self._batcher.predict([window.row for window in taken])
        except MemoryError as error:
            taken[0].helper.worker.give(None, (taken[0].number, error))
            self._waiting.extendleft(reversed(taken[1:]))
            return None
        self._waiting.extendleft(reversed(taken[count:]))
        return _UnderWay(taken[:count], predicted)

    def _answer(self, batch: _UnderWay) -> None:
        for window, past, probabilities in zip(
            batch.windows, batch.predicted.pasts, batch.predicted.wait(), strict=True
        ):
            if window.number in window.helper.jobs and window.helper in self._helpers:
                self._pasts[window.number] = past
                window.helper.worker.give(None, (window.number, probabilities))
