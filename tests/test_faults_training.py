"""``prepare`` and ``evaluate``: stereo that cancels, chosen channels, recordings that are cut short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from .data_sets import pair, prepare
from .evaluation_parts import SCALE, hear_clicks, run, scores_of, write_labels


def prepared(out: Path) -> np.ndarray:
    return soundfile.read(out / "a.flac", dtype="float32")[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording with its MIDI, as prepare pairs takes it."""
    pair(tmp_path / "in" / "a")
    return tmp_path / "in"


def change(folder: Path, left: float, right: float) -> None:
    sound, rate = soundfile.read(folder / "a.wav", dtype="float32")
    soundfile.write(folder / "a.wav", sound[:, :1] * np.array([[left, right]]), rate)


def test_inverted_stereo_is_prepared_whole_and_a_channel_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    change(folder, 1, -1)
    assert prepare("pairs", folder, tmp_path / "both").exit_code == 0
    change(folder, 0.5, 1)
    result = prepare("pairs", folder, tmp_path / "second", "--input-channel", "2")
    assert result.exit_code == 0, result.output
    # The first 2.5 ms with sound still cancel; nothing else differs by more than 24 bits' rounding.
    both, second = prepared(tmp_path / "both"), prepared(tmp_path / "second")
    settled = round(0.21 * 16_000)
    np.testing.assert_allclose(both[settled:], second[settled:], atol=1e-3)
    assert json.loads((tmp_path / "second" / "prepared.json").read_text())["settings"] == {"input_channel": 2}
    again = prepare("pairs", folder, tmp_path / "second")
    assert again.exit_code == 2 and "prepared with input_channel = 2, now None is wanted" in again.stderr


def test_a_recording_that_is_cut_short_is_skipped_and_named(folder: Path, tmp_path: Path) -> None:
    pair(folder / "whole")
    data = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(data[: len(data) // 2])
    result = prepare("pairs", folder, tmp_path / "out")
    assert result.exit_code == 1 and "a.wav: cut short: 0.7 s of 1.5 s could be read" in result.stderr
    assert not (tmp_path / "out" / "a.flac").exists()


@pytest.mark.slow
def test_evaluate_hears_the_chosen_channel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from .evaluation_parts import write_clicks

    hear_clicks(monkeypatch)
    folder = tmp_path / "in"
    folder.mkdir()
    write_clicks(folder / "a.wav", SCALE)
    write_labels(folder / "a.tsv", SCALE)
    clicks, rate = soundfile.read(folder / "a.wav", dtype="float32")
    soundfile.write(folder / "a.wav", np.stack([0 * clicks, clicks], axis=1), rate, subtype="FLOAT")
    report = scores_of(folder, "--input-channel", "2")
    assert report["mean"]["onset_50ms"]["f1"] == 100
    missing = run(folder, "--input-channel", "3")
    assert missing.exit_code == 1 and "channel 3 is not there" in missing.stderr
    data = (folder / "a.wav").read_bytes()
    (folder / "a.wav").write_bytes(data[: len(data) // 2])
    cut = run(folder, "--input-channel", "2")
    assert cut.exit_code == 1 and "cut short" in cut.stderr
