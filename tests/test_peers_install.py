"""``pip install -c constraints.txt '.[peers]'`` in an empty environment, and what works there afterwards."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import read_midi
from hppnet.training.data.labels import note_ends_of, read_presses, read_table

ROOT = Path(__file__).parents[1]
FIRST_S = 10


@pytest.mark.slow
def test_the_peers_install_into_an_empty_environment_and_label_ten_seconds(tmp_path: Path) -> None:
    for name in (
        "hppnet",
        "model",
        "offline",
        "realtime",
        "training",
    ):  # a build writes there
        (tmp_path / "source").mkdir(exist_ok=True)
        (tmp_path / "source" / name).symlink_to(ROOT / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (tmp_path / "source" / name).write_bytes((ROOT / name).read_bytes())
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [python, "-m", "pip", "--quiet"]
    subprocess.run(
        [*pip, "install", "-c", ROOT / "constraints.txt", f"{tmp_path / 'source'}[peers]"], check=True
    )
    kept = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    assert "transkun==2.0.1" in kept and "nvidia" not in kept
    (tmp_path / "in").mkdir()
    with soundfile.SoundFile(ROOT / "examples" / "take.opus") as take:
        soundfile.write(tmp_path / "in" / "take.flac", take.read(FIRST_S * take.samplerate), take.samplerate)
    command = ["prepare", "label", tmp_path / "in", "-o", tmp_path / "out", "--model", "transkun"]
    subprocess.run([python.with_name("hppnet"), *command], check=True)
    found = read_table(tmp_path / "out" / "take.tsv")
    played = [note for note in read_midi(ROOT / "examples" / "take.mid") if note.onset_s < FIRST_S]
    right = [
        any(note.pitch == other.pitch and abs(note.onset_s - other.onset_s) < 0.05 for other in found)
        for note in played
    ]
    assert np.mean(right) > 0.9 and len(found) < 1.1 * len(played)
    presses = read_presses(tmp_path / "out" / "take.pedal")
    assert presses is not None and len(presses) > 5
    # Basic Pitch, as its adapter says: without what pip cannot resolve.
    subprocess.run([*pip, "install", "--no-deps", "basic-pitch==0.4.0"], check=True)
    command = ["prepare", "label", tmp_path / "in", "-o", tmp_path / "other", "--model", "basic-pitch"]
    subprocess.run([python.with_name("hppnet"), *command], check=True)
    assert note_ends_of(tmp_path / "other") == "sounding" and not (tmp_path / "other" / "take.pedal").exists()
    assert len(read_table(tmp_path / "other" / "take.tsv")) > len(played) / 2
