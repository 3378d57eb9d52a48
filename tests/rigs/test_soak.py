"""The soak: hours and faults that pass, and what is wrong is noticed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, write_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.bench_notes import make_test_piece
from hppnet.realtime.bench_round_trip import MidiSink
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.status import Status

from ..simulated_clock import SimulatedClock
from ..sounds import TONE_WEIGHTS
from . import soak_input, soak_session, soak_signals
from .soak import main
from .soak_input import Programme, RoughInput
from .soak_session import SoakResult, play_day, play_faults
from .soak_signals import send_signals

RATE = 48_000
SMALL = ["--checkpoint", str(TONE_WEIGHTS)]


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return make_test_piece(20, RATE)[0]


@pytest.mark.slow
def test_a_few_minutes_of_a_day(transcriber: Transcriber, music: np.ndarray) -> None:
    done = play_day(transcriber, music, RATE, hours=0.05)
    assert done.verdict() == []
    assert done.notes > 100 and done.recorded_notes == done.notes and len(done.memory_mib) >= 5


@pytest.mark.slow
def test_some_faults_of_every_kind(transcriber: Transcriber, music: np.ndarray) -> None:
    done = play_faults(transcriber, music, RATE, 60)
    assert done.verdict() == []
    assert sum(done.faults.values()) == 60 and len(done.faults) == 10
    assert done.recorded_s is not None and done.recorded_s > 60 and done.notes > 50


@pytest.mark.long
def test_a_day(transcriber: Transcriber) -> None:
    assert play_day(transcriber, make_test_piece(60, RATE)[0], RATE, hours=24).verdict() == []


@pytest.mark.long
def test_a_thousand_faults(transcriber: Transcriber, music: np.ndarray) -> None:
    done = play_faults(transcriber, music, RATE, 980)
    assert done.verdict() == [] and sum(done.faults.values()) == 980
    assert send_signals(20, music, RATE) == {name: [] for name in soak_signals.SIGNALS}


@pytest.mark.slow
def test_faults_are_the_same_every_time(small: Path, music: np.ndarray) -> None:
    model = Transcriber.load(small, device="cpu")
    one, two, other = (play_faults(model, music, RATE, 4, seed=seed).faults for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.slow
def test_a_note_that_is_never_ended_is_noticed(
    transcriber: Transcriber, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MidiOutput, "note_off", lambda self, pitch: None)
    done = play_day(transcriber, music, RATE, hours=0.01)
    assert any("stuck" in line for line in done.verdict())


@pytest.mark.slow
def test_a_key_played_while_down_is_noticed(
    transcriber: Transcriber, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = MidiSink.send
    monkeypatch.setattr(MidiSink, "send", lambda self, message: [send(self, message), send(self, message)][0])
    done = play_day(transcriber, music, RATE, hours=0.01)
    assert any("while down" in line for line in done.verdict())


@pytest.mark.slow
def test_memory_that_grows_is_noticed(
    small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = iter(range(10, 10_000, 10))
    monkeypatch.setattr(soak_session, "rss_mib", lambda: float(next(held)))
    done = play_day(Transcriber.load(small, device="cpu"), music, RATE, hours=0.05)
    assert any("memory grew" in line for line in done.verdict())


@pytest.mark.slow
def test_time_that_creeps_is_noticed(small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transcriber.load(small, device="cpu")
    assert play_day(model, music, RATE, hours=0.05).most_clock_error_ms < soak_session.MOST_CLOCK_ERROR_MS
    monkeypatch.setattr(soak_input, "QUARTZ_PPM", 5000.0)  # faster than any time line follows
    done = play_day(model, music, RATE, hours=0.05)
    assert any("ms off" in line for line in done.verdict())


def test_events_that_pile_up_are_noticed() -> None:
    done = SoakResult(1.0, recorded_notes=1)
    assert done.verdict() == []
    assert replace(done, most_waiting_events=soak_session.MOST_WAITING + 1).verdict() == [
        "501 events piled up"
    ]


def test_a_crash_is_named(small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self) -> Status:
        raise ZeroDivisionError("nothing left")

    monkeypatch.setattr(soak_session.LiveSession, "status", broken)
    done = play_day(Transcriber.load(small, device="cpu"), music, RATE, hours=0.01)
    assert any("ZeroDivisionError: nothing left" in line for line in done.verdict())


def test_the_programme_has_everything_and_ends(music: np.ndarray) -> None:
    programme = Programme(music, RATE, 4000.0, np.random.default_rng(3))
    seen, ends, blocks = set(), 0, 0
    while (block := programme.next(RATE)) is not None:
        assert block.shape == (RATE // 2,) and block.dtype == np.float32
        seen.add(programme.section)
        ends += programme.ends_silence
        blocks += 1
    assert seen == {"silence", *soak_input.SECTIONS} and ends > 5
    assert blocks / 2 >= 4000


def test_the_device_reports_what_it_lost_and_keeps_what_nobody_read(music: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    clock = SimulatedClock()
    device = RoughInput(Programme(music, RATE, 600.0, rng), RATE, clock, rng)
    device.open()
    [first] = device.read(1.0)
    device.lose_s = 0.25
    [second] = device.read(1.0)
    assert second.lost_before == RATE // 4 and second.time_s == pytest.approx(first.end_s + 0.25)
    device.stall_s = 3.0
    piled = device.read(1.0)
    assert 5 <= len(piled) <= 8 and piled[-1].arrived_s <= clock.now() + 1e-9
    assert [block.time_s for block in piled[1:]] == pytest.approx([block.end_s for block in piled[:-1]])


@pytest.mark.slow
def test_the_session_ends_in_order_after_a_signal(music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_signals, "LISTENS_S", (2.4, 2.6))
    assert send_signals(2, music, RATE, SMALL, signals=("SIGTERM", "SIGKILL")) == {
        "SIGTERM": [],
        "SIGKILL": [],
    }


def test_recordings_that_are_missing_or_short_are_noticed(tmp_path: Path) -> None:
    midi, audio = tmp_path / "x.mid", tmp_path / "x.flac"
    assert "cannot be read" in soak_signals.complaints(midi, audio, 5.0)[0]
    write_midi([Note(0.1, 9.0, 60, 90)], midi)
    soundfile.write(audio, np.zeros(RATE), RATE)
    short, long = soak_signals.complaints(midi, audio, 5.0)
    assert "1.0 s of sound recorded of 5.0 s" in short and "lasts longer" in long
    assert len(soak_signals.complaints(midi, audio, 2.0)) == 1


@pytest.mark.slow
def test_the_command_ends_with_1_and_a_line_when_something_is_wrong(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = ["--checkpoint", str(small)]
    main(["--hours", "0.01", "--faults", "2", *weights, "--json", str(tmp_path / "soak.json")])
    figures = json.loads((tmp_path / "soak.json").read_text())
    assert figures["day"]["wrong"] == [] and figures["faults"]["wrong"] == []
    assert "notes stuck: 0" in capsys.readouterr().out
    held = iter(range(10, 10_000, 30))
    monkeypatch.setattr(soak_session, "rss_mib", lambda: float(next(held)))
    with pytest.raises(SystemExit, match="memory grew"):
        main(["--hours", "0.05", "--faults", "0", *weights])
