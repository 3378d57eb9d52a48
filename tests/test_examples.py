"""What stands in ``examples/`` runs, with small networks, and is short enough to be read."""

from __future__ import annotations

import csv
import json
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

import hppnet
from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.model.notes import Note, read_midi, write_midi
from hppnet.model.transcriber import Transcriber
from hppnet.training.evaluate import peers
from hppnet.training.prepare import labelled

from . import children
from .data_sets import prepare
from .live_fakes import FakeWire, sounding_after
from .needs import module
from .sounds import TONE_WEIGHTS, piano_like, three_notes
from .test_prepare_label import Scripted

FOLDER = Path(__file__).parents[1] / "examples"
LINES = 60


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: object) -> None:
    """An example as a program, in this process."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    runpy.run_path(str(FOLDER / name), run_name="__main__")


def test_each_is_short_and_listed() -> None:
    listed = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.[pst][yoh]*"):
        assert f"`{path.name}`" in listed, path.name
        if not path.name.startswith("make_"):
            assert len(path.read_text().splitlines()) < LINES, path.name


def test_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "three.wav", three_notes(), 16_000)
    (tmp_path / "in" / "broken.wav").write_text("no sound")
    (tmp_path / "in" / "notes.txt").write_text("no recording")
    with pytest.raises(SystemExit, match="1"):
        run(
            *(monkeypatch, "transcribe_folder.py", tmp_path / "in", tmp_path / "out"),
            *("--checkpoint", TONE_WEIGHTS),
        )
    assert [note.pitch for note in read_midi(tmp_path / "out" / "three.wav.mid")] == [60, 64, 67]
    (row,) = csv.DictReader((tmp_path / "out" / "summary.csv").open())
    assert (row["recording"], row["notes"], row["lowest"], row["highest"]) == ("three.wav", "3", "C4", "G4")
    said = capsys.readouterr()
    assert "broken.wav" in said.err and "three.wav: 3 notes" in said.out


def test_both_hands_play_a_synthesiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "three.wav", three_notes(), 16_000)
    wire, real = FakeWire(), hppnet.MidiOutput
    monkeypatch.setattr(
        hppnet,
        "MidiOutput",
        lambda name, channel: real(name, channel=channel, wire=lambda: wire),
        raising=False,
    )
    options = ("--output", "mine", "--split", 64, "--file", tmp_path / "three.wav")
    run(monkeypatch, "live_split.py", *options, "--checkpoint", TONE_WEIGHTS)
    played = [(status & 0xF, key) for status, key, _ in wire.messages if status & 0xF0 == 0x90]
    assert played == [(1, 60), (0, 64), (0, 67)] and not sounding_after(wire.messages)


def test_a_page_shows_events_as_they_come() -> None:
    command = [sys.executable, FOLDER / "events_page.py", "--port", "0"]
    process = children.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    try:
        url = process.stdout.readline().split()[1]
        with urlopen(url, timeout=children.PATIENCE_S) as page:
            assert b"EventSource" in page.read()
        event = {"v": 1, "type": "note_on", "time_s": 0.5, "pitch": 60, "velocity": 70, "decided_s": 0.6}
        with urlopen(url + "events", timeout=children.PATIENCE_S) as events:
            process.stdin.write(json.dumps(event) + "\n")
            process.stdin.flush()
            assert json.loads(events.readline().removeprefix(b"data: ")) == event
    finally:
        process.stdin.close()
        process.wait(children.PATIENCE_S)
        process.stdout.close()


def test_the_moving_picture_shows_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = module("PIL.Image", "plot")
    soundfile.write(tmp_path / "three.wav", three_notes(), 16_000)
    options = (
        "--recording",
        tmp_path / "three.wav",
        "--out",
        tmp_path / "a.gif",
        "--checkpoint",
        TONE_WEIGHTS,
    )
    run(monkeypatch, "make_picture.py", *options)
    with image.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames > 8
        picture.seek(picture.n_frames - 1)
        last = np.asarray(picture.convert("RGB"), dtype=int)
    glowing = (last[..., 0] > 120) & (last[..., 2] < 60)  # notes are golden
    assert glowing[100:].sum() > 50


@pytest.mark.parametrize("seconds", [2.9, 2.34])  # the second ends just after the last stroke
def test_practising_tells_wrong_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float
) -> None:
    strokes = {0.3: 60, 0.8: 70, 1.3: 64, 1.8: 72, 2.3: 67}
    soundfile.write(tmp_path / "take.wav", piano_like(strokes, seconds), 16_000)
    score = [Note(0.0, 0.5, 60, 64), Note(1.0, 1.5, 64, 64), Note(2.0, 2.5, 67, 64)]
    write_midi(score, tmp_path / "score.mid")
    options = (tmp_path / "score.mid", "--file", tmp_path / "take.wav", "--checkpoint", TONE_WEIGHTS)
    run(monkeypatch, "practise.py", *options)
    assert capsys.readouterr().out.splitlines() == [
        *("1: play C4", "2: play E4", "   wrong key: A#4", "3: play G4", "   wrong key: C5"),
        "That was all of it.",
    ]


def test_the_graph_without_our_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    transcriber: Transcriber,
) -> None:
    text = (FOLDER / "onnx_alone.py").read_text()
    assert "import hppnet" not in text and "from hppnet" not in text
    sound = three_notes()
    soundfile.write(tmp_path / "three.wav", sound, 16_000, subtype="FLOAT")
    exported = CliRunner().invoke(app, ["export", str(TONE_WEIGHTS), "-o", str(tmp_path)])
    assert exported.exit_code == 0, exported.output
    run(monkeypatch, "onnx_alone.py", tmp_path / "step.onnx", tmp_path / "three.wav")
    found = [tuple(map(float, line.split())) for line in capsys.readouterr().out.splitlines()]
    wanted = transcriber.transcribe(sound, 16_000, latency_ms=132)
    assert [pitch for _, pitch, _ in found] == [note.pitch for note in wanted] == [60, 64, 67]
    np.testing.assert_allclose([at for at, _, _ in found], [note.onset_s for note in wanted], atol=0.001)
    assert [velocity for _, _, velocity in found] == [note.velocity for note in wanted]
    soundfile.write(tmp_path / "other.wav", np.zeros((100, 2)), 44_100)
    with pytest.raises(SystemExit, match="one channel at 16000 Hz"):
        run(monkeypatch, "onnx_alone.py", tmp_path / "step.onnx", tmp_path / "other.wav")


def test_ones_own_piano(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the script, with a scripted teacher and four steps of a small network."""
    label, train = (
        shlex.split(line)[1:]
        for line in (FOLDER / "own_piano.sh").read_text().splitlines()
        if line.startswith("hppnet ")
    )
    monkeypatch.setattr(peers, "make", lambda name: Scripted())
    labelled.loaded.cache_clear()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(FOLDER)
    (tmp_path / "recordings").mkdir()
    for name in "ab":
        soundfile.write(tmp_path / "recordings" / f"{name}.wav", three_notes(44_100), 44_100)
    assert label[:3] == ["prepare", "label", "$1"]
    done = prepare("label", "recordings", *label[3:])
    assert done.exit_code == 0, done.output
    sizes = ("stem_channels=2", "body_channels=2", "lstm_units=2", "pedal_units=0")
    sets = (f'initialize_from="{small}"', "schedule.steps=4", "frames=64", "batch=2", "held_out=2")
    sets += ("validate_every=0", "tensorboard=false", *(f"network.{size}" for size in sizes))
    options = [word for change in sets for word in ("--set", change)]
    done = CliRunner().invoke(app, [*train, *options, "--cache", "cache", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert checkpoint.load(tmp_path / "runs" / "own_piano" / "final.safetensors")[1].network.lstm_units == 2


def test_the_script_of_ones_own_piano_is_sound() -> None:
    subprocess.run(["sh", "-n", FOLDER / "own_piano.sh"], check=True)
