"""Files that options name: what hppnet did not write is not replaced, and that is said before the work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from matplotlib.figure import Figure
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.commands import devices
from hppnet.program import picture_facts
from hppnet.training import curves
from hppnet.training.evaluate import pictures

from .data_sets import pair, prepare
from .evaluation_parts import Clicks, hear_clicks, two_recordings
from .evaluation_parts import run as evaluate
from .test_training_logs import a_run
from .training_runs import in_toml, make_music, short_run

REFUSED = "it was not written by hppnet and may be labels or other work; move it away, name another file, or"


def theirs(path: Path) -> bytes:
    """Somebody's file, of the kind that its name says."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".png":
        Figure((1, 1)).savefig(path)  # its text chunk says Matplotlib
    else:
        path.write_text(
            '{"program": "other", "files": 3}\n' if path.suffix == ".json" else "run,file,notes\n"
        )
    return path.read_bytes()


def ours(path: Path) -> bytes:
    """A picture as all of ours are saved."""
    Figure((1, 1)).savefig(path, metadata=picture_facts())
    return path.read_bytes()


def options_of(command: click.Command, path: str) -> Iterator[tuple[str, set[str], set[str]]]:
    """Each command with all its options, and those with a value."""
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, f"{path} {name}".strip())
    if not hasattr(command, "commands"):
        every = {opt for parameter in command.params for opt in parameter.opts}
        flags = {opt for p in command.params if getattr(p, "is_flag", False) for opt in p.opts}
        yield path, every, every - flags


COMMANDS = list(options_of(typer.main.get_command(app), ""))
WITH_JSON = [name for name, _, valued in COMMANDS if "--json" in valued and name != "evaluate"]


def test_whatever_writes_a_report_can_be_forced() -> None:
    assert len(WITH_JSON) >= 6
    for name, every, valued in COMMANDS:
        if valued & {"--json", "--csv", "--plot"} or name in ("transcribe", "plot-training"):
            assert "--force" in every, name


@pytest.mark.parametrize("name", WITH_JSON)
def test_figures_of_others_are_named_before_anything_is_measured(here: Path, name: str) -> None:
    before = theirs(Path("scores.json"))
    Path("link").symlink_to("scores.json")
    for file in ("scores.json", "link"):
        done = CliRunner().invoke(app, [*name.split(), "--json", file])
        assert done.exit_code == 1 and done.stdout == "", done.output
        assert done.stderr == f"error: {file}: {REFUSED} replace it with --force\n"
    assert Path("scores.json").read_bytes() == before and Path("link").is_symlink()


@pytest.fixture
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "find_inputs", lambda: {"inputs": [], "sound_systems": []})
    monkeypatch.setattr(devices, "find_ports", lambda: {"ports": [], "midi_systems": []})


def test_own_figures_are_replaced_and_others_by_force(here: Path, no_devices: None) -> None:
    command = ["devices", "--json", "scores.json"]
    for _ in range(2):
        assert CliRunner().invoke(app, command).exit_code == 0
    theirs(Path("scores.json"))
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert Path("scores.json").read_text().startswith('{\n  "program": "hppnet ')


def test_a_pipe_is_written_to_and_stays_one(here: Path, no_devices: None) -> None:
    os.mkfifo("pipe")
    reading = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert CliRunner().invoke(app, ["devices", "--json", "pipe"]).exit_code == 0
    assert os.read(reading, 10).startswith(b"{") and Path("pipe").is_fifo()
    os.close(reading)


@pytest.fixture
def clicks(monkeypatch: pytest.MonkeyPatch) -> Clicks:
    return hear_clicks(monkeypatch)


def test_an_evaluation_keeps_the_scores_of_others(here: Path, clicks: Clicks) -> None:
    folder, files = two_recordings(here / "recordings"), (Path("scores.json"), Path("scores.csv"))
    named = ("--json", files[0], "--csv", files[1])
    for _ in range(2):
        assert evaluate(folder, *named).exit_code == 0
    for file in files:
        own, before = file.read_bytes(), theirs(file)
        clicks.latency_ms = "not heard"
        done = evaluate(folder, *named)
        assert done.exit_code == 1 and done.stderr == f"error: {file}: {REFUSED} replace it with --force\n"
        assert file.read_bytes() == before and clicks.latency_ms == "not heard"
        assert evaluate(folder, *named, "--force").exit_code == 0
        assert file.read_bytes()[:20] == own[:20]
    one_twice = evaluate(folder, "--json", "one", "--csv", here / "one")
    assert one_twice.exit_code == 2 and "expected a file for each" in one_twice.stderr


