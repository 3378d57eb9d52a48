"""``hppnet prepare``: data sets in, 16 kHz sound and note tables out; broken pairs and wrong use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.training.data.dataset import read_notes
from hppnet.training.data.labels import note_ends_of
from hppnet.training.prepare import convert

from .data_sets import COLUMNS, maestro_in, pair, prepare, rows
from .midi_files import KEYS, SOUNDING, pedalled, performance
from .training_runs import open_folder


@pytest.fixture
def maestro(tmp_path: Path) -> Path:
    return maestro_in(tmp_path)


def test_maestro_becomes_three_folders_by_its_split(maestro: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = prepare("maestro", maestro, out)
    assert done.exit_code == 0, done.output
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    stems = ("test/p3", "train/p0", "train/p1", "validation/p2")
    assert made == sorted(
        [*(f"{stem}.{kind}" for stem in stems for kind in ("flac", "pedal", "tsv")), "prepared.json"]
    )
    np.testing.assert_allclose(read_notes(out / "test" / "p3.tsv"), SOUNDING)
    sound = soundfile.info(out / "train" / "p0.flac")
    assert (sound.samplerate, sound.channels, sound.subtype, sound.frames) == (16_000, 1, "PCM_16", 24_000)
    report = json.loads((out / "prepared.json").read_text())
    assert report["total"] == {
        "pieces": 4,
        "hours": pytest.approx(6 / 3600, abs=1e-4),
        "notes": 12,
        "skipped": 0,
    }
    assert report["folders"]["train"]["pieces"] == 2 and note_ends_of(out / "train") == "sounding"
    assert [piece.name for piece in open_folder(out / "train", tmp_path / "cache")] == ["p0", "p1"]


@pytest.mark.parametrize("form", ["columns", "recordings"])
def test_maestro_by_its_json(maestro: Path, tmp_path: Path, form: str) -> None:
    columns = {name: {str(n): row[name] for n, row in reversed(list(enumerate(rows())))} for name in COLUMNS}
    (maestro / "maestro-v3.0.0.json").write_text(json.dumps(columns if form == "columns" else rows()))
    (maestro / "maestro-v3.0.0.csv").unlink()
    done = prepare("maestro", tmp_path, tmp_path / "out", "--note-ends", "keys")  # the folder above will do
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(read_notes(tmp_path / "out" / "validation" / "p2.tsv"), KEYS)
    assert note_ends_of(tmp_path / "out") == "keys"


def test_sound_keeps_its_time_and_level_at_any_rate(tmp_path: Path) -> None:
    for rate in (8_000, 16_000, 44_100, 48_000, 96_000):
        click = np.zeros((30 * rate, 2), dtype=np.float32)  # several blocks
        at = np.arange(25 * rate - rate // 100, 25 * rate + rate // 100)
        click[at] = 0.8 * np.cos(np.pi * (at - 25 * rate) / (rate / 50))[:, None] ** 2
        soundfile.write(tmp_path / f"r{rate}.wav", click, rate)
        performance([(0.1, ("on", 60, 64)), (0.5, ("off", 60))]).save(tmp_path / f"r{rate}.mid")
    assert prepare("pairs", tmp_path, tmp_path / "out").exit_code == 0
    for path in (tmp_path / "out").glob("*.flac"):
        samples, _ = soundfile.read(path)
        assert len(samples) == 30 * 16_000
        assert abs(int(np.argmax(samples)) - 25 * 16_000) <= 1 and samples.max() == pytest.approx(
            0.8, abs=0.02
        )


def test_what_is_too_loud_is_clipped_and_does_not_wrap(tmp_path: Path) -> None:
    convert.write_sound(tmp_path / "a.flac", iter([np.array([0.5, 1.5, -1.5], dtype=np.float32)]))
    assert soundfile.read(tmp_path / "a.flac")[0] == pytest.approx([0.5, 1, -1], abs=1e-4)


def test_broken_pairs_are_skipped_with_a_line_each(tmp_path: Path) -> None:
    for name in ("good", "cut", "garbage", "no_notes", "other", "silent", "two", "alone"):
        pair(tmp_path / "in" / name)
    folder = tmp_path / "in"
    (folder / "cut.wav").write_bytes((folder / "cut.wav").read_bytes()[:20_000])
    (folder / "garbage.midi").write_text("no MIDI")
    performance([(0.1, ("pedal", 127))]).save(folder / "no_notes.midi")
    performance([(0.1, ("on", 60, 64)), (60, ("off", 60)), (60, ("on", 61, 64)), (61, ("off", 61))]).save(
        folder / "other.midi"
    )
    soundfile.write(folder / "silent.wav", np.zeros(44_100), 44_100)
    shutil.copy(folder / "two.wav", folder / "two.flac")
    (folder / "alone.midi").unlink()
    pedalled(folder / "unheard.mid")
    (folder / "README.txt").write_text("no labels")
    done = prepare("pairs", folder, tmp_path / "out")
    assert done.exit_code == 1
    lines = {
        line.split()[1].rstrip(":"): line for line in done.stderr.splitlines() if line.startswith("skipped")
    }
    reasons = {
        "cut": "cut short",
        "garbage": "garbage.midi: expected a MIDI file",
        "no_notes": "no note on the piano's 88 keys",
        "other": "the last note begins at 60.0 s and the sound ends at 1.5 s",
        "silent": "the sound is silent",
        "two": "expected one recording of this name, got two.flac and two.wav",
        "alone": "alone.wav has no labels of the same name",
        "unheard": "unheard.mid has no recording of the same name",
    }
    assert lines.keys() == reasons.keys()
    for name, reason in reasons.items():
        assert reason in lines[name]
    report = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert {s["name"] for s in report["skipped"]} == reasons.keys() and report["total"]["pieces"] == 1
    left = ["good.flac", "good.pedal", "good.tsv", "prepared.json"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == left


def test_notes_end_with_the_sound(tmp_path: Path) -> None:
    pair(tmp_path / "in" / "a")
    performance([(0.2, ("on", 60, 64)), (9, ("off", 60)), (1.6, ("on", 61, 64)), (2, ("off", 61))]).save(
        tmp_path / "in" / "a.midi"
    )
    assert prepare("pairs", tmp_path / "in", tmp_path / "out").exit_code == 0
    np.testing.assert_allclose(read_notes(tmp_path / "out" / "a.tsv"), [(0.2, 1.5, 60, 64)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("maestro", "nowhere", "out"), "nowhere: expected a folder, there is none"),
        (("maestro", "empty", "out"), "expected maestro-v3.0.0.csv or .json, found none"),
        (("maestro", "listed", "out"), "of the 4 recordings that it names none is there"),
        (("maestro", "wrong", "out"), "recording 1: expected split"),
        (("maestro", "torn", "out"), "could not read it"),
        (("maps", "empty", "out"), "expected recordings with labels of the same name"),
        (("pairs", "file", "out"), "file: expected a folder, this is a file"),
        (("pairs", "good", "out", "--only", "x*"), "none of 1 pieces has a name that fits"),
        (("pairs", "good", "file"), "file: expected a folder for the results, this is a file"),
        (("pairs", "good", "good"), "good: expected another folder for the results than the sources are in"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty", "listed", "wrong", "torn"):
        Path(name).mkdir()
    Path("file").write_text("")
    pair(Path("good/a"))
    listed = {name: {str(n): row[name] for n, row in enumerate(rows())} for name in COLUMNS}
    Path("listed/maestro-v3.0.0.json").write_text(json.dumps(listed))
    Path("wrong/maestro-v3.0.0.csv").write_text("split,midi_filename,audio_filename\nall,a.midi,a.wav\n")
    Path("torn/maestro-v3.0.0.json").write_text(json.dumps(listed)[:-9])
    done = prepare(*arguments)
    assert done.exit_code in (1, 2) and not done.stdout
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and words in done.stderr
