"""Computes for all connections: a thread for each core, or one for a GPU.

On a CPU each thread takes the live connection that has waited longest; on a GPU all waiting connections form
one batch. Connections call ``add`` and ``leave`` in the event loop's thread and never wait; the hub's threads
call ``Slot.report`` with the result. Files are computed when live streams leave time.
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

from ...model.engines import device_of
from ...model.notes import Event
from ...model.shared_stream import SharedStream, shared_stream, step_together
from ...model.timebase import FRAME_S
from ...model.transcriber import Transcriber
from ...processes import cores
from ..inputs import Block, joined
from ..listener import KEPT_S, MOST_BACKLOG_S
from ..live_decoder import LiveDecoder, LiveModel, LiveStream
from .protocol import FULL, Hello, StreamRefused

LATE_S = 0.04  #: a block that took longer from its arrival to its notes was late
REPORT_S = 0.2  #: stream time between two progress messages of a connection
STEP_S = 0.2  #: most sound of a connection computed at once; others never wait longer
FILE_TURN_S = 0.5  #: a file gets a step this often even if live streams leave no time
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StreamProgress:
    """What one turn of a thread computed for a connection."""

    events: Sequence[Event]
    time_s: float  #: stream time of the end of the sound computed
    backlog_s: float  #: length of the sound that waited
    dropped_blocks: int
    late_blocks: int
    due: bool  #: whether to send the client a progress message
    ended: bool  #: whether this is the last progress


OnProgress = Callable[["StreamProgress | Exception"], None]


class SharedModel:
    """A LiveModel whose streams wait to be computed as one batch."""

    def __init__(self, transcriber: Transcriber) -> None:
        self._transcriber = transcriber

    @property
    def has_pedal(self) -> bool:
        return self._transcriber.has_pedal

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> LiveStream:
        # A weak reference, since a cycle of decoder and stream would stay until garbage collection.
        watching = WeakMethod(watch)

        def forward(probabilities: np.ndarray) -> None:
            watch = watching()
            if watch is not None:
                watch(probabilities)

        return shared_stream(self._transcriber, latency_ms, sample_rate, forward)

    def with_tuning(self, cents: float) -> LiveModel:
        return SharedModel(self._transcriber.with_tuning(cents))


class SharedDecoder(LiveDecoder):
    """A LiveDecoder on a SharedStream: ``feed`` returns note offs at a gap, ``collect`` all other events."""

    @property
    def shared(self) -> SharedStream:
        return cast(SharedStream, self._stream)

    def collect(self) -> list[Event]:
        """Returns the events of ``step_together``. Raises DecoderFault."""
        self._add(self.shared.collect())
        return self._take()


class Slot:
    """The place of one connection: its decoder and its waiting sound."""

    def __init__(self, model: LiveModel, hello: Hello, report: OnProgress) -> None:
        self.hello, self.report = hello, report
        self.decoder = SharedDecoder(model, hello.sample_rate, hello.latency_ms, pedal=hello.pedal)
        self.gives_pedal = hello.pedal and model.has_pedal
        self.next_s = hello.start_s  #: stream time of the next sample
        self.computed_s = hello.start_s
        self.reported_s = float("-inf")
        self.dropped_blocks = self.late_blocks = 0
        self.blocks: deque[Block] = deque()  # guarded by the hub's lock
        self._waiting = 0  # samples in ``blocks``
        self.ending = self.busy = False  # guarded too; busy: a thread computes for it

    @property
    def live(self) -> bool:
        return self.hello.mode == "live"

    @property
    def ready(self) -> bool:
        """Whether a thread may compute for it now: enough sound for a frame waits, or the end."""
        if self.busy or not self.blocks:
            return self.ending and not self.busy
        return self.ending or self.waiting_s > min(self.decoder.shared.missing_s, FRAME_S) - 1e-4

    @property
    def waiting_s(self) -> float:
        """Length of the waiting sound, without gaps. Callable from any thread."""
        return self._waiting / self.hello.sample_rate

    def put(self, samples: np.ndarray, arrived_s: float) -> None:
        block = Block(samples, self.next_s, 0, self.hello.sample_rate, arrived_s)
        self.next_s = block.end_s
        self._waiting += len(samples)
        self.blocks.append(block)

    def take(self) -> Block:
        block = self.blocks.popleft()
        self._waiting -= len(block.samples)
        return block


class Hub:
    """The slots and the threads. Call ``close``, or use it with ``with``."""

    def __init__(
        self, transcriber: Transcriber, slots: int = 8, most_backlog_s: float = MOST_BACKLOG_S
    ) -> None:
        self.transcriber = transcriber
        self._model, self._most, self._most_backlog_s = SharedModel(transcriber), slots, most_backlog_s
        self._slots: list[Slot] = []
        self._change = threading.Condition()
        self._closing = False
        self._file_due_s = 0.0
        on_cpu = device_of(transcriber.network) == "cpu"
        self._at_once = 1 if on_cpu else slots  # live connections computed in one turn
        self._threads = [
            threading.Thread(target=self._run, name=f"hppnet-hub-{number}", daemon=True)
            for number in range(min(slots, cores()) if on_cpu else 1)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads. May be called twice."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join(10.0)

    def take_slot(self, hello: Hello, report: OnProgress) -> Slot:
        """Returns a new slot. Raises StreamRefused if all are taken."""
        with self._change:  # a thread may just be moving a file's slot
            full = len(self._slots) >= self._most
        if full:
            raise StreamRefused(FULL, f"all {self._most} streams are in use: try again later")
        slot = Slot(self._model, hello, report)  # only the event loop adds slots: the place is still free
        with self._change:
            self._slots.append(slot)
        return slot

    def leave(self, slot: Slot) -> None:
        """Removes a slot and discards its waiting sound. May be called twice."""
        with self._change:
            while slot.blocks:
                slot.take()
            if slot in self._slots:
                self._slots.remove(slot)

    def add(self, slot: Slot, samples: np.ndarray) -> None:
        """Queues the next samples [n]."""
        now_s = time.perf_counter()
        step = int(STEP_S * slot.hello.sample_rate)  # rounded down: no block is longer than STEP_S
        with self._change:
            for first in range(0, len(samples), step):
                slot.put(samples[first : first + step], now_s)
            self._change.notify()

    def skip(self, slot: Slot, samples: int) -> None:
        """Advances stream time by ``samples`` that were not sent."""
        with self._change:
            slot.next_s += samples / slot.hello.sample_rate

    def end(self, slot: Slot) -> None:
        """Marks the end of the sound: when all is computed, ``report`` receives ``ended``."""
        with self._change:
            slot.ending = True
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while not (work := self._work()) and not self._closing:
                    self._change.wait()
                if self._closing:
                    return
            self._compute(work)
            with self._change:
                for slot, _, _ in work:
                    slot.busy = False

    def _work(self) -> list[tuple[Slot, list[Block], bool]]:
        """Returns what this thread computes now: (slot, its sound, whether that is its last)."""
        ready = [slot for slot in self._slots if slot.ready]
        now_s = time.perf_counter()
        live = [slot for slot in ready if slot.live]
        live.sort(key=lambda slot: slot.blocks[0].arrived_s if slot.blocks else now_s)
        work = [(slot, self._next_of(slot)) for slot in live[: self._at_once]]
        files = [slot for slot in ready if not slot.live]
        if files and (not work or now_s >= self._file_due_s):
            self._file_due_s = now_s + FILE_TURN_S
            work.append((files[0], self._next_of(files[0])))
            self._slots.remove(files[0])  # the next turn is another file's
            self._slots.append(files[0])
        out = []
        for slot, blocks in work:
            slot.busy, last = True, slot.ending and not slot.blocks
            slot.ending = slot.ending and not last
            out.append((slot, blocks, last))
        return out

    def _compute(self, work: list[tuple[Slot, list[Block], bool]]) -> None:
        events: dict[Slot, list[Event]] = {}
        for slot, blocks, _ in work:
            try:
                events[slot] = [event for block in joined(blocks) for event in slot.decoder.feed(block)]
            except Exception as error:
                self._fail(slot, error)
        try:
            step_together([slot.decoder.shared for slot in events])
        except Exception as error:  # the device failed, for example for lack of memory
            for slot in events:
                self._fail(slot, error)
            return
        now_s = time.perf_counter()
        for slot, blocks, last in work:
            if slot in events:
                try:
                    self._deliver(slot, blocks, last, events[slot], now_s)
                except Exception as error:
                    self._fail(slot, error)

    def _deliver(
        self, slot: Slot, blocks: list[Block], last: bool, events: list[Event], now_s: float
    ) -> None:
        events = events + slot.decoder.collect()
        backlog_s = sum(block.duration_s for block in blocks)
        if blocks:
            slot.computed_s = blocks[-1].end_s
        if slot.live:
            slot.late_blocks += sum(now_s - block.arrived_s > LATE_S for block in blocks)
        if last:
            events += slot.decoder.flush()
        due = last or slot.computed_s - slot.reported_s >= REPORT_S
        if due:
            slot.reported_s = slot.computed_s
        if due or events:  # waking the event loop for each block would take a tenth of its time
            counts = (slot.dropped_blocks, slot.late_blocks)
            slot.report(StreamProgress(events, slot.computed_s, backlog_s, *counts, due, last))

    def _fail(self, slot: Slot, error: Exception) -> None:
        log.error("a stream failed", exc_info=error)
        self.leave(slot)
        slot.report(error)

    def _next_of(self, slot: Slot) -> list[Block]:
        """Takes a step of waiting sound; first drops all but the end if too much waits for a live stream."""
        if slot.live and slot.waiting_s > self._most_backlog_s:
            while slot.waiting_s > KEPT_S and len(slot.blocks) > 1:
                slot.take()
                slot.dropped_blocks += 1
        blocks: list[Block] = []
        taken_s = 0.0
        while slot.blocks and (not blocks or taken_s + slot.blocks[0].duration_s <= STEP_S + 1e-9):
            blocks.append(slot.take())
            taken_s += blocks[-1].duration_s
        return blocks
