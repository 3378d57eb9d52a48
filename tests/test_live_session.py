"""Whole sessions: input to port, with faults on the way. The clock is simulated, except with threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Event, read_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.audio_input import AudioInput
from hppnet.realtime.inputs import FileInput, Input, InputEnded
from hppnet.realtime.live_decoder import GateSettings
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.midi_ports import PortFault
from hppnet.realtime.session import LiveSession
from hppnet.realtime.settings import LiveSettings
from hppnet.realtime.status import TuningMeter

from .live_fakes import FakeModel, FakeSound, FakeStream, FakeWire, end_by, sounding_after
from .simulated_clock import SimulatedClock
from .sounds import three_notes

RATE = 48_000
SQUARE = np.where(np.arange(480) % 2, 0.4, -0.4).astype(np.float32)
STROKES = np.concatenate([np.tile(SQUARE, 12), np.zeros(480 * 12, dtype=np.float32)])  # a note each 0.24 s
ALL_OFF = [[0xB0, 64, 0], [0xB0, 123, 0]]


class Rig:
    """A session on a fake device, model and wire; a block of 10 ms at a time."""

    def __init__(self, model: FakeModel | None = None, **chosen: object) -> None:
        self.clock = SimulatedClock(500.0)
        self.sound = FakeSound(self.clock)
        self.wires: list[FakeWire] = []
        self.wire_there = True
        self.trouble: Callable[[], None] = lambda: None
        self.lines: list[str] = []
        self.model = model or FakeModel()
        self.input = AudioInput(library=self.sound, clock=self.clock)
        self.port = MidiOutput("fake", wire=self._wire)
        settings = LiveSettings(**{"latency_ms": 52, **chosen})  # type: ignore[arg-type]
        self.session = LiveSession(
            self.model, self.input, self.port, settings, clock=self.clock, report=self.lines.append
        )
        self.session.prepare()
        self._at = 0

    def _wire(self) -> FakeWire:
        if not self.wire_there:
            raise PortFault("fake is not there")
        self.wires.append(FakeWire(trouble=lambda: self.trouble()))
        return self.wires[-1]

    def play(self, seconds: float, samples: np.ndarray = STROKES, **how: object) -> None:
        for _ in range(round(100 * seconds)):
            self.sound.play(self.next_block(samples), **how)  # type: ignore[arg-type]
            self.session.turn(0)

    def next_block(self, samples: np.ndarray = STROKES) -> np.ndarray:
        at = self._at % (len(samples) // 480)
        self._at += 1
        return samples[at * 480 : at * 480 + 480]

    @property
    def messages(self) -> list[list[int]]:
        return [message for wire in self.wires for message in wire.messages]

    @property
    def onsets(self) -> int:
        return sum(message[0] == 0x90 for message in self.messages)

    def assert_silent(self) -> None:
        """Nothing sounds, on any of the wires that still answered; the last one was told in so many words."""
        self.session.stop()
        assert sounding_after(self.wires[-1].messages, before=len(self.wires) > 1) == set()
        assert self.wires[-1].messages[-2:] == ALL_OFF


def test_notes_leave_with_the_latency_that_is_promised() -> None:
    rig = Rig()
    rig.play(10)
    status = rig.session.status()
    assert rig.onsets in (41, 42)
    # The clock moves by 10 ms a turn, so that is how exact it can be.
    assert status.latency_ms[0] == pytest.approx(rig.session.latency.total_ms, abs=10)
    assert status.total_latency_ms == pytest.approx(
        status.algorithmic_latency_ms + rig.session.latency.allowance_ms
    )
    assert status.faults == () and status.dropped_blocks == status.lost_samples == 0
    rig.assert_silent()


def test_a_file_is_heard_as_the_file(transcriber: Transcriber, tmp_path: Path) -> None:
    """The real model, the real file input; what is sent is what a transcription of the file gives."""
    clock, wire, sound = SimulatedClock(), FakeWire(), three_notes(RATE)
    settings = LiveSettings(record=tmp_path / "a.mid", record_audio=tmp_path / "a.flac")
    session = LiveSession(
        transcriber,
        FileInput([sound], RATE, clock=clock),
        MidiOutput("fake", wire=lambda: wire),
        settings,
        clock=clock,
    )
    session.prepare()
    with pytest.raises(InputEnded):
        while True:
            session.turn()
    session.stop()
    expected = transcriber.transcribe(sound, RATE, latency_ms=132)
    assert len([m for m in wire.messages if m[0] == 0x90]) == len(expected)
    assert session.status().late_events == 0
    assert sounding_after(wire.messages) == set()
    recorded = read_midi(tmp_path / "a.mid")
    assert [n.pitch for n in recorded] == [n.pitch for n in expected]
    assert [n.onset_s for n in recorded] == pytest.approx([n.onset_s for n in expected], abs=0.001)
    assert soundfile.info(tmp_path / "a.flac").frames == len(sound)


def test_an_engine_that_stalls_catches_up() -> None:
    rig = Rig()
    rig.play(2)
    for _ in range(60):  # nobody turned the session for 0.6 s
        rig.sound.play(rig.next_block())
    rig.play(1)
    status = rig.session.status()
    assert status.dropped_blocks == 0 and status.late_events > 0
    assert rig.onsets == pytest.approx(3.6 / 0.24, abs=1)  # late, but all of them
    assert status.backlog_ms == pytest.approx(10, abs=1)
    rig.assert_silent()


def test_an_engine_that_is_too_slow_drops_sound_and_says_so() -> None:
    rig = Rig()
    rig.play(2)
    for _ in range(150):  # nobody turned the session for 1.5 s
        rig.sound.play(SQUARE)
    rig.session.turn(0)
    assert any("computing cannot keep up" in line for line in rig.lines)
    assert rig.session.status().dropped_blocks > 100
    assert rig.session.status().backlog_ms == pytest.approx(1500, abs=20)
    rig.play(2)
    assert rig.session.status().backlog_ms == pytest.approx(10, abs=1)
    before = rig.session.status()
    assert before.now_s == pytest.approx(rig.clock.now() - 500 - before.total_latency_ms / 1000, abs=0.5)
    rig.assert_silent()


def test_sound_that_never_came_is_no_backlog() -> None:
    """The machine slept, or the program was stopped; sound from before and after is fetched together."""
    rig = Rig()
    rig.play(2)
    for late_s in (0.0, 0.0, 10.0, *[0.0] * 60):
        rig.sound.play(rig.next_block(), late_s=late_s)
    rig.session.turn(0)
    status = rig.session.status()
    assert status.lost_samples == pytest.approx(10 * RATE, rel=0.01)
    assert status.dropped_blocks == 0 and status.backlog_ms == pytest.approx(630, abs=1)
    assert not any("computing cannot keep up" in line for line in rig.lines)
    rig.assert_silent()


def test_a_network_that_fails_now_and_then_starts_afresh() -> None:
    rig, failures = Rig(), iter([True, False, True])
    rig.play(1.05)
    assert rig.session._decoder.sounding

    def fail(frames: int) -> None:
        if next(failures, False):
            raise RuntimeError("no more memory")

    rig.model.step = fail
    rig.play(0.01)
    assert not rig.session._decoder.sounding
    rig.play(3)
    assert sum("the network failed and was reset" in line for line in rig.lines) == 2
    assert rig.onsets > 10
    rig.assert_silent()


def test_a_network_that_always_fails_ends_the_session_with_silence() -> None:
    rig = Rig()
    rig.play(1.05)  # in the middle of a note

    def fail(frames: int) -> None:
        raise RuntimeError("broken")

    rig.model.step = fail
    with pytest.raises(RuntimeError, match="broken"):
        rig.play(1)
    rig.assert_silent()


def test_a_device_that_was_unplugged_is_found_again() -> None:
    rig = Rig()
    rig.play(1.05)
    rig.sound.names = ["Something else"]
    rig.sound.stream.active = False  # type: ignore[union-attr]
    rig.play(5)
    assert sounding_after(rig.messages) == set()
    assert len(rig.lines) == 1 and "looking for it again" in rig.lines[0]
    onsets = rig.onsets
    rig.sound.names = ["Something else", "Built-in"]
    rig.sound.rate = 44_100.0
    rig.play(20)
    assert rig.lines[1] == "input: Built-in (Fake) is back, 44100 Hz"
    assert rig.onsets > onsets + 20
    rig.assert_silent()


def test_a_network_that_fails_when_the_device_goes_starts_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.play(1.05)  # in the middle of a note

    def flush(stream: FakeStream) -> list[Event]:
        monkeypatch.undo()
        raise RuntimeError("no more memory")

    monkeypatch.setattr(FakeStream, "flush", flush)
    rig.sound.names = []
    rig.sound.stream.active = False  # type: ignore[union-attr]
    rig.play(1)
    assert sounding_after(rig.messages) == set()
    assert [line.split(":")[0] for line in rig.lines] == ["input", "the network failed and was reset"]
    onsets = rig.onsets
    rig.sound.names = ["Built-in"]
    rig.play(20)
    assert rig.onsets > onsets + 20
    rig.assert_silent()


def test_a_port_that_was_pulled_is_silenced_when_it_is_back() -> None:
    rig = Rig()
    rig.play(1.05)
    rig.wires[0].gone = True
    rig.wire_there = False
    rig.play(3)
    rig.wire_there = True
    rig.play(10)
    assert [line.split(";")[0] for line in rig.lines] == ["port: fake has gone", "port: fake is back"]
    assert ALL_OFF[0] in rig.wires[1].messages
    rig.assert_silent()


def test_silence_puts_the_network_to_sleep_and_the_first_note_wakes_it() -> None:
    rig = Rig(gate=GateSettings(after_s=1))
    rig.play(1)
    rig.play(3, samples=np.zeros(480, dtype=np.float32))
    assert rig.session.status().asleep
    onsets = rig.onsets
    rig.play(0.5)
    assert not rig.session.status().asleep
    assert rig.onsets > onsets
    rig.assert_silent()


def test_transposition_and_curve_reach_the_port() -> None:
    rig = Rig(transpose=12, velocity_curve="fixed:33", midi_channel=1)
    rig.play(1)
    assert rig.messages[0] == [0x90, 61, 33]
    rig.assert_silent()


def test_tuning_is_heard_and_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningMeter, "_estimate", lambda self, sound, rate: setattr(self, "cents", 25.0))
    monkeypatch.setattr("hppnet.realtime.status.TUNING_S", 1.0)
    rig = Rig(tuning="auto")
    rig.play(5)
    assert rig.lines == ["tuning: the piano is +25 cents from A = 440 Hz"]
    assert rig.session._decoder._transcriber.cents == 25.0  # type: ignore[attr-defined]
    rig.assert_silent()


def test_what_is_not_there_is_said_before_anything_starts() -> None:
    sound = FakeSound(SimulatedClock(), names=[])
    session = LiveSession(FakeModel(), AudioInput(library=sound), MidiOutput("fake", wire=FakeWire))
    with pytest.raises(Exception, match="no sound input found"):
        session.prepare()
    session.stop()


def file_session(model: FakeModel, wire: FakeWire, seconds: float) -> LiveSession:
    sound = np.tile(STROKES, round(seconds / 0.24))
    source: Input = FileInput([sound], RATE, name="strokes", speed=1.0)
    return LiveSession(model, source, MidiOutput("fake", wire=lambda: wire), LiveSettings(latency_ms=52))


def test_with_threads_a_file_is_played_to_its_end() -> None:
    wire, seen = FakeWire(), []
    session = file_session(FakeModel(), wire, 1.5)
    session.run(watch=seen.append, every_s=0.02)
    assert sum(message[0] == 0x90 for message in wire.messages) == 6
    assert sounding_after(wire.messages) == set()
    assert wire.messages[-2:] == ALL_OFF
    assert seen and seen[-1].notes <= 6


@pytest.mark.parametrize("how", ["stop", "watcher", "engine"])
def test_with_threads_however_it_ends_nothing_sounds(how: str) -> None:
    wire, model = FakeWire(), FakeModel()
    session = file_session(model, wire, 60)
    end_by(how, session, model, lambda: bool(session.port.sounding))
    assert sounding_after(wire.messages) == set()
    assert wire.messages[-2:] == ALL_OFF


def test_with_threads_what_sounds_ends_before_the_last_frames_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, wire = FakeModel(), FakeWire()
    sounding: list[set[int]] = []

    def flush(stream: FakeStream) -> list[Event]:
        sounding.append(sounding_after(wire.messages))
        return []

    monkeypatch.setattr(FakeStream, "flush", flush)
    session = file_session(model, wire, 60)
    end_by("stop", session, model, lambda: bool(sounding_after(wire.messages)))
    assert sounding == [set()]
    assert wire.messages[-2:] == ALL_OFF


@pytest.mark.slow
def test_with_threads_a_port_that_blocks_holds_up_neither_engine_nor_end() -> None:
    free, blocked = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        free.wait()

    session = file_session(FakeModel(), FakeWire(trouble=block), 60)
    session.start()
    assert blocked.wait(10)
    frames = session._decoder.frames
    while session._decoder.frames < frames + 20:  # it goes on computing
        pass
    session.stop()
    free.set()
