"""The command ``hppnet evaluate`` on recordings with labels."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from hppnet.model.checkpoint import save
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.model.notes import write_midi

from .evaluation_parts import (
    HEADER,
    ONSETS,
    SCALE,
    Clicks,
    hear_clicks,
    run,
    scores_of,
    two_recordings,
    unknown,
    write_clicks,
    write_labels,
)


@pytest.fixture
def clicks(monkeypatch) -> Clicks:
    return hear_clicks(monkeypatch)


@pytest.fixture
def folder(tmp_path) -> Path:
    return two_recordings(tmp_path / "recordings")


def test_json_has_every_score_of_every_file_and_their_mean(clicks, folder):
    report = scores_of(folder)
    assert list(report["files"]) == ["a", "b"] and not report["failed"]
    names = [*ONSETS, "onset_offset", "onset_offset_velocity", "frame"]
    for scores in (report["mean"], *report["files"].values()):
        assert list(scores) == [*names, "velocity_mae", "doubled_percent"]
        assert all(set(scores[name]) == {"p", "r", "f1"} for name in names)
    assert report["files"]["a"]["onset_50ms"] == {"p": 100.0, "r": 100.0, "f1": 100.0}
    assert report["files"]["b"]["onset_50ms"]["p"] == 90.0
    assert report["mean"]["onset_50ms"] == {"p": 95.0, "r": 100.0, "f1": pytest.approx((100 + 1800 / 19) / 2)}
    assert report["settings"]["checkpoint"] == "clicks" and report["settings"]["note_ends"] == "keys"
    assert report["settings"]["latency_ms"] is None


def test_table_and_json_file(clicks, folder, tmp_path):
    result = run(folder, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0
    assert "mean of 2" in result.stdout and "full context" in result.stdout and "97.4" in result.stdout
    assert json.loads((tmp_path / "scores.json").read_text())["mean"]["onset_50ms"]["p"] == 95.0


def test_first_seconds_cut_sound_and_labels(clicks, folder):
    # Four of ten notes begin before 4.2 s; the last sounds until then.
    report = scores_of(folder, "--first-seconds", 4.2)
    for scores in report["files"].values():
        for name in ("onset_50ms", "onset_offset", "frame"):
            assert scores[name] == {"p": 100, "r": 100, "f1": 100}, name


def test_streaming_and_thresholds_reach_the_transcriber(clicks, folder):
    report = scores_of(folder, "--streaming", "--latency", "fast", "--onset-threshold", 0.3)
    assert clicks.latency_ms == pytest.approx(52) and report["settings"]["latency_ms"] == pytest.approx(52)
    assert report["settings"]["thresholds"]["onset"] == clicks.config.decoder.onset == 0.3
    scores_of(folder, "--streaming")
    assert clicks.latency_ms == pytest.approx(132)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streaming", "--latency", "60"], "52, 72, 92"),
        (["--latency", "132"], "--streaming"),
        (["--onset-threshold", "1"], "between 0 and 1"),
        (["--json", "/nowhere/at/all.json"], "no such folder"),
    ],
)
def test_wrong_use(clicks, folder, arguments, message):
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_bad_files_are_named_and_the_others_go_on(clicks, folder):
    (folder / "lonely.tsv").write_text(HEADER)
    write_clicks(folder / "unlabelled.wav", SCALE)
    write_clicks(folder / "wrong.wav", SCALE)
    (folder / "wrong.tsv").write_text("begin\tend\n")
    write_labels(folder / "broken.tsv", SCALE)
    (folder / "broken.wav").write_text("not sound")
    write_labels(folder / "twice.tsv", SCALE)
    write_clicks(folder / "twice.wav", SCALE)
    write_clicks(folder / "twice.aiff", SCALE)
    (folder / "README.md").write_text("neither sound nor labels")
    result = run(folder, "--json", "-")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert list(report["files"]) == ["a", "b"]
    assert sorted(report["failed"]) == ["broken", "lonely", "twice", "unlabelled", "wrong"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 5
    expected = ("lonely.tsv has no recording", "unlabelled.wav has no labels", "expected the columns")
    for words in (*expected, "broken.wav", "twice.aiff and twice.wav"):
        assert sum(words in line for line in errors) == 1, words


def test_a_folder_without_pairs(clicks, tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1 and "found none" in result.stderr
    assert run(tmp_path / "nowhere").exit_code == 2


def test_a_checkpoint_that_is_none(tmp_path, folder):
    (tmp_path / "bad.safetensors").write_bytes(b"12345678")
    result = run(folder, "--checkpoint", tmp_path / "bad.safetensors")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and "bad.safetensors" in result.stderr


def test_unknown_velocities_are_null(clicks, folder):
    write_labels(folder / "a.tsv", unknown(SCALE))
    report = scores_of(folder)
    a, b = report["files"]["a"], report["files"]["b"]
    assert a["onset_offset_velocity"] is None and a["velocity_mae"] is None
    assert report["mean"]["velocity_mae"] == b["velocity_mae"] > 0


def test_midi_files_serve_as_labels_where_there_is_no_table(clicks, folder):
    write_midi(SCALE, folder / "a.mid")  # the table has all notes too: which was read?
    write_labels(folder / "a.tsv", SCALE[:5])
    write_midi(SCALE[:6], folder / "b.mid")
    (folder / "b.tsv").unlink()
    report = scores_of(folder)
    assert report["files"]["a"]["onset_50ms"]["p"] == 50
    assert report["files"]["b"]["onset_50ms"]["p"] == 60


def test_without_mir_eval_the_extra_is_named(monkeypatch, folder):
    for module in ("task", "runs", "scores"):
        monkeypatch.delitem(sys.modules, f"hppnet.training.evaluate.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "mir_eval", None)
    result = run(folder)
    assert result.exit_code == 1
    assert result.stderr.strip().count("\n") == 0 and "hppnet[train]" in result.stderr


def test_several_processes_give_the_same_scores(tmp_path, folder):
    checkpoint = tmp_path / "small.safetensors"
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2))
    torch.manual_seed(0)
    network = HPPNet(config.network)
    network.bias.data[:] = torch.tensor([-1.0, 1.0, -1.0])
    save(checkpoint, network, config)
    # Thresholds low enough for a network that has learned nothing to hear something.
    options = ["--checkpoint", checkpoint, "--first-seconds", 3, "--onset-threshold", 0.05]
    options += ["--frame-threshold", 0.01]
    alone = scores_of(folder, *options)
    assert alone["mean"]["frame"]["p"] > 0
    shared = scores_of(folder, *options, "--jobs", 2)
    for speed in ("x_realtime", "peak_mib"):
        assert shared.pop(speed) > 0 and alone.pop(speed) > 0
    assert shared == alone
