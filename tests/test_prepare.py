"""``hppnet prepare``: data sets in, 16 kHz sound and note tables out; broken pairs, restarts, many cores."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.model.frontend import FrontEnd
from hppnet.training.dataset import open_folder, read_notes
from hppnet.training.labels import targets
from hppnet.training.prepare import piece
from hppnet.training.prepare.piece import How, Outcome, Take
from hppnet.training.prepare.run import run, unfinished_in
from hppnet.training.prepared import note_ends_of

from .midi_files import KEYS, SOUNDING, pedalled, performance
from .sounds import piano_like

COLUMNS = (
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
)


def prepare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", *map(str, arguments), "--jobs", "1"])


def pair(stem: Path, rate: int = 44_100) -> None:
    """A stereo recording of 1.5 s and its MIDI."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    mono = piano_like({0.2: 60, 0.5: 64, 1.0: 64}, 1.5, rate)
    soundfile.write(f"{stem}.wav", np.stack([mono, 0.5 * mono], axis=1), rate)
    pedalled(Path(f"{stem}.midi"))


def rows() -> list[dict[str, str]]:
    splits = ("train", "train", "validation", "test")
    return [
        dict(
            zip(
                COLUMNS,
                ("B", "Op. 1, No. 2", s, "2018", f"2018/p{n}.midi", f"2018/p{n}.wav", "1.5"),
                strict=True,
            )
        )
        for n, s in enumerate(splits)
    ]


@pytest.fixture
def maestro(tmp_path: Path) -> Path:
    """The data set's folder, with four recordings."""
    folder = tmp_path / "maestro-v3.0.0"
    for n in range(4):
        pair(folder / "2018" / f"p{n}")
    with (folder / "maestro-v3.0.0.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows())
    return folder


def test_maestro_becomes_three_folders_by_its_split(maestro: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = prepare("maestro", maestro, out)
    assert done.exit_code == 0, done.output
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*.*"))
    stems = ("test/p3", "train/p0", "train/p1", "validation/p2")
    assert made == sorted(
        [*(f"{stem}.{kind}" for stem in stems for kind in ("flac", "tsv")), "prepared.json"]
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
    piece.write_sound(tmp_path / "a.flac", iter([np.array([0.5, 1.5, -1.5], dtype=np.float32)]))
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
        "other": "no pair: the last note begins at 60.0 s, the sound ends at 1.5 s",
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
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good.flac", "good.tsv", "prepared.json"]


def test_notes_end_with_the_sound(tmp_path: Path) -> None:
    pair(tmp_path / "in" / "a")
    performance([(0.2, ("on", 60, 64)), (9, ("off", 60)), (1.6, ("on", 61, 64)), (2, ("off", 61))]).save(
        tmp_path / "in" / "a.midi"
    )
    assert prepare("pairs", tmp_path / "in", tmp_path / "out").exit_code == 0
    np.testing.assert_allclose(read_notes(tmp_path / "out" / "a.tsv"), [(0.2, 1.5, 60, 64)])


def test_the_same_command_goes_on_and_makes_nothing_twice(maestro: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (maestro / "2018" / "p1.midi").rename(tmp_path / "kept.midi")
    first = prepare("maestro", maestro, out)
    assert first.exit_code == 1 and "skipped p1: there is no" in first.stderr
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")}
    (tmp_path / "kept.midi").rename(maestro / "2018" / "p1.midi")
    (out / "test" / "p3.tsv").unlink()  # as if it had been interrupted there
    again = prepare("maestro", maestro, out)
    assert again.exit_code == 0, again.output
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*.flac")}
    assert {path.stem for path in after if after[path] != before.get(path)} == {"p1", "p3"}
    assert json.loads((out / "prepared.json").read_text())["total"]["notes"] == 12
    other = prepare("maestro", maestro, out, "--note-ends", "keys")
    assert other.exit_code == 2 and "prepared with note ends = sounding, now keys is wanted" in other.stderr


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


def test_arrays_hold_what_the_front_end_and_the_labels_give(tmp_path: Path) -> None:
    pair(tmp_path / "in" / "a")
    out = tmp_path / "out"
    prepare("pairs", tmp_path / "in", out)
    assert (
        prepare("pairs", tmp_path / "in", out, "--arrays").exit_code == 0
    )  # the piece is there, arrays are not
    arrays = {p.parent.name: np.load(p, mmap_mode="r") for p in out.glob("*/a.npy")}
    samples, _ = soundfile.read(out / "a.flac", dtype="float32")
    spectrum = FrontEnd().whole(torch.from_numpy(samples)[None])[0].numpy()
    wanted = targets(read_notes(out / "a.tsv"), 75)
    assert arrays.keys() == {
        "inputs_hcqt",
        *(f"targets_{k}" for k in ("onset", "offset", "frame", "velocity")),
    }
    np.testing.assert_allclose(arrays["inputs_hcqt"], spectrum, atol=0.04)
    for kind in ("onset", "offset", "velocity"):
        np.testing.assert_allclose(arrays[f"targets_{kind}"], getattr(wanted, kind), atol=1e-3)
    np.testing.assert_array_equal(arrays["targets_frame"], wanted.frame)
    assert {a.dtype.name for a in arrays.values()} == {"float16", "uint8"}


def test_arrays_of_a_long_piece_are_those_of_its_parts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hppnet.training.prepare import arrays as module

    pair(tmp_path / "in" / "a")
    for name, block in (("whole", module._BLOCK), ("parts", 5_555)):
        monkeypatch.setattr(module, "_BLOCK", block)
        assert prepare("pairs", tmp_path / "in", tmp_path / name, "--arrays").exit_code == 0
    struck = np.load(tmp_path / "whole" / "targets_onset" / "a.npy") > 0.01
    for path in (tmp_path / "whole").glob("*/a.npy"):
        ours, other = np.load(path), np.load(tmp_path / "parts" / path.parent.name / "a.npy")
        if path.parent.name == "targets_velocity":  # counts only there
            ours, other = ours * struck, other * struck
        np.testing.assert_allclose(ours, other, atol=0.07 if "inputs" in str(path) else 1e-3)


MAPS_TEXT = "OnsetTime\tOffsetTime\tMidiPitch\r\n0.201\t0.401\t60\r\n0.5\t0.8\t64\r\n1.0\t1.1\t65\r\n\r\n"


def test_maps_in_all_its_forms(tmp_path: Path) -> None:
    folder = tmp_path / "AkPnBcht" / "MUS"
    for name in ("text", "both", "table", "midi"):
        pair(folder / f"MAPS_MUS-{name}")
    for name in ("text", "both"):
        (folder / f"MAPS_MUS-{name}.txt").write_text(MAPS_TEXT, newline="")
    for name in ("text", "table"):
        (folder / f"MAPS_MUS-{name}.midi").unlink()
    (folder / "MAPS_MUS-table.tsv").write_text("onset\toffset\tnote\tvelocity\n0.2\t0.4\t60\t77\n")
    pair(tmp_path / "AkPnBcht" / "ISOL" / "MAPS_ISOL_CH0.1")
    (tmp_path / "readme.txt").write_text("about")
    out = tmp_path / "out"
    done = prepare("maps", tmp_path, out, "--only", "MAPS_MUS*")
    assert done.exit_code == 0, done.output
    found = {p.stem[9:]: [tuple(row) for row in read_notes(p)] for p in out.glob("*.tsv")}
    text = [(0.201, 0.401, 60, 0), (0.5, 0.8, 64, 0), (1.0, 1.1, 65, 0)]
    assert found["text"] == text
    assert found["both"] == [(*row[:3], v) for row, v in zip(text, (70, 50, 0), strict=True)]
    assert found["table"] == [(0.2, 0.4, 60, 77)]
    np.testing.assert_allclose(found["midi"], KEYS)
    done = prepare("maps", tmp_path, tmp_path / "held", "--note-ends", "sounding")
    assert done.exit_code == 1 and done.stderr.count("sounding ends need the pedal") == 2
    np.testing.assert_allclose(read_notes(tmp_path / "held" / "MAPS_MUS-both.tsv"), SOUNDING)
    assert (tmp_path / "held" / "MAPS_ISOL_CH0.1.tsv").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OnsetTime\tOffsetTime\tMidiPitch\n0.5\t0.4\t60\n", "line 2: expected onset <= offset"),
        ("OnsetTime\tOffsetTime\tMidiPitch\n0.5\t0.6\n", "line 2: expected onset <= offset"),
        ("0.5\t0.6\t60\n", "expected the columns OnsetTime"),
        ("", "found an empty file"),
    ],
)
def test_a_wrong_text_of_maps_is_named_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    pair(tmp_path / "a")
    (tmp_path / "a.txt").write_text(text)
    done = prepare("maps", tmp_path, tmp_path / "out")
    assert done.exit_code == 1 and "a.txt" in done.stderr and words in done.stderr


def test_pairs_of_one_name_get_their_folders_names_and_results_are_no_sources(tmp_path: Path) -> None:
    for name in ("one/take", "two/take", "two/No.2 in D", ".hidden/take", "done/earlier"):
        pair(tmp_path / name)
    (tmp_path / "done" / "prepared.json").write_text("{}")
    done = prepare("pairs", tmp_path, tmp_path / "out")
    assert done.exit_code == 0, done.output
    made = {path.stem for path in (tmp_path / "out").glob("*.tsv")}
    assert made == {"one_take", "two_take", "No.2 in D"}


def test_several_processes_make_what_one_makes(maestro: Path, tmp_path: Path) -> None:
    prepare("maestro", maestro, tmp_path / "one")
    command = ["prepare", "maestro", str(maestro), str(tmp_path / "two"), "--jobs", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
    assert not (tmp_path / "two" / ".unfinished").exists()


def test_ctrl_c_leaves_whole_pieces_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    pair(folder / "p0")
    long = np.tile(piano_like({0.2: 60}, 1.5, 48_000), 80)
    soundfile.write(folder / "p0.wav", long, 48_000)
    for n in range(1, 30):
        os.link(folder / "p0.wav", folder / f"p{n}.wav")
        os.link(folder / "p0.midi", folder / f"p{n}.midi")
    command = [sys.executable, "-m", "hppnet", "prepare", "pairs", str(folder), str(out)]
    process = subprocess.Popen(
        [*command, "--jobs", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not list(out.glob("*.tsv")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # to all, as a terminal does
    said = process.communicate(timeout=60)[1]
    made = [path.stem for path in out.glob("*.tsv")]
    assert process.returncode == 130 and "the same command goes on" in said, said
    assert 0 < len(made) < 30 and "Traceback" not in said
    report = json.loads((out / "prepared.json").read_text())
    assert report["missing"] == 30 - len(report["pieces"]) and not (out / ".unfinished").exists()
    for name in made:
        assert soundfile.info(out / f"{name}.flac").frames == 120 * 16_000
    again = prepare("pairs", folder, out, "--only", made[0])
    assert again.exit_code == 0 and json.loads((out / "prepared.json").read_text())["total"]["pieces"] == len(
        made
    )


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    pair(tmp_path / "in" / "a")
    with unfinished_in(tmp_path / "out") as unfinished:
        done = prepare("pairs", tmp_path / "in", tmp_path / "out")
        assert done.exit_code == 2 and "another hppnet prepare is at work" in done.stderr
        (unfinished / "1-0.flac").write_text("left by a run that was killed")
    with unfinished_in(tmp_path / "out") as unfinished:
        assert [path.name for path in unfinished.iterdir()] == ["lock"]


class Unwritable:
    """A piece at which the disk is full."""

    name = "a"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, note_ends: str) -> Take:
        raise OSError(28, "No space left on device")

    def about(self) -> dict[str, object]:
        return {}


def test_a_full_disk_stops_the_run(tmp_path: Path) -> None:
    outcomes: list[Outcome] = list(run([Unwritable(tmp_path)] * 3, How("keys", tmp_path), 1))
    assert len(outcomes) == 1 and outcomes[0].hopeless and "No space left" in str(outcomes[0].why)
