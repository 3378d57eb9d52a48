"""``hppnet train`` and ``hppnet bench train`` from the command line; prepare, train and evaluate in a row."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.model.config import NetworkConfig
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource

from .data_sets import maestro_in, prepare
from .training_runs import PLAIN, in_toml, make_music, short_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_music(tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def begun(folder: Path) -> Path:
    """The recipe of a run that is over."""
    file = written(folder, "begun")
    assert run("train", file).exit_code == 0
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def written(folder: Path, name: str, more: str = "", **settings: Any) -> Path:
    """A settings file of a short run."""
    path = folder / f"{name}.toml"
    path.write_text(in_toml(short_run(folder, name), **settings) + more)
    return path


def assert_one_line(done: Result, code: int, *words: str) -> None:
    assert done.exit_code == code, done.output
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_run_leaves_checkpoints_and_logs_and_goes_on(folder: Path) -> None:
    again = f'[[validation]]\nfolder = "{folder / "music"}"\n'
    file = written(folder, "whole", again, validate_every=2, validate_s=2.0, tensorboard=True)
    done = run("train", file, "--device", "cpu")
    assert done.exit_code == 0, done.output
    place = folder / "whole"
    for name in ("last", "best", "final"):
        assert checkpoint.load(place / f"{name}.safetensors")[1].network.lstm_units == 2
    assert "final.safetensors: onset" in done.stdout and "step 4: onset F1" in done.stderr
    with open(place / "validation.csv") as handle:
        assert [row["step"] for row in csv.DictReader(handle)] == ["2", "4", "6"]
    with open(place / "log.csv") as handle:
        (row,) = csv.DictReader(handle)
    assert row["step"] == "6" and float(row["rate"]) == pytest.approx(1.5e-3)
    assert list((place / "tensorboard").iterdir())
    assert run("train", file, "--device", "cpu").exit_code == 0
    assert torch.load(place / "run.pt", weights_only=True)["step"] == 6
    assert not [path.name for path in place.iterdir() if path.name.startswith(".")]


def test_without_tensorboard_a_line_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    done = run("train", written(folder, "no-board", tensorboard=True))
    assert done.exit_code == 0 and "going on without TensorBoard" in done.stderr


def test_unknown_keys(folder: Path) -> None:
    assert_one_line(run("train", written(folder, "typo", "speed = 3\n")), 2, "typo.toml", "['speed']")


@pytest.mark.parametrize("key", ["rooms", "noises"])
def test_a_missing_folder_of_augmentation(folder: Path, key: str) -> None:
    text = written(folder, "rooms").read_text().replace(f'{key} = ""', f'{key} = "nowhere"')
    (folder / "rooms.toml").write_text(text)
    assert_one_line(run("train", folder / "rooms.toml"), 2, "nowhere", f"augmentation.{key}")


def test_a_missing_source(folder: Path) -> None:
    file = written(folder, "lost", '[[sources]]\nfolder = "nowhere"\n')
    assert_one_line(run("train", file), 2, "nowhere: expected a folder")
    assert not (folder / "lost").exists()


def test_labels_without_notes(tmp_path: Path) -> None:
    make_music(tmp_path)
    (tmp_path / "music" / "two.tsv").write_text("onset\toffset\tnote\tvelocity\n")
    assert_one_line(run("train", written(tmp_path, "silent")), 2, "two.tsv: expected notes, found none")


def test_everything_kept_back(folder: Path) -> None:
    assert_one_line(run("train", written(folder, "kept", held_out=1)), 2, "music", "kept back")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("lstm_units = 2", "lstm_units = 3"), "network.lstm_units was 2, now it is 3"),
        # The same shapes and another meaning: the weights would load and be wrong.
        (("lstm_units = 2", "lstm_units = 2\nharmonics_down = [2, 4]"), "network.harmonics_down was [2, 3]"),
        (("steps = 6", "steps = 8"), "schedule.steps was 6, now it is 8"),
        (("[[sources]]", "[[sources]]\nweight = 2.0"), "sources.0.weight was 1.0, now it is 2.0"),
        (("[[sources]]", "[[phases]]\nsteps = 2\n[[sources]]"), "phases"),
    ],
)
def test_going_on_after_an_edit_names_the_setting(
    folder: Path, begun: Path, edit: tuple[str, str], words: str
) -> None:
    edited = folder / "begun" / "edited.toml"
    edited.write_text(begun.read_text().replace(*edit, 1))
    assert_one_line(run("train", edited), 2, "run.pt", words, "choose another --folder")


def test_going_on_with_another_set_names_it(begun: Path) -> None:
    done = run("train", begun, "--set", "schedule.learning_rate=0.5")
    assert_one_line(done, 2, "schedule.learning_rate was 0.003, now it is 0.5")


@pytest.mark.slow
def test_going_on_over_other_recordings_names_the_source(tmp_path: Path) -> None:
    make_music(tmp_path)
    file = written(tmp_path, "relabelled")
    assert run("train", file).exit_code == 0
    with (tmp_path / "music" / "two.tsv").open("a") as table:
        table.write("\n2.5\t2.6\t60\t70\n")
    assert_one_line(run("train", file), 2, f"data.{tmp_path / 'music'} was")


@pytest.mark.slow
def test_workers_minutes_and_the_cache_may_change(folder: Path, begun: Path) -> None:
    free = ("--set", "workers=1", "--minutes", "0.1", "--cache", folder / "elsewhere")
    assert run("train", begun, *free).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut"])
def test_a_broken_saved_run(folder: Path, content: bytes) -> None:
    (folder / "torn").mkdir(exist_ok=True)
    (folder / "torn" / "run.pt").write_bytes(content)
    assert_one_line(run("train", written(folder, "torn")), 2, "run.pt", "remove it to begin anew")


def test_a_batch_that_does_not_divide(folder: Path) -> None:
    done = run("train", written(folder, "odd", batch=3), "--processes", 2, "--device", "cpu")
    assert_one_line(done, 2, "must be a multiple of the number of processes")


def test_processes_against_the_launcher(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_WORLD_SIZE", "1"), ("WORLD_SIZE", "1")):
        monkeypatch.setenv(name, value)
    done = run("train", written(folder, "launched"), "--processes", 2, "--device", "cpu")
    assert_one_line(done, 2, "--processes 2")


def test_labels_that_end_otherwise(folder: Path, tmp_path: Path) -> None:
    make_music(tmp_path)
    (tmp_path / "prepared.json").write_text('{"note_ends": "sounding"}')
    more = f'[[sources]]\nfolder = "{tmp_path / "music"}"\n'
    assert_one_line(
        run("train", written(folder, "ends", more)), 2, "the same note ends in all folders", "sounding"
    )


@pytest.mark.slow
def test_prepare_train_and_evaluate_in_a_row(tmp_path: Path) -> None:
    """200 steps on a small MAESTRO: what comes out finds the notes of its test split."""
    data = tmp_path / "data"
    assert prepare("maestro", maestro_in(tmp_path), data).exit_code == 0
    settings = short_run(
        tmp_path,
        "maestro",
        sources=(DataSource(str(data / "train")),),
        network=NetworkConfig(stem_channels=4, body_channels=8, lstm_units=24),
        batch=1,
        schedule=Schedule(steps=200, warm_up=5, decay=100, learning_rate=1e-2),
        augmentation=PLAIN,
    )
    file = tmp_path / "maestro.toml"
    validation = f'[[validation]]\nfolder = "{data / "validation"}"\n'
    file.write_text(in_toml(settings, precision="bf16", validate_every=100, validate_s=1.5) + validation)
    done = run("train", file, "--device", "cpu")
    assert done.exit_code == 0, done.output
    final = tmp_path / "maestro" / "final.safetensors"
    assert checkpoint.load(final)[1].note_ends == "sounding"
    done = run(
        "evaluate", data / "test", "--checkpoint", final, "--device", "cpu", "--json", tmp_path / "f1.json"
    )
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "f1.json").read_text())["mean"]["onset_50ms"]["f1"] > 90


@pytest.mark.slow
def test_bench_train_counts_whole_steps(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    done = run(
        "bench", "train", "--seconds", 1, "--processes", 1, "--batch", 1, "--device", "cpu", "--json", figures
    )
    assert done.exit_code == 0, done.output
    found = json.loads(figures.read_text())
    detail = found["detail"]
    assert found["audio_s_per_s"] == pytest.approx(5.12 / detail["step_ms"] * 1000)
    assert sum(detail["where_percent"].values()) == pytest.approx(100, abs=1)
    assert min(detail["where_percent"][part] for part in ("data", "forward", "backward")) > 0
    assert detail["steps"] >= 1 and detail["cores"] >= 1 and "of sound a second" in done.stdout


def test_bench_train_names_what_cannot_be_had() -> None:
    done = run("bench", "train", "--config", "huge")
    assert done.exit_code == 2 and "config must be one of" in done.stderr
