"""The pedal live: detected, sent with the notes' latency, recorded, shown; and up wherever anything ends."""

from __future__ import annotations

import json
from pathlib import Path

import mido
import numpy as np
import pytest
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.listening import live
from hppnet.model.notes import Event, Pedal, presses_from
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.bench_notes import make_test_piece
from hppnet.realtime.inputs import Block, FileInput
from hppnet.realtime.live_decoder import LONGEST_NOTE_S, GateSettings, LiveDecoder
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.settings import EventMapping
from hppnet.realtime.status import TuningMeter
from hppnet.realtime.view import Picture

from .live_fakes import PEDAL, FakeModel, FakeWire, end_by, sounding_after
from .pedal_parts import saved, with_moving_pedal
from .rigs.soak_session import play_day, play_faults, replay
from .test_live_decoder import LOUD, QUIET, RATE, assert_paired, feed
from .test_live_recording import pedal_at
from .test_live_session import ALL_OFF, Rig, file_session

MUSIC, _ = make_test_piece(6, RATE)


@pytest.fixture(scope="module")
def moving(small: Path) -> Transcriber:
    return with_moving_pedal(Transcriber.load(small, device="cpu"), MUSIC)


def pedals(events: list[Event]) -> list[Pedal]:
    return [event for event in events if isinstance(event, Pedal)]


def moves(messages: list[list[int]]) -> list[int]:
    """The values of controller 64, without repetitions."""
    values = [value for status, first, value in messages if status & 0xF0 == 0xB0 and first == 64]
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


# --- the decoder ---


def test_live_moves_the_pedal_as_the_stream_does(moving: Transcriber) -> None:
    stream = moving.stream(132, RATE)
    wanted = presses_from(stream.feed(MUSIC) + stream.flush())
    assert len(wanted) > 3
    found = presses_from(live(FileInput([MUSIC], RATE, speed=None), checkpoint=moving))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one.down_s, one.up_s) == pytest.approx((other.down_s, other.up_s), abs=1e-3)
    without = list(live(FileInput([MUSIC], RATE, speed=None), checkpoint=moving, pedal=False))
    assert pedals(without) == []


def test_times_of_the_pedal_shift_with_those_of_the_notes() -> None:
    plain, shifted = LiveDecoder(FakeModel(pedal=True), RATE), LiveDecoder(FakeModel(pedal=True), RATE)
    wanted = pedals(feed(plain, np.tile(LOUD, 60)))
    found = feed(shifted, np.tile(LOUD, 30), 100.0) + feed(shifted, np.tile(LOUD, 30), 100.3 + 0.013)
    assert [p.down for p in pedals(found)] == [p.down for p in wanted] == [True, False, True, False]
    shifts = [h.time_s - w.time_s for h, w in zip(pedals(found), wanted, strict=True)]
    assert shifts == pytest.approx([100.0, 100.0, 100.013, 100.013])


@pytest.mark.parametrize("how", ["gap", "rate", "interrupt", "broken", "flush", "use", "sleep"])
def test_whatever_ends_the_pedal_comes_up(how: str) -> None:
    model = FakeModel(pedal=True)
    decoder = LiveDecoder(model, RATE, gate=GateSettings(after_s=0.05))
    events = feed(decoder, np.tile(LOUD, 20))
    assert decoder.pedal_down and decoder.sounding
    if how == "gap":
        events += decoder.feed(Block(LOUD, 50.0, 0, RATE))
    elif how == "rate":
        events += decoder.feed(Block(LOUD, 0.2, 0, 48_000))
    elif how == "use":
        events += decoder.use(model)
    elif how == "sleep":
        events += feed(decoder, np.tile(QUIET, 6), 0.2)
        assert decoder.asleep
    else:
        if how == "broken":
            model.streams[0].flush = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
        events += decoder.flush() if how == "flush" else decoder.interrupt(broken=how == "broken")
    assert not decoder.pedal_down
    assert [p.down for p in pedals(events)] == [True, False]
    assert pedals(events)[-1].time_s == pytest.approx(0.24 if how == "sleep" else 0.2, abs=0.03)
    assert_paired(events + decoder.flush())


def test_a_pedal_that_holds_nothing_any_more_comes_up() -> None:
    class Held(FakeModel):
        PEDAL_FRAMES = 10**6

    decoder = LiveDecoder(Held(pedal=True), RATE)
    decoder._add([Pedal(0.0, True)])
    tail = round(100 * LONGEST_NOTE_S)
    events = feed(decoder, np.tile(LOUD, 100), block=1600)  # the pedal is needed for this note
    events += feed(decoder, np.tile(LOUD, tail - 200), 1.0, block=1600)
    assert decoder.pedal_down
    events += feed(decoder, np.tile(LOUD, 300), 1.0 + (tail - 200) / 100, block=1600)
    assert not decoder.pedal_down and [p.down for p in pedals(events)] == [True, False]


def test_touch_lets_the_pedal_through() -> None:
    assert EventMapping(transpose=40, curve="fixed:9")(Pedal(1.0, True)) == Pedal(1.0, True)


# --- sessions ---


def test_the_pedal_leaves_with_the_latency_that_is_promised(tmp_path: Path) -> None:
    rig = Rig(FakeModel(pedal=True), record=tmp_path / "a.mid")
    sent_s: list[float] = []
    rig.trouble = lambda: sent_s.append(rig.session._timeline.stream_of(rig.clock.now()))
    rig.play(3)
    status = rig.session.status()
    rig.assert_silent()
    at_s = [when for when, m in zip(sent_s, rig.messages, strict=True) if m[:2] == [0xB0, 64]]
    heard_s = pedal_at(tmp_path / "a.mid")[: len(at_s) - 1]  # the last one is the end's
    assert status.sends_pedal and len(heard_s) > 15
    # The clock moves by 10 ms a turn, so that is how exact it can be.
    for sent, (found, _) in zip(at_s, heard_s, strict=False):
        assert sent - found == pytest.approx(status.total_latency_ms / 1000, abs=0.011)
    assert replay(tmp_path / "a.mid").hangs == 0


