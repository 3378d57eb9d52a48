"""``hppnet evaluate``: latencies, predictions, conditions, mistakes, no piano, tables as files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, Press, write_midi
from hppnet.model.transcriber import Transcriber
from hppnet.offline.provenance import written_here

from .evaluation_parts import (
    ONSETS,
    SCALE,
    Clicks,
    hear_clicks,
    run,
    scores_of,
    shifted,
    two_recordings,
    write_clicks,
    write_labels,
)
from .sounds import three_notes

ALL = (*ONSETS, "onset_offset", "onset_offset_velocity", "frame")


@pytest.fixture
def clicks(monkeypatch) -> Clicks:
    return hear_clicks(monkeypatch)


@pytest.fixture
def folder(tmp_path) -> Path:
    return two_recordings(tmp_path / "recordings")


def predicted(folder: Path, notes: dict[str, list[Note]]) -> Path:
    out = folder.parent / "predictions"
    out.mkdir()
    for name, of_file in notes.items():
        write_midi(of_file, out / f"{name}.mid")
    return out


# --- predictions ---


def test_perfect_predictions_give_100_percent(folder):
    out = predicted(folder, {"a": SCALE, "b": SCALE[:9]})
    report = scores_of(folder, "--predictions", out)
    for scores in (report["mean"], *report["files"].values()):
        for name in ALL:
            assert scores[name] == {"p": 100, "r": 100, "f1": 100}, name
        assert scores["velocity_mae"] == scores["doubled_percent"] == 0
    assert all(interval == [100, 100] for interval in report["interval"].values())
    assert report["x_realtime"] is None and "checkpoint" not in report["settings"]


def test_empty_predictions_give_0_percent(folder):
    report = scores_of(folder, "--predictions", predicted(folder, {"a": [], "b": []}))
    for name in ALL:
        assert report["mean"][name] == {"p": 0, "r": 0, "f1": 0}, name


def test_predictions_30_ms_late_lose_10_and_20_ms_only(folder):
    out = predicted(folder, {"a": shifted(SCALE, 0.03), "b": shifted(SCALE[:9], 0.03)})
    mean = scores_of(folder, "--predictions", out)["mean"]
    lost = {name for name in ALL if mean[name]["f1"] == 0}
    assert lost == {"onset_10ms", "onset_20ms"}
    assert mean["onset_30ms"]["f1"] == mean["onset_50ms"]["f1"] == mean["onset_offset"]["f1"] == 100
    assert mean["frame"]["f1"] == pytest.approx(94)  # 3 of 50 instants at either end


def test_a_missing_prediction_is_named(folder):
    result = run(folder, "--predictions", predicted(folder, {"a": SCALE}), "--json", "-")
    assert result.exit_code == 1 and list(json.loads(result.stdout)["files"]) == ["a"]
    assert "b.wav: expected its transcription" in result.stderr and result.stderr.count("error:") == 1


def test_false_notes_of_predictions_are_per_minute_of_the_recording(tmp_path):
    """Whatever was predicted, and of as much of it as was asked for."""
    soundfile.write(tmp_path / "rain.wav", np.zeros(30 * 16_000), 16_000)
    soundfile.write(tmp_path / "wind.wav", np.zeros(90 * 16_000), 16_000)
    out = predicted(tmp_path / "noise", {"rain": SCALE[:2], "wind": []})
    quiet = ["--no-piano", tmp_path / "rain.wav", "--no-piano", tmp_path / "wind.wav"]
    report = scores_of("--predictions", out, *quiet)["no_piano"]
    assert report["files"] == {"rain": 4, "wind": 0} and report["false_per_minute"] == 1
    first = scores_of("--predictions", out, *quiet, "--first-seconds", 2)["no_piano"]
    assert first["files"] == {"rain": 30, "wind": 0} and first["false_per_minute"] == 15


def test_predictions_with_the_pedal_have_it_scored(folder):
    """In every file, also where the program finds no press; if it finds none in any, it may not look."""
    presses = [Press(1.2, 2.4), Press(3.2, 4.4)]
    for name, played in (("a", SCALE), ("b", SCALE[:9])):
        write_midi(played, folder / f"{name}.mid", presses)
        (folder / f"{name}.tsv").unlink()
    out = predicted(folder, {"a": SCALE, "b": SCALE[:9]})
    assert "pedal" not in scores_of(folder, "--predictions", out)
    write_midi(SCALE, out / "a.mid", presses)
    files = scores_of(folder, "--predictions", out)["pedal"]["files"]
    assert [files[name]["down"]["f1"] for name in "ab"] == [100, 0]
    (out / "b.mid").write_bytes(b"no MIDI")
    result = run(folder, "--predictions", out, "--first-seconds", 3, "--json", "-")
    assert result.exit_code == 1 and "b.mid: expected a MIDI file" in result.stderr
    assert json.loads(result.stdout)["pedal"]["files"]["a"]["up"] == {"p": 100, "r": 100, "f1": 100}


# --- several runs ---


def test_all_latencies_are_a_table_a_plot_and_runs_in_json(clicks, folder, tmp_path):
    out = tmp_path / "out.png"
    result = run(folder, "--latency", "all", "--plot", out, "--json", tmp_path / "a.json")
    assert result.exit_code == 0 and out.read_bytes().startswith(b"\x89PNG") and written_here(out)
    names = [f"hppnet {ms} ms" for ms in range(52, 213, 20)] + ["hppnet"]
    runs = json.loads((tmp_path / "a.json").read_text())["runs"]
    assert list(runs) == names and all(name in result.stdout for name in names)
    for figures in runs.values():
        assert figures["mean"]["onset_50ms"]["p"] == 95 and list(figures["files"]) == ["a", "b"]
        assert figures["x_realtime"] > 0


def test_each_latency_is_what_streaming_gives(transcriber, monkeypatch, tmp_path):
    """The sound is read once for all of them: each must still hear all of it."""
    monkeypatch.setattr(Transcriber, "load", lambda checkpoint, device: transcriber)
    write_three(tmp_path)
    runs = scores_of(tmp_path, "--latency", "all", "--plot", tmp_path / "a.png")["runs"]
    for ms in (52, 212):
        alone = scores_of(tmp_path, "--streaming", "--latency", ms)
        assert runs[f"hppnet {ms} ms"]["mean"] == alone["mean"]
    assert runs["hppnet"]["mean"] == scores_of(tmp_path)["mean"]


def test_predictions_beside_hppnet_in_one_table(clicks, folder):
    out = predicted(folder, {"a": SCALE, "b": SCALE[:5]})
    result = run(folder, "--predictions", out, "--model", "hppnet")
    assert result.exit_code == 0
    scores = result.stdout.partition("to download")[0]
    rows = {line.split()[0]: line for line in scores.splitlines() if line.strip()}
    assert "97.4" in rows["hppnet"] and "85.7" in rows["predictions"]
    assert "non-commercial" in result.stdout  # what the weights may be used for


# --- mistakes, no piano, files ---


def test_errors_are_a_table_a_picture_and_json(clicks, folder, tmp_path):
    write_labels(folder / "a.tsv", [*SCALE, Note(3.0, 3.5, 40, 20)])
    options = ["--errors", "--plot", tmp_path / "e.png", "--json", tmp_path / "e.json"]
    result = run(folder, *options)
    assert result.exit_code == 0 and (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert written_here(tmp_path / "e.png") and written_here(tmp_path / "e.json")
    assert "which notes are missed and invented" in result.stdout and "E2-B2" not in result.stdout
    errors = json.loads((tmp_path / "e.json").read_text())["errors"]
    assert errors["key"]["40"] == {"played": 1, "missed": 1, "heard": 0, "invented": 0}
    assert errors["key"]["69"] == {"played": 1, "missed": 0, "heard": 2, "invented": 1}
    assert errors["velocity"]["16-31"]["missed"] == 1


def test_pictures_have_a_name_of_their_own(clicks, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(folder, "--errors")
    assert (tmp_path / "evaluate-errors.png").exists() and "evaluate-errors.png" in result.stderr


def test_false_notes_a_minute_without_piano(clicks, folder, tmp_path):
    (tmp_path / "noise").mkdir()
    write_clicks(tmp_path / "noise" / "speech.wav", SCALE)  # ten notes in 10.6 s
    soundfile.write(tmp_path / "rain.wav", np.zeros(32_000), 16_000)
    quiet = ["--no-piano", tmp_path / "noise", "--no-piano", tmp_path / "rain.wav"]
    report = scores_of(folder, *quiet)
    length_s = soundfile.info(tmp_path / "noise" / "speech.wav").duration
    assert report["no_piano"]["files"] == {"rain": 0, "speech": pytest.approx(600 / length_s)}
    assert report["no_piano"]["false_per_minute"] == pytest.approx(600 / (length_s + 2))
    assert (report["no_piano"]["false_notes"], report["no_piano"]["with_false_notes"]) == (10, 1)
    assert list(report["files"]) == ["a", "b"] and report["mean"]["onset_50ms"]["p"] == 95
    alone = run(*quiet)
    tables, caption, _ = alone.stdout.partition("clicks, full context")
    assert alone.exit_code == 0 and "in all" in tables and "onset" not in tables and caption


def test_beginnings_amid_noise_are_the_same_every_time(clicks, tmp_path):
    """Each is two seconds long, at a place that a seed decides; what was before it is not heard."""
    for name, silent_s in (("speech", 0.0), ("later", 20.0)):
        notes = shifted(SCALE, silent_s)
        (tmp_path / "noise").mkdir(exist_ok=True)
        write_clicks(tmp_path / "noise" / f"{name}.wav", notes)
    soundfile.write(tmp_path / "noise" / "short.wav", np.zeros(16_000), 16_000)
    options = ("--no-piano", tmp_path / "noise", "--starts", 40)
    first, again = (json.loads(run(*options, "--json", "-").stdout) for _ in range(2))
    found = first["no_piano"]
    assert first == again | {name: first[name] for name in ("x_realtime", "peak_mib")}
    assert len(found["files"]) == 40 and not any(name.startswith("short") for name in found["files"])
    assert 0 < found["with_false_notes"] < 40 and found["false_notes"] >= found["with_false_notes"]
    for name, per_minute in found["files"].items():
        begin_s = float(name.split()[-2]) - (20 if name.startswith("later") else 0)
        inside = sum(begin_s <= note.onset_s < begin_s + 2 for note in SCALE)
        assert per_minute == pytest.approx(30 * inside), name
    assert first["settings"]["starts"] == 40
    assert "with a note, of 40" in run(*options).stdout


def test_beginnings_need_recordings_that_are_long_enough(clicks, folder, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(16_000), 16_000)
    short = run("--no-piano", tmp_path / "short.wav", "--starts", 3)
    assert short.exit_code == 1 and "of 2 s at least, found shorter ones only" in short.stderr
    without = run(folder, "--starts", 3)
    assert without.exit_code == 2 and "--starts needs --no-piano PATH" in without.stderr


def test_csv_has_a_row_a_file_and_the_mean(clicks, folder, tmp_path):
    soundfile.write(tmp_path / "rain.wav", np.zeros(32_000), 16_000)
    result = run(folder, "--csv", tmp_path / "scores.csv", "--no-piano", tmp_path / "rain.wav")
    assert result.exit_code == 0
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["a", "b", "rain", "mean"]
    assert [row["onset_50ms_p"] for row in rows] == ["100.0000", "90.0000", "", "95.0000"]
    assert rows[2]["false_per_minute"] == rows[3]["false_per_minute"] == "0.0000"


def test_the_mean_has_an_interval(clicks, folder):
    report = scores_of(folder)
    a, b = (report["files"][name]["onset_50ms"]["f1"] for name in "ab")
    assert report["interval"]["onset_50ms"] == [pytest.approx(b), pytest.approx(a)]
    assert "95 % from" in run(folder).stdout
    (folder / "b.wav").unlink()
    assert json.loads(run(folder, "--json", "-").stdout)["interval"]["onset_50ms"] is None


# --- conditions ---


def write_three(folder: Path) -> None:
    soundfile.write(folder / "three.wav", three_notes(), 16_000)
    labels = [Note(onset_s, 1.4, pitch, 0) for onset_s, pitch in ((0.2, 60), (0.5, 64), (0.8, 67))]
    write_labels(folder / "three.tsv", labels)


def test_labels_stay_true_under_conditions(shipped, monkeypatch, tmp_path):
    monkeypatch.setattr(Transcriber, "load", lambda checkpoint, device: shipped)
    write_three(tmp_path)
    for place in ("rooms", "noise"):
        (tmp_path / place).mkdir()
    response = np.zeros(2000)
    response[[16, 500]] = 0.9, 0.2
    soundfile.write(tmp_path / "rooms" / "room.wav", response, 16_000)
    hiss = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    soundfile.write(tmp_path / "noise" / "hiss.wav", hiss, 16_000)
    for options in (
        (),
        ("--detune", -40),
        ("--rooms", tmp_path / "rooms"),
        ("--noise", tmp_path / "noise", "--snr", 30),
        ("--gain", -12),
    ):
        assert scores_of(tmp_path, *options)["mean"]["onset_20ms"]["r"] == 100, options
    drowned = scores_of(tmp_path, "--noise", tmp_path / "noise", "--snr", -40)
    assert drowned["mean"]["onset_20ms"]["r"] < 100
    assert drowned["settings"]["conditions"]["snr_db"] == -40
