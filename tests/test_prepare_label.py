"""``hppnet prepare label``: recordings without labels become what train reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note, Press
from hppnet.training.evaluate import peers
from hppnet.training.evaluate.peers import Prediction
from hppnet.training.prepare import labelled
from hppnet.training.prepare.labelled import in_order

from .data_sets import prepare
from .sounds import piano_like, three_notes
from .training_runs import open_folder

RATE = 44_100


class Scripted:
    """A peer that says the same of every recording that is loud enough."""

    name, needs, install, note_ends = "transkun", (), "it is here", "keys"
    loads = 0

    def load(self) -> None:
        type(self).loads += 1

    def transcribe(self, path: Path) -> Prediction:
        sound, rate = soundfile.read(path)
        assert rate == RATE and sound.ndim == 1  # as it was recorded, not as train wants it
        if np.abs(sound).max() < 0.05:
            return Prediction([], [])
        # A note and a press end after the sound; two presses overlap.
        notes = [Note(0.5, 9.0, 64, 50), Note(0.2, 0.4, 60, 70)]
        return Prediction(notes, [Press(1.0, 9.0), Press(0.1, 0.3), Press(0.2, 0.4)])


class Unloadable(Scripted):
    def load(self) -> None:
        raise OSError("no\nweights")


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> type[Scripted]:
    """Put in Transkun's place."""
    monkeypatch.setattr(peers, "make", lambda name: Scripted())
    labelled.loaded.cache_clear()
    Scripted.loads = 0
    return Scripted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, one of them in stereo and in a folder of its own."""
    folder = tmp_path / "piano"
    (folder / "deep").mkdir(parents=True)
    mono = piano_like({0.2: 60, 0.5: 64}, 1.5, RATE)
    soundfile.write(folder / "a.wav", mono, RATE)
    soundfile.write(folder / "deep" / "b.flac", np.stack([mono, mono], axis=1), RATE)
    return folder


def test_notes_and_pedal_of_a_peer_become_a_folder_that_train_reads(folder, peer, tmp_path):
    done = prepare("label", folder, "--model", "transkun")
    out = tmp_path / "piano-labelled"
    assert done.exit_code == 0 and peer.loads == 1, done.output
    report = json.loads((out / "prepared.json").read_text())
    assert report["note_ends"] == "keys" and report["settings"] == {"model": "transkun"}
    for piece in open_folder(out, tmp_path / "cache"):
        assert len(piece.samples) == 24_000
        assert [tuple(note) for note in piece.notes] == [(0.2, 0.4, 60, 70), (0.5, 1.5, 64, 50)]
        assert piece.pedal is not None and piece.pedal.tolist() == [[0.1, 0.4], [1.0, 1.5]]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["prepared.json", *(f"{name}.{kind}" for name in "ab" for kind in ("flac", "tsv", "pedal"))]
    )


def test_the_same_command_labels_only_what_is_not_labelled(folder, peer, tmp_path):
    (folder / "c.wav").write_text("no sound")
    soundfile.write(folder / "d.wav", np.full(RATE, 0.01), RATE)
    first = prepare("label", folder, "-o", tmp_path / "out", "--model", "transkun")
    assert first.exit_code == 1 and first.stderr.count("skipped ") == 2
    assert "skipped c: " in first.stderr and "transkun finds no note in" in first.stderr
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.flac")}
    assert len(before) == 2 and not list((tmp_path / "out").glob("[cd].*"))
    soundfile.write(folder / "c.wav", piano_like({0.2: 60}, 1.5, RATE), RATE)
    prepare("label", folder, "-o", tmp_path / "out", "--model", "transkun")
    assert (tmp_path / "out" / "c.tsv").exists()
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    other = prepare("label", folder, "-o", tmp_path / "out", "--model", "hppnet")
    assert other.exit_code == 2 and "prepared with model = transkun, now hppnet is wanted" in other.stderr


def test_a_peer_that_cannot_be_loaded_stops_the_command(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(peers, "make", lambda name: Unloadable())
    labelled.loaded.cache_clear()
    done = prepare("label", folder, "--model", "transkun")
    assert done.exit_code == 1 and done.stderr.count("cannot be loaded: OSError: no weights") == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--model", "nobody"), 2, "--model: expected one of hppnet, "),
        (("--model", "transkun", "--checkpoint", "{small}"), 2, "--checkpoint is for hppnet's weights"),
        (("--checkpoint", "{sound}"), 1, "expected a safetensors file"),
        (("-o", "{folder}"), 2, "expected another folder for the results"),
    ],
)
def test_wrong_use_is_one_line(folder, small, options, code, words):
    known = {"small": small, "sound": folder / "a.wav", "folder": folder}
    done = prepare("label", folder, *(option.format(**known) for option in options))
    assert done.exit_code == code and words in done.stderr and done.stderr.count("\n") == 1, done.output


def test_hppnet_labels_with_the_weights_that_ship(tmp_path):
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "three.wav", three_notes(RATE), RATE)
    assert prepare("label", tmp_path / "in", "-o", tmp_path / "out").exit_code == 0
    (piece,) = open_folder(tmp_path / "out", tmp_path / "cache")
    assert {60, 64, 67} <= set(piece.notes[:, 2].astype(int)) and piece.pedal is not None


def test_presses_that_touch_become_one():
    pedal = [Press(2.0, 3.0), Press(0.0, 1.0), Press(1.0, 1.5), Press(5.0, 5.0)]
    assert in_order(pedal) == [(0.0, 1.5), (2.0, 3.0)]
