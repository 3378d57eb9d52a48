"""hppnet prepare pack and training/elsewhere.sh: from data to weights and scores on another machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.training.data.run_files import find_run_files
from hppnet.training.prepare import packed
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource, Rendering

from .midi_files import performance
from .training_runs import in_toml, make_music, open_folder, short_run

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


def copies(folder: Path, count: int) -> None:
    """Adds copies of the recording ``one``; all of them take about 11 kB in a pack."""
    for n in range(count):
        for suffix in ("flac", "tsv"):
            shutil.copy(folder / f"one.{suffix}", folder / f"more-{n}.{suffix}")


def packed_into(folder: Path, megabytes: float, **changes: object) -> packed.Pack:
    settings = short_run(folder, "run", data=str(folder / "root"), **changes)
    return packed.pack(settings, find_run_files(settings), folder / "packed", megabytes)


def sounds_of(folder: Path, source: str) -> list[Path]:
    return sorted((packed.unpack(folder / "packed", folder / "cache") / source).glob("*.opus"))


def test_what_has_no_room_is_left_out_and_said(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies(root / "music", 6)
    monkeypatch.setattr(packed, "PART_BYTES", 40_000)
    found = packed_into(tmp_path, 0.04, sources=(DataSource("music"),), held_out=8)
    assert found.sources[0].line() == "music: 3 recordings, 0.00 h; 5 left out for want of room"
    assert len(found.parts) > 1 and all(part.stat().st_size <= 40_000 for part in found.parts)
    sounds = sounds_of(tmp_path, "music")
    assert len(sounds) == 3 and soundfile.info(sounds[0]).samplerate == 16_000


def test_folders_to_validate_on_have_a_tenth_of_the_room(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "music", root / "dev")
    copies(root / "dev", 6)
    dev = (DataSource("dev"),)
    _, validated = packed_into(tmp_path, 0.3, sources=(DataSource("music"),), validation=dev).sources
    assert (validated.recordings, validated.left_out) == (2, 6) and len(sounds_of(tmp_path, "dev")) == 2


def test_a_size_that_is_too_small_for_every_source_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the sources need 0\.0 MB at least: raise --size"):
        packed_into(tmp_path, 0.02, sources=(DataSource("music"),), held_out=2)
    assert not list((tmp_path / "packed").iterdir())


def test_a_rendered_piece_is_there_to_train_on_however_little_room(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "midi").mkdir()
    for name in "abcd":
        performance([(0.1, ("on", 60, 64)), (0.5, ("off", 60))]).save(root / "midi" / f"{name}.mid")
    (root / "piano.sf3").touch()
    monkeypatch.setattr(packed, "make", lambda rendered, note_ends: None)
    (one, _) = open_folder(root / "music", tmp_path / "cache")
    monkeypatch.setattr(packed, "read", lambda rendered: replace(one, name=rendered.name))
    rendered = DataSource("midi", weight=1e-6, render=Rendering((("piano.sf3", 1.0),)))
    settings = short_run(tmp_path, "x", data=str(root), sources=(rendered,), held_out=2)
    held = {rendered.name for rendered in find_run_files(settings).trained[0].held}  # type: ignore[union-attr]
    packed_into(tmp_path, 1, sources=(DataSource("music"), rendered), held_out=2)
    names = {path.stem for path in sounds_of(tmp_path, "midi")}
    assert len(held) == 2 and held < names and len(names) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("r.toml", "nowhere", "out", "1"), "nowhere: expected the folder that hppnet prepare pack wrote"),
        (("r.toml", ".", "out", "1", "lost"), "lost: expected a folder of recordings with labels"),
        (("r.toml",), "expected RECIPE DATA OUT MINUTES, got 1 words"),
        (
            ("r.toml", ".", "out", "1", "maps/dev", "real/dev"),
            "real/dev: expected EVALUATE folders of different names, got dev twice",
        ),
    ],
)
def test_what_is_missing_is_named_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    for name in ("maps", "real"):
        (tmp_path / name / "dev").mkdir(parents=True)
    done = elsewhere(tmp_path, *words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
