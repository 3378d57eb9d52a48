"""One thread computes for all connections: what waits in live ones at the same moment is one batch.

Connections (``Seat.add``, ``leave``) belong to the event loop's thread and never wait; the thread here
calls ``Seat.tell`` with what came of it. Files are computed where live streams leave time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from weakref import WeakMethod

import numpy as np

from ...model.notes import Event
from ...model.shared_stream import SharedStream, shared_stream, step_together
from ...model.transcriber import Transcriber
from ..blocks import Block, joined
from ..engine import Engine
from ..listener import KEPT_S, MOST_BACKLOG_S
from ..source import LiveModel, LiveStream
from .protocol import FULL, Hello, Refusal

LATE_S = 0.04  #: a block that took longer from its arrival to its notes was late
STEP_S = 0.2  #: of sound of a connection at a time: the others never wait for more
FILE_TURN_S = 0.5  #: a file gets its step after so long even if live streams leave no time
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Heard:
    """What a turn of the thread made of a connection's sound."""

    events: Sequence[Event]
    time_s: float  #: stream time of the end of the sound computed
    backlog_s: float  #: sound that waited with it
    dropped_blocks: int
    late_blocks: int
    ended: bool = False  #: nothing more will come


Tell = Callable[["Heard | Exception"], None]


class SharedModel:
    """A LiveModel whose streams wait to be computed together."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber

    @property
    def has_pedal(self) -> bool:
        return self._transcriber.has_pedal

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> LiveStream:
        # Weakly: an engine and its stream that hold each other would stay until Python looks for cycles.
        watching = WeakMethod(watch)

        def tell(probabilities: np.ndarray) -> None:
            watch = watching()
            if watch is not None:
                watch(probabilities)

        return shared_stream(self._transcriber, latency_ms, sample_rate, tell)

    def with_tuning(self, cents: float) -> LiveModel:
        return SharedModel(self._transcriber.with_tuning(cents))


class SharedEngine(Engine):
    """An Engine on a SharedStream: ``feed`` gives the ends of notes at a gap, ``collect`` all the rest."""

    @property
    def shared(self) -> SharedStream:
        return cast(SharedStream, self._stream)

    def collect(self) -> list[Event]:
        """After ``step_together``. Raises EngineFault."""
        self._tell(self.shared.collect())
        return self._take()


class Seat:
    """One connection's place: its engine and the sound that waits."""

    def __init__(self, model: LiveModel, hello: Hello, tell: Tell) -> None:
        self.hello, self.tell = hello, tell
        self.engine = SharedEngine(model, hello.sample_rate, hello.latency_ms, pedal=hello.pedal)
        self.gives_pedal = hello.pedal and model.has_pedal
        self.next_s = hello.start_s  #: stream time of the sample that comes next
        self.computed_s = hello.start_s
        self.dropped_blocks = self.late_blocks = 0
        self.blocks: deque[Block] = deque()  # under the hub's lock
        self.ending = False

    @property
    def live(self) -> bool:
        return self.hello.mode == "live"

    @property
    def waiting_s(self) -> float:
        return self.next_s - self.blocks[0].time_s if self.blocks else 0.0


