"""What ``bench live`` and ``bench soak`` measure with, and that they notice what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.notes import Note, NoteOff, NoteOn, Pedal, write_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime import bench, jack, soak, soak_input, soak_signals
from hppnet.realtime.arrivals import delays, matched, onset_f1
from hppnet.realtime.clock import SimulatedClock
from hppnet.realtime.jack import JackError, parse_ports
from hppnet.realtime.journey import Journey
from hppnet.realtime.piece import piece
from hppnet.realtime.ports import MidiOutput
from hppnet.realtime.soak_input import Programme, RoughInput
from hppnet.realtime.soak_signals import strike
from hppnet.realtime.status import Status
from hppnet.realtime.synth import Synth

from .sounds import TONE_WEIGHTS, piano_like

RATE = 48_000
SMALL = ["--checkpoint", str(TONE_WEIGHTS)]


# --- who belongs to whom ---


def test_each_note_is_used_once_and_only_within_the_window() -> None:
    played = [(1.0, 60), (1.1, 60), (2.0, 64), (3.0, 67)]
    heard = [(1.02, 60), (2.2, 64), (3.0, 66), (1.12, 60)]
    assert matched(played, heard, -0.05, 0.05) == [(0, 0), (1, 3)]
    assert matched(played, heard, 0.0, 0.3) == [(0, 0), (1, 3), (2, 1)]
    assert matched(played, [(1.1, 60)], -0.05, 0.05) == [(1, 0)]


def test_as_many_pairs_as_possible() -> None:
    assert matched([(1.0, 60), (1.04, 60)], [(1.0, 60), (0.96, 60)], -0.05, 0.05) == [(0, 1), (1, 0)]


def test_f1() -> None:
    played = [(1.0, 60), (2.0, 60)]
    assert onset_f1(played, played) == 100
    assert onset_f1(played, [(1.04, 60)]) == pytest.approx(200 / 3)
    assert onset_f1(played, [(1.06, 60), (2.0, 61)]) == 0
    assert onset_f1([], []) == 100 and onset_f1([], played) == 0


def test_delay_and_jitter() -> None:
    onsets = np.arange(200) * 0.3
    shift = 0.15 + 0.004 * np.resize([1, -1], 200)
    found = delays([(t, 60) for t in onsets], [(t + d, 60) for t, d in zip(onsets, shift, strict=True)])
    assert found.median_ms == pytest.approx(150, abs=4.1)
    assert found.jitter_ms == pytest.approx(4.0)


def test_a_late_note_counts_as_late_not_as_its_successor() -> None:
    played = [(t, 60) for t in np.arange(40) * 0.25]
    arrived = [(t + (0.3 if number == 20 else 0.15), 60) for number, (t, _) in enumerate(played)]
    found = delays(played, arrived)
    assert len(found.delays_s) == 40
    assert sorted(found.delays_s)[-1] == pytest.approx(0.3) and found.median_ms == pytest.approx(150)


def test_nothing_that_came_back_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 1 notes"):
        delays([(1.0, 60)], [(5.0, 60)])


# --- a journey and its times ---


def journey(**changes) -> Journey:
    """Three cycles of 480 samples; the machine paused 90 ms before the third."""
    cycles = np.array([[0, 100.0], [480, 100.01], [960, 100.11]])
    received = np.array(
        [[100.2, 0x90, 60, 90], [100.3, 0x90, 60, 0], [100.4, 0x80, 61, 64], [100.5, 0xB0, 64, 0]]
    )
    return replace(Journey(cycles, received, RATE, 480, 1.0, 0, ""), **changes)


def test_a_moment_is_as_old_as_its_place_in_the_block_says() -> None:
    assert journey().wall_s(np.array([0.0, 0.005, 0.01, 0.02])) == pytest.approx(
        [99.99, 99.995, 100.0, 100.1]
    )


def test_the_way_back_from_the_wall_clock() -> None:
    times_s = np.array([0.0, 0.01, 0.02])
    assert journey().sound_s(journey().wall_s(times_s)) == pytest.approx(times_s)


def test_events_from_bytes() -> None:
    assert journey().events() == [
        NoteOn(100.2, 60, 90),
        NoteOff(100.3, 60),
        NoteOff(100.4, 61),
        Pedal(100.5, False),
    ]


def test_ports_of_jack_lsp() -> None:
    listing = "system:capture_1\n   live:in_0\n   live:in_1\nlive:in_0\n   system:capture_1\n\n"
    assert parse_ports(listing) == {
        "system:capture_1": ["live:in_0", "live:in_1"],
        "live:in_0": ["system:capture_1"],
    }


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("jackd", "echo jackdmp 1.9; echo no room; exit 1"), ("jack_lsp", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(JackError, match=r"did not start: no room$"), jack.JackServer():
        pass


def test_a_name_that_is_taken_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jackd").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "jack_lsp").write_text("#!/bin/sh\nexit 0\n")
    for name in ("jackd", "jack_lsp"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(JackError, match="hppnet-0 is in use"), jack.JackServer():
        pass
    assert not (tmp_path / "started").exists()


# --- the piece ---


def test_the_piece_is_the_same_every_time_and_its_notes_are_in_it() -> None:
    sound, notes = piece(6, RATE)
    again, _ = piece(6, RATE)
    assert np.array_equal(sound, again) and sound.dtype == np.float32 and len(sound) == 6 * RATE
    assert np.abs(sound).max() == pytest.approx(0.5)
    assert len(notes) > 20 and notes == sorted(notes)
    first = notes[0].onset_s
    assert np.abs(sound[: int(first * RATE)]).max() == 0 < np.abs(sound[: int((first + 0.01) * RATE)]).max()


# --- bench live ---


def test_the_impulse_measures_the_latency_that_is_reported(transcriber: Transcriber) -> None:
    for latency_ms in (52, 132):
        reported = 1000 * transcriber.stream(latency_ms, RATE).latency_s
        assert bench.impulse_latency_ms(transcriber, latency_ms) == pytest.approx(reported, abs=1.0)


def test_the_engine_is_timed_in_steps_of_20_ms(small: Path) -> None:
    task = bench.task(Transcriber.load(small, device="cpu"), 5.0)
    assert len(bench.steps_s(task)) == 250


def test_a_journey_inside_this_process(transcriber: Transcriber) -> None:
    played = [Note(0.5 + 0.3 * i, 1.0 + 0.3 * i, 50 + (5 * i) % 30, 80) for i in range(10)]
    sound = piano_like({note.onset_s: note.pitch for note in played}, 4.0, RATE)
    there_and_back = bench.travel_inside(transcriber, 132, sound, RATE)
    streamed = transcriber.transcribe_blocks([sound], RATE, latency_ms=132).notes
    notes = bench.compare(there_and_back, played, streamed)["notes"]
    assert notes == {"played": 10, "arrived": 10, "streaming": 10}
    # When they arrive is the machine's business; which notes, and in which order, is not.
    arrived = [event.pitch for event in there_and_back.events() if isinstance(event, NoteOn)]
    assert arrived == [note.pitch for note in streamed] == [note.pitch for note in played]
    assert there_and_back.received[-2:, 1:].tolist() == [[0xB0, 64, 0], [0xB0, 123, 0]]


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jack, "missing", lambda: "jackd is not installed")
    played = [Note(0.5 + 0.3 * i, 1.0 + 0.3 * i, 50 + (5 * i) % 30, 80) for i in range(14)]
    soundfile.write(tmp_path / "x.wav", piano_like({n.onset_s: n.pitch for n in played}, 5.0, RATE), RATE)
    write_midi(played, tmp_path / "x.mid")
    recording = ["--recording", str(tmp_path / "x.wav"), "--notes", str(tmp_path / "x.mid")]
    options = ["--seconds", "5", *SMALL, *recording, "--json", str(tmp_path / "live.json")]
    done = CliRunner().invoke(app, ["bench", "live", *options])
    assert done.exit_code == 0, done.output
    for words in ("algorithmic latency", "jitter", "onset to note-on", "jackd is not installed"):
        assert words in " ".join(done.output.split())
    figures = json.loads((tmp_path / "live.json").read_text())
    assert set(figures) == {
        *("program", "algorithmic_latency_ms", "compute_ms", "end_to_end_ms"),
        *("jitter_ms", "f1_gap", "startup_s", "detail"),
    }
    assert set(figures["algorithmic_latency_ms"]) == {"smallest", "default"}
    assert set(figures["compute_ms"]) == {"median", "p99"}
    assert set(figures["end_to_end_ms"]) == {"median", "p99", "smallest_median"}
    assert figures["algorithmic_latency_ms"]["default"] == pytest.approx(132.6, abs=0.5)
    assert figures["startup_s"] > 0


def test_a_recording_needs_its_notes(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(100), RATE)
    done = CliRunner().invoke(app, ["bench", "live", "--recording", str(tmp_path / "x.wav")])
    assert done.exit_code == 2


def test_a_recording_at_another_rate_is_measured_at_the_benchmarks(tmp_path: Path) -> None:
    from hppnet.commands.bench import _recording

    soundfile.write(tmp_path / "x.wav", np.zeros(44_100), 44_100)
    write_midi([Note(0.1, 0.5, 60, 90)], tmp_path / "x.mid")
    sound, notes = _recording(tmp_path / "x.wav", tmp_path / "x.mid")
    assert len(sound) == pytest.approx(RATE, abs=2) and [note.pitch for note in notes] == [60]


# --- soak ---


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return piece(20, RATE)[0]


@pytest.mark.slow
def test_a_few_minutes_of_a_day(transcriber: Transcriber, music: np.ndarray) -> None:
    done = soak.day(transcriber, music, RATE, hours=0.05)
    assert done.verdict() == []
    assert done.notes > 100 and done.recorded_notes == done.notes and len(done.memory_mib) >= 5


@pytest.mark.slow
def test_some_faults_of_every_kind(transcriber: Transcriber, music: np.ndarray) -> None:
    done = soak.faults(transcriber, music, RATE, 60)
    assert done.verdict() == []
    assert sum(done.faults.values()) == 60 and len(done.faults) == 10
    assert done.recorded_s is not None and done.recorded_s > 60 and done.notes > 50


@pytest.mark.long
def test_a_day(transcriber: Transcriber) -> None:
    assert soak.day(transcriber, piece(60, RATE)[0], RATE, hours=24).verdict() == []


@pytest.mark.long
def test_a_thousand_faults(transcriber: Transcriber, music: np.ndarray) -> None:
    done = soak.faults(transcriber, music, RATE, 980)
    assert done.verdict() == [] and sum(done.faults.values()) == 980
    assert strike(20, music, RATE) == {name: [] for name in soak_signals.SIGNALS}


@pytest.mark.slow
def test_faults_are_the_same_every_time(small: Path, music: np.ndarray) -> None:
    model = Transcriber.load(small, device="cpu")
    one, two, other = (soak.faults(model, music, RATE, 4, seed=seed).faults for seed in (1, 1, 2))
    assert one == two != other


@pytest.mark.slow
def test_a_note_that_is_never_ended_is_noticed(
    transcriber: Transcriber, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MidiOutput, "note_off", lambda self, pitch: None)
    done = soak.day(transcriber, music, RATE, hours=0.01)
    assert any("stuck" in line for line in done.verdict())


@pytest.mark.slow
def test_a_key_struck_while_down_is_noticed(
    transcriber: Transcriber, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Synth.send
    monkeypatch.setattr(Synth, "send", lambda self, message: [send(self, message), send(self, message)][0])
    done = soak.day(transcriber, music, RATE, hours=0.01)
    assert any("while down" in line for line in done.verdict())


@pytest.mark.slow
def test_memory_that_grows_is_noticed(
    small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = iter(range(10, 10_000, 10))
    monkeypatch.setattr(soak, "rss_mib", lambda: float(next(held)))
    done = soak.day(Transcriber.load(small, device="cpu"), music, RATE, hours=0.05)
    assert any("memory grew" in line for line in done.verdict())


@pytest.mark.slow
def test_time_that_creeps_is_noticed(small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Transcriber.load(small, device="cpu")
    assert soak.day(model, music, RATE, hours=0.05).most_clock_error_ms < soak.MOST_CLOCK_ERROR_MS
    monkeypatch.setattr(soak_input, "QUARTZ_PPM", 5000.0)  # faster than any time line follows
    done = soak.day(model, music, RATE, hours=0.05)
    assert any("ms off" in line for line in done.verdict())


def test_events_that_pile_up_are_noticed() -> None:
    done = soak.Soak(1.0, recorded_notes=1)
    assert done.verdict() == []
    assert replace(done, most_waiting_events=soak.MOST_WAITING + 1).verdict() == ["501 events piled up"]


def test_a_crash_is_named(small: Path, music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self) -> Status:
        raise ZeroDivisionError("nothing left")

    monkeypatch.setattr(soak.LiveSession, "status", broken)
    done = soak.day(Transcriber.load(small, device="cpu"), music, RATE, hours=0.01)
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


def test_the_device_tells_what_it_lost_and_piles_up_what_nobody_read(music: np.ndarray) -> None:
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
def test_the_session_leaves_well_after_a_signal(music: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_signals, "LISTENS_S", (2.4, 2.6))
    assert strike(2, music, RATE, SMALL, signals=("SIGTERM", "SIGKILL")) == {"SIGTERM": [], "SIGKILL": []}


def test_recordings_that_are_missing_or_short_are_noticed(tmp_path: Path) -> None:
    midi, audio = tmp_path / "x.mid", tmp_path / "x.flac"
    assert "cannot be read" in soak_signals.complaints(midi, audio, 5.0)[0]
    write_midi([Note(0.1, 9.0, 60, 90)], midi)
    soundfile.write(audio, np.zeros(RATE), RATE)
    short, long = soak_signals.complaints(midi, audio, 5.0)
    assert "1.0 s of sound recorded of 5.0 s" in short and "lasts longer" in long
    assert len(soak_signals.complaints(midi, audio, 2.0)) == 1


@pytest.mark.slow
def test_soak_as_a_command(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["bench", "soak", "--hours", "0.01", "--faults", "2", "--checkpoint", str(small)]
    done = CliRunner().invoke(app, [*arguments, "--json", str(tmp_path / "soak.json")])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "soak.json").read_text())
    assert figures["day"]["wrong"] == [] and figures["faults"]["wrong"] == []
    assert "notes stuck: 0" in done.output
    held = iter(range(10, 10_000, 30))
    monkeypatch.setattr(soak, "rss_mib", lambda: float(next(held)))
    done = CliRunner().invoke(
        app, ["bench", "soak", "--hours", "0.05", "--faults", "0", "--checkpoint", str(small)]
    )
    assert done.exit_code == 1 and "memory grew" in done.output
