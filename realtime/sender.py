"""Sends every event a fixed latency after its time, so that the rhythm stays as played.

``put`` may be called by any thread and never waits for the port. ``step`` sends, and may block as long as
the port does. It runs in the sender's own thread; no other thread uses the port.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..model.notes import Event, NoteOff, NoteOn, Pedal
from .midi_output import MidiOutput
from .midi_ports import PortFault
from .status import Recent, Roll
from .timeline import Backoff, SteadyClock, Timeline

LATE_S = 0.005  #: later than this an event counts as late
STALE_S = 2.0  #: a note later than this (the port blocked) is not sent
MOST_WAITING = 4096  #: events; a port that blocks must not fill the memory
IDLE_S = 0.25  #: longest sleep
CHECK_S = 1.0  #: interval between checks that the port is still there
CLOSE_WITHIN_S = 2.0


@dataclass(order=True)
class _Waiting:
    time_s: float
    number: int  # keeps the order of events of equal time
    event: Event = field(compare=False)


class Sender:
    """Sends events to a port when they are due.

    ``latency_s`` is the time from an onset (stream time) to its sending. A port that fails is reported,
    closed, and opened again as soon as possible.
    """

    def __init__(
        self,
        port: MidiOutput,
        timeline: Timeline,
        latency_s: float,
        clock: SteadyClock,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.latency_s = latency_s
        self.late = self.left_out = 0
        self.latency_ms = Recent()
        self.roll = Roll()
        self._port, self._timeline, self._clock = port, timeline, clock
        self._report = report or (lambda line: None)
        self._waiting: list[_Waiting] = []
        self._number = 0
        self._wake = threading.Condition()
        self._backoff = Backoff()
        self._retry_s: float | None = None
        self._check_s = clock.now() + CHECK_S
        self._stopping = False
        self._thread: threading.Thread | None = None

    def put(self, events: Iterable[Event]) -> None:
        """Queues events to be sent when due. Never waits for the port."""
        with self._wake:
            for event in events:
                if len(self._waiting) >= MOST_WAITING and not _ends(event):
                    self.left_out += 1
                    continue
                self._number += 1
                heapq.heappush(self._waiting, _Waiting(event.time_s, self._number, event))
            self._wake.notify()

    def step(self) -> float:
        """Sends what is due; returns the seconds until there is more to do."""
        self._check_port()
        while (event := self._due()) is not None:
            self._emit(event)
        return self._wait_s()

    def figures(self, now_s: float) -> dict[str, Any]:
        """The sender's fields of a Status at stream time ``now_s``. Callable from any thread."""
        return {
            "latency_ms": self.latency_ms.median_and_p99(),
            "late_events": self.late,
            "left_out": self.left_out,
            "notes": self.roll.notes,
            "pedal": self.roll.pedal_down,
            "recent": self.roll.recent(now_s),
        }

    @property
    def is_empty(self) -> bool:
        with self._wake:
            return not self._waiting

    def start(self) -> None:
        """Starts the thread that calls ``step``."""
        self._thread = threading.Thread(target=self._run, name="hppnet-sender", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Discards waiting events, silences and closes the port. May be called twice."""
        with self._wake:
            self._stopping = True
            self._waiting.clear()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_WITHIN_S)
        self._port.close()

    def _run(self) -> None:
        while not self._stopping:
            wait_s = self.step()
            with self._wake:
                if not self._stopping:
                    self._wake.wait(min(wait_s, self._wait_s()))
        self._port.close()

    def _due(self) -> Event | None:
        with self._wake:
            if self._stopping or not self._waiting or self._due_in_s(self._waiting[0]) > 0:
                return None
            return heapq.heappop(self._waiting).event

    def _due_in_s(self, waiting: _Waiting) -> float:
        # Computed anew each time: the timeline follows the sound card's quartz.
        return self._timeline.clock_of(waiting.time_s) + self.latency_s - self._clock.now()

    def _wait_s(self) -> float:
        with self._wake:
            if not self._waiting:
                return IDLE_S
            return max(0.0, min(IDLE_S, self._due_in_s(self._waiting[0])))

    def _emit(self, event: Event) -> None:
        after_s = self._clock.now() - self._timeline.clock_of(event.time_s)
        late_s = after_s - self.latency_s
        self.late += late_s > LATE_S
        if isinstance(event, NoteOn):
            if late_s > STALE_S:
                self.left_out += 1
                return
            self.latency_ms.add(1000 * after_s)
        self.roll.add(event)
        if self._retry_s is None:
            try:
                self._port.send(event)
            except PortFault as fault:
                self._lost(fault)

    def _check_port(self) -> None:
        now_s = self._clock.now()
        if self._retry_s is not None:
            if now_s >= self._retry_s:
                self._reopen()
        elif now_s >= self._check_s and self._wait_s() > 0.02:  # a check takes a moment
            self._check_s = now_s + CHECK_S
            try:
                self._port.check()
            except PortFault as fault:
                self._lost(fault)

    def _lost(self, fault: PortFault) -> None:
        self._report(f"port: {fault}; trying again")
        self._port.drop()
        self._retry_s = self._backoff.failed(self._clock.now())

    def _reopen(self) -> None:
        try:
            self._port.open()
            # Missed notes are not sent late, but a pedal that is down also sustains the next notes.
            self._port.pedal(self.roll.pedal_down)
        except PortFault:
            self._port.drop()  # it may have opened and then failed
            self._retry_s = self._backoff.failed(self._clock.now())
            return
        self._retry_s = None
        self._backoff.succeeded()
        self._check_s = self._clock.now() + CHECK_S
        self._report(f"port: {self._port.name} is back")


def _ends(event: Event) -> bool:
    """Whether the event ends a note or lifts the pedal. Such an event is never left out, however late."""
    return isinstance(event, NoteOff) or (isinstance(event, Pedal) and not event.down)