def test_an_evaluation_keeps_the_pictures_of_others(
    here: Path, clicks: Clicks, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_recordings(here / "recordings")
    drawn = ours(Path("ours.png"))
    monkeypatch.setattr(pictures, "draw_mistakes", lambda part, *_: part.write_bytes(drawn))
    for options, picture in ((["--plot", "mine.png"], "mine.png"), ([], "evaluate-errors.png")):
        for _ in range(2):
            assert evaluate(folder, "--errors", *options).exit_code == 0
        before = theirs(Path(picture))
        done = evaluate(folder, "--errors", *options)
        assert done.exit_code == 1 and done.stderr == f"error: {picture}: {REFUSED} replace it with --force\n"
        assert Path(picture).read_bytes() == before
        assert evaluate(folder, "--errors", *options, "--force").exit_code == 0
        assert Path(picture).read_bytes() == drawn


def test_a_picture_of_others_is_not_drawn_over(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_run(here / "run")
    drawn = ours(Path("ours.png"))
    monkeypatch.setattr(curves, "plot", lambda folder, part: part.write_bytes(drawn))
    for options, picture in ((["-o", "mine.png"], "mine.png"), ([], "run/curves.png")):
        command = ["plot-training", "run", *options]
        for _ in range(2):
            assert CliRunner().invoke(app, command).exit_code == 0
        before = theirs(Path(picture))
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1 and done.stderr == f"error: {picture}: {REFUSED} replace it with --force\n"
        assert Path(picture).read_bytes() == before
        assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
        assert Path(picture).read_bytes() == drawn


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("prepared.json", text) for text in ("{}", "[1]", '{"kind": 1, "note_ends": 1, "settings": 1}')),
        ("take.flac", "fLaC of mine"),
        ("take.tsv", "onset\n"),
        ("take.pedal", "down\n"),
    ],
)
def test_data_are_not_prepared_over_the_files_of_others(tmp_path: Path, name: str, text: str) -> None:
    pair(tmp_path / "in" / "take")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(text)
    done = prepare("pairs", tmp_path / "in", tmp_path / "out")
    assert done.exit_code == 1 and f"{name}: it was not written by hppnet prepare; move" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert (tmp_path / "out" / name).read_text() == text


def test_neither_packs_nor_logs_take_the_place_of_others(here: Path) -> None:
    root = make_music(here / "root")
    settings = short_run(Path(), "run", sources=(short_run(Path(), "x").sources[0],), held_out=2)
    Path("r.toml").write_text(in_toml(settings, folder="", cache=""))
    command = ["r.toml", "--data", str(root), "--cache", "cache"]
    pack = ["prepare", "pack", *command, "-o", "packed"]
    for _ in range(2):
        assert CliRunner().invoke(app, pack).exit_code == 0
    before = Path("packed/part-01.tar").read_bytes()
    Path("packed/part-02.tar").write_bytes(b"mine")
    Path("packed/part-one.tar").write_bytes(b"mine")
    done = CliRunner().invoke(app, pack)
    assert done.exit_code == 1 and "part-02.tar: it was not written by this hppnet" in done.stderr
    assert Path("packed/part-01.tar").read_bytes() == before
    Path("packed/part-02.tar").unlink()
    assert CliRunner().invoke(app, pack).exit_code == 0
    assert Path("packed/part-one.tar").read_bytes() == b"mine"
    Path("run").mkdir()
    Path("run/log.csv").write_text("step,height\n1,2\n")
    done = CliRunner().invoke(app, ["train", *command, "--folder", "run", "--device", "cpu"])
    assert done.exit_code == 2 and "run/log.csv: it was not written by hppnet train" in done.stderr
    assert Path("run/log.csv").read_text() == "step,height\n1,2\n"
