"""``hppnet evaluate``: wrong use and bad files, one clear line each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hppnet.model.checkpoint import DEFAULT

from .evaluation_parts import (
    Clicks,
    hear_clicks,
    run,
    two_recordings,
)
from .midi_files import performance


@pytest.fixture
def clicks(monkeypatch) -> Clicks:
    return hear_clicks(monkeypatch)


@pytest.fixture
def folder(tmp_path) -> Path:
    return two_recordings(tmp_path / "recordings")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        ([], "expected a folder of recordings with labels"),
        (["a", "--checkpoint", "no.safetensors"], "no.safetensors: no such file"),
        (["a", "--rooms", "no"], "no: no such file or folder"),
        (["a", "--predictions", "a", "--gain", "3"], "leave out the conditions"),
        (["a", "--predictions", "a", "--streaming"], "--latency is for hppnet itself"),
        (["a", "--predictions", "a", "--onset-threshold", "0.5"], "--onset-threshold is for hppnet"),
        (["a", "--model", "other"], "expected one of hppnet, basic-pitch, transkun, got 'other'"),
        (["a", "--model", "hppnet", "--model", "hppnet"], "each model once"),
        (["a", "--snr", "10"], "--snr needs --noise"),
        (["a", "--detune", "9000"], "expected a detuning of -1200 to 1200 cents"),
        (["a", "--plot", "x.png"], "--plot draws --errors or --latency all"),
        (["a", "--errors", "--latency", "all"], "--errors looks at one model at one latency"),
        (["a", "--note-ends", "both"], "expected keys or sounding, got 'both'"),
        (["a", "--csv", "no/where.csv"], "there is no such folder"),
    ],
)
def test_wrong_use_is_one_line(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    result = run(*arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_midi_labels_without_notes_are_one_line(clicks, folder):
    (folder / "a.tsv").unlink()
    performance([], end_s=1).save(folder / "a.mid")
    result = run(folder, "--json", "-")
    assert result.exit_code == 1 and list(json.loads(result.stdout)["files"]) == ["b"]
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "a.mid: expected notes, found none" in error


def test_a_checkpoint_of_another_config_is_one_line(folder, tmp_path):
    weights = load_file(DEFAULT)
    with safe_open(DEFAULT, framework="pt") as handle:
        metadata = handle.metadata()
    save_file(weights, tmp_path / "other.safetensors", metadata | {"config": '{"network": {"rooms": 3}}'})
    result = run(folder, "--checkpoint", tmp_path / "other.safetensors")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "other.safetensors: its configuration cannot be read" in result.stderr
    small = weights | {next(iter(weights)): next(iter(weights.values()))[:1]}
    save_file(small, tmp_path / "small.safetensors", metadata)
    result = run(folder, "--checkpoint", tmp_path / "small.safetensors")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1
    assert "small.safetensors: its weights do not fit its configuration" in result.stderr


def test_other_note_ends_than_the_checkpoint_learned_are_told(clicks, folder):
    (folder / "prepared.json").write_text('{"note_ends": "sounding"}')
    result = run(folder, "--json", "-")
    notes = [line for line in result.stderr.splitlines() if line.startswith("note:")]
    assert len(notes) == 1 and "sounding ends" in notes[0] and "learned keys ends" in notes[0]
    settings = json.loads(result.stdout)["settings"]
    assert (settings["labels_note_ends"], settings["note_ends"]) == ("sounding", "keys")
    (folder / "prepared.json").write_text('{"note_ends": "keys"}')
    assert "note:" not in run(folder).stderr
