"""``hppnet prepare``: restarts, several processes, Ctrl-C, a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.training.data.sounds import Take
from hppnet.training.prepare.convert import How, PreparationOutcome
from hppnet.training.prepare.run import run, unfinished_in

from . import children
from .data_sets import maestro_in, pair, prepare
from .sounds import piano_like


@pytest.fixture
def maestro(tmp_path: Path) -> Path:
    return maestro_in(tmp_path)


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
    process = children.start([*command, "--jobs", "2"], stderr=subprocess.PIPE, start_new_session=True)
    children.wait_until(lambda: list(out.glob("*.tsv")), "the first recording", process)
    os.killpg(process.pid, signal.SIGINT)  # to all, as a terminal does
    said = process.communicate(timeout=children.PATIENCE_S)[1]
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
    outcomes: list[PreparationOutcome] = list(run([Unwritable(tmp_path)] * 3, How("keys", tmp_path), 1))
    assert len(outcomes) == 1 and outcomes[0].hopeless and "No space left" in str(outcomes[0].why)
