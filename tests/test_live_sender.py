"""The sender: equal delay for every event, and a port in trouble holds nobody up."""

from __future__ import annotations

import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hppnet.model.decoder import with_pedal
from hppnet.model.notes import Event, Note, NoteOff, NoteOn, Pedal, Press, sounding
from hppnet.realtime import sender as module
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.sender import LATE_S, STALE_S, Sender
from hppnet.realtime.timeline import SystemClock, Timeline

from .live_fakes import FakeWire, sounding_after
from .simulated_clock import SimulatedClock

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

    def lose_port(self, lost_s: float, back_s: float) -> None:
        """The port goes at one time of the stream and another comes at a later one."""
        self.run_until(lost_s)
        self.wire.gone = True
        self.wires = []
        self.run_until(back_s)
        self.wires = [FakeWire(name="fake again")]


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
    st.lists(st.tuples(st.booleans(), st.integers(59, 62), st.floats(0, 2), st.integers(0, 4)), max_size=60)
)
def test_whatever_comes_no_two_notes_of_a_key_overlap(moves: list[tuple[bool, int, float, int]]) -> None:
    bench = Bench()
    for on, pitch, time_s, steps in moves:
        event: Event = NoteOn(time_s, pitch, 80) if on else NoteOff(time_s, pitch)
        bench.sender.put([Pedal(time_s, on) if pitch == 59 else event])
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


def test_the_pedal_leaves_with_the_latency_of_the_notes() -> None:
    bench = Bench()
    bench.sender.put([NoteOn(0.5, 60, 80), Pedal(0.62, True), NoteOff(0.7, 60), Pedal(1.31, False)])
    bench.run_until(2.0)
    assert bench.sent_s == pytest.approx([0.5 + 0.16, 0.62 + 0.16, 0.7 + 0.16, 1.31 + 0.16], abs=1e-5)
    assert [message[:2] for message in bench.wire.messages] == [
        [0x90, 60],
        [0xB0, 64],
        [0x80, 60],
        [0xB0, 64],
    ]


def test_of_one_moment_the_order_is_the_decoders() -> None:
    bench = Bench()
    bench.sender.put([Pedal(0.5, True), NoteOff(0.5, 60), NoteOff(0.5, 62), NoteOn(0.5, 62, 80)])
    bench.sender.put([NoteOff(0.9, 62), NoteOn(0.9, 62, 80), Pedal(0.9, False)])
    bench.sender._port._sounding |= {60, 62}
    bench.run_until(2.0)
    assert [message[:2] for message in bench.wire.messages] == [
        *([0xB0, 64], [0x80, 60], [0x80, 62], [0x90, 62]),
        *([0x80, 62], [0x90, 62], [0xB0, 64]),
    ]


FRAMES = st.lists(
    st.tuples(st.sets(st.integers(60, 63)), st.sets(st.integers(60, 63)), st.booleans()), max_size=40
)


@given(FRAMES, st.lists(st.integers(1, 9)), st.floats(0, 0.4))
@example([(set(), {60}, False)], [1], 0.0625)
def test_nothing_is_cut_that_should_ring(
    frames: list[tuple[set[int], set[int], bool]], sizes: list[int], late_s: float
) -> None:
    """However the decoder's frames are put, and however late: what sounds is what was decoded."""
    decoded, notes, presses = played(frames)
    bench = Bench()
    for number, events in enumerate(decoded):
        bench.run_until(0.1 * (number + 1) + (late_s if number in sizes else 0.0))
        bench.sender.put(events)
    bench.run_until(10.0)
    ringing = receive(list(zip(bench.sent_s, bench.wire.messages, strict=True)))
    wanted = [(note.pitch, round(note.offset_s - note.onset_s, 3)) for note in sounding(notes, presses)]
    assert sorted(pitch for pitch, _ in ringing) == sorted(pitch for pitch, _ in wanted)
    if bench.sender.late == 0:  # no event later than LATE_S (and lengths are rounded to 1 ms)
        lengths = zip(sorted(ringing), sorted(wanted), strict=True)
        assert all(abs(sent_s - decoded_s) <= LATE_S + 0.001 for (_, sent_s), (_, decoded_s) in lengths)


def played(
    frames: list[tuple[set[int], set[int], bool]],
) -> tuple[list[list[Event]], list[Note], list[Press]]:
    """What the decoder gives of frames of 0.1 s (released, onsets, pedal down), and what that means."""
    decoded: list[list[Event]] = []
    notes, presses, down, pressed_s = [], [], {}, None
    for number, (released, onsets, pedal) in enumerate([*frames, ({60, 61, 62, 63}, set(), False)]):
        time_s = 0.1 * number
        here: list[Event] = []
        for key in sorted((released | onsets) & set(down)):
            here.append(NoteOff(time_s, key))
            notes.append(Note(down.pop(key), time_s, key, 80))
        for key in sorted(onsets):
            here.append(NoteOn(time_s, key, 80))
            down[key] = time_s
        if pedal != (pressed_s is not None):
            here = with_pedal(here, Pedal(time_s, pedal))
            if not pedal:
                presses.append(Press(pressed_s, time_s))
            pressed_s = time_s if pedal else None
        decoded.append(here)
    return decoded, notes, presses


def receive(messages: list[tuple[float, list[int]]]) -> list[tuple[int, float]]:
    """(pitch, s) of everything that sounded, as a synthesiser plays it."""
    held, down, pedal, ringing = {}, set(), False, []

    def end(pitch: int, now_s: float) -> None:
        if pitch in held:
            ringing.append((pitch, round(now_s - held.pop(pitch), 3)))

    for now_s, (status, first, value) in messages:
        if status == 0x90:
            end(first, now_s)
            held[first] = now_s
            down.add(first)
        elif status == 0x80:
            down.discard(first)
        elif first == 64:
            pedal = value >= 64
        for pitch in [p for p in held if p not in down and not pedal]:
            end(pitch, now_s)
    assert not held
    return ringing


def test_a_pedal_that_is_down_is_down_again_when_the_port_is_back() -> None:
    bench = Bench()
    bench.sender.put([Pedal(0.1, True), NoteOn(0.1, 60, 80), NoteOff(0.2, 60), NoteOn(9.0, 64, 80)])
    bench.lose_port(0.5, 4.0)
    bench.run_until(10.0)
    up, off, down = [0xB0, 64, 0], [0xB0, 123, 0], [0xB0, 64, 127]
    assert bench.wires[0].messages == [up, off, down, [0x90, 64, 80]]
    bench.sender.close()
    assert sounding_after(bench.wires[0].messages, before=True) == set()


def test_a_pedal_that_came_up_while_the_port_was_away_stays_up() -> None:
    bench = Bench()
    bench.sender.put([Pedal(0.1, True), Pedal(2.0, False)])
    bench.lose_port(0.5, 4.0)
    bench.run_until(10.0)
    assert bench.wires[0].messages == [[0xB0, 64, 0], [0xB0, 123, 0]]


def test_a_full_queue_leaves_out_presses_but_no_release() -> None:
    bench = Bench()
    bench.sender.put([Pedal(0.1, True)])
    bench.sender.put(NoteOff(100.0, 60) for _ in range(module.MOST_WAITING))
    bench.sender.put([Pedal(0.2, False), Pedal(0.3, True), Pedal(0.4, False)])
    assert bench.sender.left_out == 1
    bench.run_until(2.0)
    assert bench.wire.messages == [[0xB0, 64, 127], [0xB0, 64, 0]]


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