def test_no_pedal_is_no_pedal() -> None:
    rig = Rig(FakeModel(pedal=True), pedal=False)
    rig.play(3)
    assert rig.onsets > 8 and moves(rig.messages) == []
    assert not rig.session.status().sends_pedal
    rig.assert_silent()
    assert not Rig(FakeModel()).session.status().sends_pedal  # nor where the checkpoint does not hear it


@pytest.mark.parametrize("how", ["stop", "watcher", "decoder"])
def test_with_threads_however_it_ends_the_pedal_is_up(how: str) -> None:
    wire, model = FakeWire(), FakeModel(pedal=True)
    session = file_session(model, wire, 60)
    end_by(how, session, model, lambda: bool(session.port.pedal_down))
    assert 127 in moves(wire.messages) and sounding_after(wire.messages) == set()
    assert wire.messages[-2:] == ALL_OFF


@pytest.mark.parametrize("what", ["input", "port"])
def test_what_is_pulled_out_lets_the_pedal_up(what: str) -> None:
    rig = Rig(FakeModel(pedal=True))
    while not rig.port.pedal_down or rig.clock.now() < 502:
        rig.play(0.01)
    if what == "input":
        rig.sound.names = []
        rig.sound.stream.active = False  # type: ignore[union-attr]
        rig.play(2)
        assert sounding_after(rig.messages) == set()
        return

    def fail() -> None:
        raise OSError("cable pulled")

    rig.trouble, rig.wire_there = fail, False
    rig.play(2)
    assert PEDAL in sounding_after(rig.messages)  # nobody could tell it
    rig.trouble, rig.wire_there = lambda: None, True
    rig.session.stop()  # before it was looked for again
    assert rig.wires[-1].messages[-2:] == ALL_OFF and len(rig.wires) == 2


def test_the_tuning_waits_for_the_pedal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TuningMeter, "_estimate", lambda self, sound, rate: setattr(self, "cents", 25.0))
    monkeypatch.setattr("hppnet.realtime.status.TUNING_S", 1.0)

    class Held(FakeModel):
        PEDAL_FRAMES = 100  # down from 2 s on, up from 4 s on

    rig = Rig(Held(pedal=True), tuning="auto", gate=GateSettings(after_s=60))
    rig.play(3.5)
    assert rig.session._decoder.pedal_down and rig.lines == []
    rig.play(2)
    assert rig.lines == ["tuning: the piano is +25 cents from A = 440 Hz"]


def test_the_view_shows_it() -> None:
    rig, picture, words = Rig(FakeModel(pedal=True)), Picture(), set()
    for _ in range(60):
        rig.play(0.01)
        picture.status = rig.session.status()
        words |= {word for word in ("pedal up", "pedal down") if word in picture.lines(80, 24, True)[0].plain}
    assert words == {"pedal up", "pedal down"}
    rig.session.stop()
    without = Rig()
    picture.status = without.session.status()
    assert "pedal" not in picture.lines(80, 24, True)[0].plain


def test_the_command_says_that_it_sends_it(moving: Transcriber, tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "x.wav", MUSIC[:RATE], RATE)
    path = saved(moving, tmp_path / "moving.safetensors")
    options = ["live", "--from-file", str(tmp_path / "x.wav"), "--output", "none", "--checkpoint", str(path)]
    for number, (more, sends) in enumerate((([], True), (["--no-pedal"], False))):
        take = tmp_path / f"{number}.mid"
        done = CliRunner().invoke(app, [*options, *more, "--record", str(take)])
        assert done.exit_code == 0, done.output
        assert ("with the pedal" in done.output) == sends
        assert (replay(take).presses > 0) == sends and replay(take).hangs == 0


# --- the soak ---


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return make_test_piece(20, 48_000)[0]


@pytest.mark.slow
def test_some_faults_leave_no_pedal_down(moving: Transcriber, music: np.ndarray) -> None:
    done = play_faults(moving, music, 48_000, 60)
    assert done.verdict() == [] and sum(done.faults.values()) == 60
    assert done.presses > 100 and done.recorded_presses is not None and done.recorded_presses > 100
    json.dumps(done.as_dict())


@pytest.mark.long
def test_a_thousand_faults_leave_nothing_down(transcriber: Transcriber, music: np.ndarray) -> None:
    done = play_faults(with_moving_pedal(transcriber, MUSIC), music, 48_000, 1000)
    assert done.verdict() == [] and sum(done.faults.values()) == 1000
    assert done.notes > 1000 and done.presses > 300


@pytest.mark.slow
def test_a_pedal_that_is_stuck_is_noticed(
    moving: Transcriber, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = MidiOutput.pedal
    monkeypatch.setattr(MidiOutput, "pedal", lambda self, down: true(self, down) if down else None)
    done = play_day(moving, music, 48_000, hours=0.01)
    assert any("pedal was stuck" in line for line in done.verdict())


def test_the_synth_hears_what_hangs_in_a_file(tmp_path: Path) -> None:
    file = mido.MidiFile(tracks=[mido.MidiTrack()])
    for kind, more in (("note_on", {"note": 60}), ("control_change", {"control": 64, "value": 90})):
        file.tracks[0].append(mido.Message(kind, **more))
    file.save(tmp_path / "a.mid")
    assert (replay(tmp_path / "a.mid").hangs, replay(tmp_path / "a.mid").presses) == (2, 1)
