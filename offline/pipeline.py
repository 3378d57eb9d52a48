"""Many recordings, their windows in batches: one network, and processes that read, decode and write for it.

        hands (processes)                         here
        read, resample, cut  --- samples --->  batch -> network
        decode, write        <- probabilities -/

Each recording has one window under way at most; there are more recordings under way than fit in a batch,
so the network finds a batch waiting when it has done one, and memory stays bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from ..model.engines import Predicted
from ..model.frames import Row
from ..model.transcriber import Transcriber
from ..processes import Worker, cores, end, interrupts_held_back, start
from .batch import Heard, Load, loaded
from .batching import Batcher
from .errors import LoadError
from .hands import Model, Sound, work
from .job import Outcome, load_transcriber, one_line
from .outputs import Job
from .settings import Settings
from .workers import PATIENCE_S, Supply, died, remove_parts_of

_MOST_HANDS = 16
_MOST_SLOTS = 16  #: recordings that one process holds
_IDLE_S = 0.2  #: a batch that does not fill up goes as it is
_GLANCE_S = 0.002


def sensible_hands() -> int:
    """A core is left to the network."""
    return max(1, min(cores() - 1, _MOST_HANDS))


def run(
    jobs: Iterable[Job],
    settings: Settings,
    hands: int | None,
    heard: Heard,
    load: Load = load_transcriber,
) -> Iterator[Outcome]:
    """One outcome a job, as they come; ``hands`` processes, None: by the cores.

    Raises LoadError when there is no model, or the device fails. Closing the iterator, or Ctrl-C, ends
    all processes and removes their unfinished files.
    """
    transcriber = loaded(settings, load)
    pipeline = None
    try:
        batcher = Batcher(transcriber, settings.batch)
        pipeline = _Pipeline(transcriber, settings, hands or sensible_hands(), batcher, heard)
        yield from pipeline.run(Supply(jobs))
    except RuntimeError as error:  # a device that is lost is lost for every file: they are left for later
        raise LoadError(one_line(error)) from error
    finally:
        with interrupts_held_back():
            if pipeline is not None:
                pipeline.stop()


@dataclass(eq=False)
class _Hand:
    """A process, and the recordings it has."""

    worker: Worker[None]
    jobs: dict[int, Job] = field(default_factory=dict)
    alone: bool = False  #: has a recording over which another process died, and no other


@dataclass
class _Window:
    """One that has come."""

    hand: _Hand
    number: int
    row: Row


@dataclass
class _UnderWay:
    """A batch that the device has been given."""

    windows: list[_Window]
    judged: Predicted


class _Pipeline:
    def __init__(
        self, transcriber: Transcriber, settings: Settings, hands: int, batcher: Batcher, heard: Heard
    ) -> None:
        self._settings, self._batcher, self._heard = settings, batcher, heard
        self._model = Model.of(transcriber)
        self._most_hands = hands
        self._slots = max(2, min(_MOST_SLOTS, -(-2 * batcher.size // hands)))
        self._hands: list[_Hand] = []
        self._pasts: dict[int, Any] = {}
        self._waiting: deque[_Window] = deque()
        self._under_way: _UnderWay | None = None
        self._given = 0

    def run(self, supply: Supply) -> Iterator[Outcome]:
        while True:
            self._hand_out(supply)
            if not any(hand.jobs for hand in self._hands):
                return
            came = False
            for hand in self._ready():
                came = True
                yield from self._receive(hand, supply)
            following = None
            if self._full or (self._waiting and self._under_way is None and not came):
                following = self._launch()
            if self._under_way is not None and (following is not None or self._under_way.judged.ready):
                self._answer(self._under_way)  # while the device does the next
                self._under_way = None
            self._under_way = following or self._under_way

    def stop(self) -> None:
        end([hand.worker for hand in self._hands], PATIENCE_S)
        for hand in self._hands:
            for job in hand.jobs.values():
                remove_parts_of(hand.worker.process.pid, job)

    # --- what is to be done ---

    def _hand_out(self, supply: Supply) -> None:
        """Jobs to the processes by turns, as many as each may hold; more processes while there are jobs."""
        while supply.more and (hand := self._free_hand(supply.has_returned)) is not None:
            hand.alone = supply.has_returned
            job = supply.next()
            self._given += 1
            hand.jobs[self._given] = job
            hand.worker.give(None, (self._given, job))

    def _free_hand(self, again: bool) -> _Hand | None:
        """A job over which a process died goes to one that has no other: it is not to take those with it."""
        room = [
            hand
            for hand in self._hands
            if not hand.jobs or (not again and not hand.alone and len(hand.jobs) < self._slots)
        ]
        fewest = min(room, key=lambda hand: len(hand.jobs), default=None)
        if (fewest is None or fewest.jobs) and len(self._hands) < self._most_hands:
            fewest = _Hand(start(work, self._settings, self._model))
            self._hands.append(fewest)
        return fewest

    @property
    def _full(self) -> bool:
        """Whether a batch is together, or all of one that can come."""
        judging = len(self._under_way.windows) if self._under_way else 0
        under_way = sum(len(hand.jobs) for hand in self._hands)
        enough = min(self._batcher.size, under_way - judging)
        return bool(self._waiting) and len(self._waiting) >= enough

    # --- words from the processes ---

    def _ready(self) -> list[_Hand]:
        """Those that have said something; waits only while there is nothing better to do."""
        patience_s = _IDLE_S
        if self._full:
            patience_s = 0
        elif self._under_way is not None:
            patience_s = 0 if self._under_way.judged.ready else _GLANCE_S
        said = set(wait([hand.worker.pipe for hand in self._hands], patience_s))
        return [hand for hand in self._hands if hand.worker.pipe in said]

    def _receive(self, hand: _Hand, supply: Supply) -> Iterator[Outcome]:
        """A word of a process; one without words has died."""
        try:
            number, said = hand.worker.pipe.recv()
        except (EOFError, OSError):
            self._hands.remove(hand)
            yield from self._bury(hand, supply)
            return
        if isinstance(said, Sound):
            self._waiting.append(_Window(hand, number, self._row(number, said)))
        elif isinstance(said, Outcome):
            del hand.jobs[number]
            self._pasts.pop(number, None)
            yield said
        else:
            self._heard(hand.jobs[number], said)

    def _row(self, number: int, sound: Sound) -> Row:
        past = self._pasts.get(number)
        return Row(past or self._batcher.windows.start(), sound.samples, sound.last)

    def _bury(self, hand: _Hand, supply: Supply) -> Iterator[Outcome]:
        how = hand.worker.bury(PATIENCE_S)
        self._waiting = deque(window for window in self._waiting if window.hand is not hand)
        for number, job in hand.jobs.items():
            self._pasts.pop(number, None)
            remove_parts_of(hand.worker.process.pid, job)
            if not supply.back(job):
                yield died(job, how)

    # --- the network ---

    def _launch(self) -> _UnderWay | None:
        taken = [self._waiting.popleft() for _ in range(min(self._batcher.size, len(self._waiting)))]
        try:
            count, judged = self._batcher.judge([window.row for window in taken])
        except MemoryError as error:
            taken[0].hand.worker.give(None, (taken[0].number, error))
            self._waiting.extendleft(reversed(taken[1:]))
            return None
        self._waiting.extendleft(reversed(taken[count:]))
        return _UnderWay(taken[:count], judged)

    def _answer(self, batch: _UnderWay) -> None:
        for window, past, probabilities in zip(
            batch.windows, batch.judged.pasts, batch.judged.wait(), strict=True
        ):
            if window.number in window.hand.jobs and window.hand in self._hands:
                self._pasts[window.number] = past
                window.hand.worker.give(None, (window.number, probabilities))
