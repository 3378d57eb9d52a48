"""hppnet prepare pack and training/elsewhere.sh: from data to weights and scores on another machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.training.data.dataset import open_folder
from hppnet.training.prepare import packed
from hppnet.training.schedule import Schedule

from .training_runs import in_toml, make_music, short_run

STEPS = 60_000  #: more than any machine takes in a tenth of a minute
SCRIPT = Path(__file__).parents[1] / "training" / "elsewhere.sh"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A recipe, ``r.toml``, and what it trains on in ``root``."""
    root = make_music(tmp_path / "root")
    settings = short_run(
        Path(),
        "run",
        sources=(short_run(Path(), "x").sources[0],),
        held_out=2,
        schedule=Schedule(steps=STEPS, warm_up=STEPS // 6, decay=STEPS // 3),
    )
    (tmp_path / "r.toml").write_text(in_toml(settings, folder="", cache=""))
    return root


def pack(folder: Path, *more: str) -> str:
    words = ["prepare", "pack", folder / "r.toml", "--data", folder / "root", "-o", folder / "packed"]
    done = CliRunner().invoke(app, [*map(str, words), "--cache", str(folder / "cache"), *more])
    assert done.exit_code == 0, done.output
    return done.stdout


def elsewhere(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Called in a folder."""
    environment = {**os.environ, "HPPNET": f"{sys.executable} -m hppnet"}
    return subprocess.run(
        [str(SCRIPT), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_packed_data_become_weights_and_scores(root: Path, tmp_path: Path) -> None:
    said = pack(tmp_path)
    assert "music: 2 recordings, 0.00 h\n" in said and "part-01.tar: 0.0 MB" in said
    shutil.move(root, tmp_path / "evaluate")  # nothing but the parts is left to train on
    done = elsewhere(tmp_path, "r.toml", "packed", "out", "0.1", "evaluate/music")
    assert done.returncode == 0, done.stderr
    _, _, about = checkpoint.load(tmp_path / "out" / "final.safetensors")
    assert int(about["steps"]) < STEPS, "of a tenth of a minute, not of the settings"
    assert about["kept"] == ["two"], "what was kept back here is kept back there"
    assert (tmp_path / "out" / "log.csv").exists()
    for name in ("music", "music-132"):
        assert len(json.loads((tmp_path / "out" / f"{name}.json").read_text())["files"]) == 2


def test_a_packed_recording_is_the_same_to_the_ear(root: Path, tmp_path: Path) -> None:
    one = open_folder(root / "music", tmp_path / "a")[0]
    again = open_folder(_packed(tmp_path), tmp_path / "b")[0]
    assert len(one.samples) == len(again.samples) and (one.notes == again.notes).all()
    noise = one.samples.astype(float) - again.samples
    assert (noise**2).mean() < 0.05 * (one.samples.astype(float) ** 2).mean()


def _packed(tmp_path: Path) -> Path:
    pack(tmp_path)
    return packed.unpack(tmp_path / "packed", tmp_path / "cache") / "music"


def test_what_has_no_room_is_left_out_and_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(6):
        for suffix in ("flac", "tsv"):
            shutil.copy(root / "music" / f"one.{suffix}", root / "music" / f"more-{n}.{suffix}")
    monkeypatch.setattr(packed, "BYTES_PER_S", 1e6)  # no second recording seems to fit into 1 MB
    monkeypatch.setattr(packed, "PART_BYTES", 40_000)
    said = pack(tmp_path, "--size", "1", "--set", "held_out=8")
    assert "music: 2 recordings, 0.00 h; 6 left out for want of room" in said
    parts = list((tmp_path / "packed").glob("part-*.tar"))
    assert len(parts) > 1 and all(part.stat().st_size <= 40_000 for part in parts)
    sounds = list((packed.unpack(tmp_path / "packed", tmp_path / "cache") / "music").glob("*.opus"))
    assert len(sounds) == 2 and soundfile.info(sounds[0]).samplerate == 16_000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("r.toml", "nowhere", "out", "1"), "nowhere: expected the folder that hppnet prepare pack wrote"),
        (("r.toml", ".", "out", "1", "lost"), "lost: expected a folder of recordings with labels"),
        (("r.toml",), "expected RECIPE DATA OUT MINUTES, got 1 words"),
    ],
)
def test_what_is_missing_is_named_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = elsewhere(tmp_path, *words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
