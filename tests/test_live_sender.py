"""The sender: equal delay for every event, and a port in trouble holds nobody up."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hppnet.model.notes import Event, NoteOff, NoteOn
from hppnet.realtime import sender as module
from hppnet.realtime.clock import SimulatedClock, SystemClock
from hppnet.realtime.ports import MidiOutput
from hppnet.realtime.sender import STALE_S, Sender
from hppnet.realtime.timeline import Timeline

from .live_fakes import FakeWire, sounding_after

LATENCY_S = 0.16


class Bench:
    """A sender whose stream time 0 is at 1000 s of a simulated clock."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(1000.0)
        self.timeline = Timeline()
        self.timeline.observe(0.0, 1000.0)
        self.sent_s: list[float] = []
        self.wire = FakeWire(trouble=lambda: self.sent_s.append(self.clock.now() - 1000.0))
        self.wires = [self.wire]
        self.lines: list[str] = []
        self.port = MidiOutput("fake", wire=self.open_wire)
        self.port.open()
        self.sender = Sender(self.port, self.timeline, LATENCY_S, self.clock, self.lines.append)

    def open_wire(self) -> FakeWire:
        if not self.wires:
            raise module.PortFault("not there")
        return self.wires[-1]

    def run_until(self, stream_s: float) -> None:
        while self.clock.now() < 1000 + stream_s:
            self.clock.sleep(max(1e-6, min(self.sender.step(), 1000 + stream_s - self.clock.now())))
        self.sender.step()


def test_events_leave_at_their_time_plus_the_latency() -> None:
    bench = Bench()
    bench.sender.put([NoteOn(0.5, 60, 80), NoteOn(0.45, 62, 80), NoteOff(0.7, 60), NoteOff(0.9, 62)])
    bench.run_until(2.0)
    assert bench.sent_s == pytest.approx([0.45 + 0.16, 0.5 + 0.16, 0.7 + 0.16, 0.9 + 0.16], abs=1e-5)
    assert [message[1] for message in bench.wire.messages] == [62, 60, 60, 62]
    assert bench.sender.late == 0
    assert bench.sender.latency_ms.median_and_p99()[0] == pytest.approx(160, abs=0.1)


def test_a_late_event_leaves_at_once_and_is_counted() -> None:
    bench = Bench()
    bench.run_until(1.0)
    bench.sender.put([NoteOn(0.5, 60, 80)])
    bench.sender.step()
    assert bench.sent_s == pytest.approx([1.0])
    assert bench.sender.late == 1


def test_the_timeline_may_move_while_events_wait() -> None:
    bench = Bench()
    bench.sender.put([NoteOn(5.0, 60, 80)])
    bench.run_until(1.0)
    bench.timeline.anchor_s += 0.5
    bench.run_until(7.0)
    assert bench.sent_s == pytest.approx([5.0 + 0.5 + LATENCY_S], abs=1e-5)


def test_a_note_too_late_to_be_of_use_is_left_out_with_its_end() -> None:
    bench = Bench()
    bench.run_until(10.0)
    bench.sender.put([NoteOn(9.9 - STALE_S - LATENCY_S, 60, 80), NoteOff(9.0, 60)])
    bench.sender.step()
    assert bench.wire.messages == []
    assert bench.sender.left_out == 1


@given(
    st.lists(st.tuples(st.booleans(), st.integers(60, 62), st.floats(0, 2), st.integers(0, 4)), max_size=60)
)
def test_whatever_comes_no_two_notes_of_a_key_overlap(moves: list[tuple[bool, int, float, int]]) -> None:
    bench = Bench()
    for on, pitch, time_s, steps in moves:
        event: Event = NoteOn(time_s, pitch, 80) if on else NoteOff(time_s, pitch)
        bench.sender.put([event])
        bench.run_until(bench.clock.now() - 1000 + 0.05 * steps)
    bench.run_until(5.0)
    bench.sender.close()
    assert sounding_after(bench.wire.messages) == set()


def test_a_port_that_fails_is_reported_once_and_opened_again() -> None:
    bench = Bench()
    bench.sender.put([NoteOn(0.1, 60, 80), NoteOn(1.0, 62, 80), NoteOn(9.0, 64, 80)])
    bench.run_until(0.5)
    bench.wire.gone = True
    bench.wires = []
    bench.run_until(4.0)
    assert len(bench.lines) == 1 and "has gone" in bench.lines[0]
    bench.wires = [FakeWire(name="fake again")]
    bench.run_until(10.0)
    assert bench.lines[1:] == ["port: fake again is back"]
    # What sounded when it went is ended first; what was due meanwhile is not played late.
    messages = bench.wires[0].messages
    assert messages == [[0x80, 60, 64], [0xB0, 64, 0], [0xB0, 123, 0], [0x90, 64, 80]]
    assert bench.sender.roll.notes == 3


def test_waiting_events_are_bounded_and_ends_always_have_room() -> None:
    bench = Bench()
    for number in range(2 * module.MOST_WAITING):
        bench.sender.put([NoteOn(100.0 + number, 60, 80)])
    assert bench.sender.left_out == module.MOST_WAITING
    bench.sender.put([NoteOff(0.0, 60)])
    assert len(bench.sender._waiting) == module.MOST_WAITING + 1


def test_a_send_that_blocks_holds_nobody_up() -> None:
    free, sending = threading.Event(), threading.Event()

    def block() -> None:
        sending.set()
        free.wait()

    port = MidiOutput("fake", wire=lambda: FakeWire(trouble=block))
    port.open()
    clock, timeline = SystemClock(), Timeline()
    timeline.observe(0.0, clock.now())
    sender = Sender(port, timeline, 0.0, clock)
    sender.start()
    sender.put([NoteOn(0.0, 60, 80)])
    assert sending.wait(10)
    for number in range(1000):  # the engine goes on
        sender.put([NoteOn(number / 10, 60 + number % 12, 80)])
    sender.close()  # and so does the end
    free.set()


def test_closing_silences_what_sounds() -> None:
    bench = Bench()
    bench.sender.start()
    bench.sender.put([NoteOn(-1.0, 60, 80)])
    while not bench.wire.messages:
        pass
    bench.sender.close()
    bench.sender.close()
    assert sounding_after(bench.wire.messages) == set()
    assert bench.wire.messages[-2:] == [[0xB0, 64, 0], [0xB0, 123, 0]]