class Hub:
    """The seats and the thread. ``close`` it; or use it with ``with``."""

    def __init__(self, transcriber: Transcriber, seats: int = 8) -> None:
        self.transcriber = transcriber
        self._model, self._most = SharedModel(transcriber), seats
        self._seats: list[Seat] = []
        self._change = threading.Condition()
        self._closing = False
        self._file_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="hppnet-hub", daemon=True)
        self._thread.start()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def __len__(self) -> int:
        with self._change:
            return len(self._seats)

    def close(self) -> None:
        """May be called twice."""
        with self._change:
            self._closing = True
            self._change.notify()
        self._thread.join(10.0)

    def take_seat(self, hello: Hello, tell: Tell) -> Seat:
        """Raises Refusal when all are taken."""
        with self._change:  # the thread takes a file's seat out for a moment
            full = len(self._seats) >= self._most
        if full:
            raise Refusal(FULL, f"all {self._most} streams are in use: try again later")
        seat = Seat(self._model, hello, tell)  # only the event loop adds: nobody takes the place meanwhile
        with self._change:
            self._seats.append(seat)
        return seat

    def waiting_s(self, seat: Seat) -> float:
        """Sound of a connection that is not computed yet."""
        with self._change:
            return seat.waiting_s

    def leave(self, seat: Seat) -> None:
        """Whatever still waits is forgotten. May be called twice."""
        with self._change:
            seat.blocks.clear()
            if seat in self._seats:
                self._seats.remove(seat)

    def add(self, seat: Seat, samples: np.ndarray) -> None:
        """Samples [n] that follow those that came before."""
        rate, now_s = seat.hello.sample_rate, time.perf_counter()
        step = max(1, int(STEP_S * rate))  # never longer than STEP_S, or it would never have its turn
        with self._change:
            for first in range(0, len(samples), step):
                block = Block(samples[first : first + step], seat.next_s, 0, rate, now_s)
                seat.next_s = block.end_s
                seat.blocks.append(block)
            self._change.notify()

    def skip(self, seat: Seat, samples: int) -> None:
        """So many were not sent."""
        with self._change:
            seat.next_s += samples / seat.hello.sample_rate

    def end(self, seat: Seat) -> None:
        """Nothing more comes: when all is computed, ``tell`` hears ``ended``."""
        with self._change:
            seat.ending = True
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._closing and not self._ripe():
                    self._change.wait()
                if self._closing:
                    return
                work = self._work()
            self._compute(work)

    def _ripe(self) -> bool:
        return any(seat.blocks or seat.ending for seat in self._seats)

    def _work(self) -> list[tuple[Seat, list[Block], bool]]:
        """(seat, its sound, whether that is its last) of all that are to be computed now."""
        ripe = [seat for seat in self._seats if seat.blocks or seat.ending]
        work = [(seat, _next_of(seat)) for seat in ripe if seat.live]
        now_s = time.perf_counter()
        files = [seat for seat in ripe if not seat.live]
        if files and (not work or now_s >= self._file_due_s):
            self._file_due_s = now_s + FILE_TURN_S
            work.append((files[0], _next_of(files[0])))
            self._seats.remove(files[0])  # the next file's turn comes next
            self._seats.append(files[0])
        out = []
        for seat, blocks in work:
            last = seat.ending and not seat.blocks
            seat.ending = seat.ending and not last
            out.append((seat, blocks, last))
        return out

    def _compute(self, work: list[tuple[Seat, list[Block], bool]]) -> None:
        events: dict[Seat, list[Event]] = {}
        for seat, blocks, _ in work:
            try:
                events[seat] = [event for block in joined(blocks) for event in seat.engine.feed(block)]
            except Exception as error:
                self._fail(seat, error)
        try:
            step_together([seat.engine.shared for seat in events])
        except Exception as error:  # the device failed: of memory, say
            for seat in events:
                self._fail(seat, error)
            return
        now_s = time.perf_counter()
        for seat, blocks, last in work:
            if seat in events:
                try:
                    self._deliver(seat, blocks, last, events[seat], now_s)
                except Exception as error:
                    self._fail(seat, error)

    def _deliver(
        self, seat: Seat, blocks: list[Block], last: bool, events: list[Event], now_s: float
    ) -> None:
        events = events + seat.engine.collect()
        backlog_s = blocks[-1].end_s - blocks[0].time_s if blocks else 0.0
        if blocks:
            seat.computed_s = blocks[-1].end_s
        if seat.live:
            seat.late_blocks += sum(now_s - block.arrived_s > LATE_S for block in blocks)
        if last:
            events += seat.engine.flush()
        seat.tell(Heard(events, seat.computed_s, backlog_s, seat.dropped_blocks, seat.late_blocks, last))

    def _fail(self, seat: Seat, error: Exception) -> None:
        log.debug("a stream failed", exc_info=error)
        self.leave(seat)
        seat.tell(error)


def _next_of(seat: Seat) -> list[Block]:
    """A step of what waits. Live, when too much has piled up, only its end is worth hearing."""
    if seat.live and seat.waiting_s > MOST_BACKLOG_S:
        while seat.waiting_s > KEPT_S and len(seat.blocks) > 1:
            seat.blocks.popleft()
            seat.dropped_blocks += 1
    blocks: list[Block] = []
    taken_s = 0.0
    while seat.blocks and (not blocks or taken_s + seat.blocks[0].duration_s <= STEP_S + 1e-9):
        blocks.append(seat.blocks.popleft())
        taken_s += blocks[-1].duration_s
    return blocks
