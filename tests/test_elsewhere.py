"""training/elsewhere.sh: from a tar of data to weights and scores, by one command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hppnet.model import checkpoint

from .training_runs import in_toml, make_music, short_run

SCRIPT = Path(__file__).parents[1] / "training" / "elsewhere.sh"


def elsewhere(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Called in a folder."""
    environment = {**os.environ, "HPPNET": f"{sys.executable} -m hppnet"}
    return subprocess.run(
        [str(SCRIPT), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_a_tar_becomes_weights_and_scores(tmp_path: Path) -> None:
    make_music(tmp_path)
    settings = in_toml(short_run(Path("."), "run"), validate_every=0)
    (tmp_path / "settings.toml").write_text(settings)
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(tmp_path / "settings.toml", "settings.toml")
        tar.add(tmp_path / "music", "music")
        tar.add(tmp_path / "music", "evaluate/two")
    done = elsewhere(tmp_path, "data.tar", "out", "0.1")
    assert done.returncode == 0, done.stderr
    _, _, about = checkpoint.load(tmp_path / "out" / "final.safetensors")
    assert int(about["steps"]) > 6, "of a tenth of a minute, not of the settings"
    assert (tmp_path / "out" / "log.csv").exists()
    for name in ("two", "two-132"):
        assert len(json.loads((tmp_path / "out" / f"{name}.json").read_text())["files"]) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "out", "1"), "nowhere: expected a folder or a tar"),
        ((".", "out", "1"), "expected settings.toml in it, found none"),
        (("strange", "out", "1"), 'strange: expected folder = "run" in settings.toml, found none'),
        ((".",), "expected DATA OUT MINUTES, got 1 words"),
    ],
)
def test_what_is_missing_is_named_in_a_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "settings.toml").write_text('folder = "runs/first"\n')
    done = elsewhere(tmp_path, *words)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr
