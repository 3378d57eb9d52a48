"""What ``bench live`` measures with, and that it notices what is wrong."""

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
from hppnet.realtime.bench import impulse_latency_ms, make_task, steps_s
from hppnet.realtime.bench_notes import make_test_piece, matched, onset_delays, onset_f1
from hppnet.realtime.bench_round_trip import RoundTrip, compare, play_in_process

from .sounds import TONE_WEIGHTS, piano_like

RATE = 48_000
SMALL = ["--checkpoint", str(TONE_WEIGHTS)]


# --- who belongs to whom ---


def test_each_note_is_used_once_and_only_within_the_window() -> None:
    played = [(1.0, 60), (1.1, 60), (2.0, 64), (3.0, 67)]
    found = [(1.02, 60), (2.2, 64), (3.0, 66), (1.12, 60)]
    assert matched(played, found, -0.05, 0.05) == [(0, 0), (1, 3)]
    assert matched(played, found, 0.0, 0.3) == [(0, 0), (1, 3), (2, 1)]
    assert matched(played, [(1.1, 60)], -0.05, 0.05) == [(1, 0)]


def test_as_many_pairs_as_possible_are_found() -> None:
    assert matched([(1.0, 60), (1.04, 60)], [(1.0, 60), (0.96, 60)], -0.05, 0.05) == [(0, 1), (1, 0)]


def test_f1_counts_onsets_within_50_ms() -> None:
    played = [(1.0, 60), (2.0, 60)]
    assert onset_f1(played, played) == 100
    assert onset_f1(played, [(1.04, 60)]) == pytest.approx(200 / 3)
    assert onset_f1(played, [(1.06, 60), (2.0, 61)]) == 0
    assert onset_f1([], []) == 100 and onset_f1([], played) == 0


def test_delay_and_jitter_are_median_and_standard_deviation() -> None:
    onsets = np.arange(200) * 0.3
    shift = 0.15 + 0.004 * np.resize([1, -1], 200)
    found = onset_delays([(t, 60) for t in onsets], [(t + d, 60) for t, d in zip(onsets, shift, strict=True)])
    assert found.median_ms == pytest.approx(150, abs=4.1)
    assert found.jitter_ms == pytest.approx(4.0)


def test_a_late_note_counts_as_late_not_as_its_successor() -> None:
    played = [(t, 60) for t in np.arange(40) * 0.25]
    arrived = [(t + (0.3 if number == 20 else 0.15), 60) for number, (t, _) in enumerate(played)]
    found = onset_delays(played, arrived)
    assert len(found.delays_s) == 40
    assert sorted(found.delays_s)[-1] == pytest.approx(0.3) and found.median_ms == pytest.approx(150)


def test_nothing_that_came_back_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 1 notes"):
        onset_delays([(1.0, 60)], [(5.0, 60)])


# --- a round trip and its times ---


def trip(**changes) -> RoundTrip:
    """Three cycles of 480 samples; the machine paused 90 ms before the third."""
    cycles = np.array([[0, 100.0], [480, 100.01], [960, 100.11]])
    received = np.array(
        [[100.2, 0x90, 60, 90], [100.3, 0x90, 60, 0], [100.4, 0x80, 61, 64], [100.5, 0xB0, 64, 0]]
    )
    return replace(RoundTrip(cycles, received, RATE, 480, 1.0, 0, ""), **changes)


def test_a_moment_is_as_old_as_its_place_in_the_block_says() -> None:
    assert trip().wall_s(np.array([0.0, 0.005, 0.01, 0.02])) == pytest.approx([99.99, 99.995, 100.0, 100.1])


def test_the_wall_clock_maps_back_to_the_sound() -> None:
    times_s = np.array([0.0, 0.01, 0.02])
    assert trip().sound_s(trip().wall_s(times_s)) == pytest.approx(times_s)


def test_events_come_from_the_bytes_received() -> None:
    assert trip().events() == [
        NoteOn(100.2, 60, 90),
        NoteOff(100.3, 60),
        NoteOff(100.4, 61),
        Pedal(100.5, False),
    ]


# --- the test piece ---


def test_the_test_piece_is_the_same_every_time_and_its_notes_are_in_it() -> None:
    sound, notes = make_test_piece(6, RATE)
    again, _ = make_test_piece(6, RATE)
    assert np.array_equal(sound, again) and sound.dtype == np.float32 and len(sound) == 6 * RATE
    assert np.abs(sound).max() == pytest.approx(0.5)
    assert len(notes) > 20 and notes == sorted(notes)
    first = notes[0].onset_s
    assert np.abs(sound[: int(first * RATE)]).max() == 0 < np.abs(sound[: int((first + 0.01) * RATE)]).max()


# --- bench live ---


def test_the_impulse_measures_the_latency_that_is_reported(transcriber: Transcriber) -> None:
    for latency_ms in (52, 132):
        reported = 1000 * transcriber.stream(latency_ms, RATE).latency_s
        assert impulse_latency_ms(transcriber, latency_ms) == pytest.approx(reported, abs=1.0)


def test_the_engine_is_timed_in_steps_of_20_ms(small: Path) -> None:
    task = make_task(Transcriber.load(small, device="cpu"), 5.0)
    assert len(steps_s(task)) == 250


def test_a_round_trip_in_this_process_brings_every_note_back(transcriber: Transcriber) -> None:
    played = [Note(0.5 + 0.3 * i, 1.0 + 0.3 * i, 50 + (5 * i) % 30, 80) for i in range(10)]
    sound = piano_like({note.onset_s: note.pitch for note in played}, 4.0, RATE)
    back = play_in_process(transcriber, 132, sound, RATE)
    streamed = transcriber.transcribe_blocks([sound], RATE, latency_ms=132).notes
    notes = compare(back, played, streamed)["notes"]
    assert notes == {"played": 10, "arrived": 10, "streaming": 10}
    # When they arrive is the machine's business; which notes, and in which order, is not.
    arrived = [event.pitch for event in back.events() if isinstance(event, NoteOn)]
    assert arrived == [note.pitch for note in streamed] == [note.pitch for note in played]
    assert back.received[-2:, 1:].tolist() == [[0xB0, 64, 0], [0xB0, 123, 0]]


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_figures(
    tmp_path: Path,
) -> None:
    played = [Note(0.5 + 0.3 * i, 1.0 + 0.3 * i, 50 + (5 * i) % 30, 80) for i in range(14)]
    soundfile.write(tmp_path / "x.wav", piano_like({n.onset_s: n.pitch for n in played}, 5.0, RATE), RATE)
    write_midi(played, tmp_path / "x.mid")
    recording = ["--recording", str(tmp_path / "x.wav"), "--notes", str(tmp_path / "x.mid")]
    options = ["--seconds", "5", *SMALL, *recording, "--json", str(tmp_path / "live.json")]
    done = CliRunner().invoke(app, ["bench", "live", *options])
    assert done.exit_code == 0, done.output
    for words in ("algorithmic latency", "jitter", "onset to note-on", "a session in this process"):
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
    from hppnet.commands.bench_live import _recording

    soundfile.write(tmp_path / "x.wav", np.zeros(44_100), 44_100)
    write_midi([Note(0.1, 0.5, 60, 90)], tmp_path / "x.mid")
    sound, notes = _recording(tmp_path / "x.wav", tmp_path / "x.mid")
    assert len(sound) == pytest.approx(RATE, abs=2) and [note.pitch for note in notes] == [60]
