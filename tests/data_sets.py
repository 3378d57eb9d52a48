"""Small data sets that tests make themselves, and the command that prepares them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from typer.testing import CliRunner, Result

from hppnet.cli import app

from .midi_files import pedalled
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


def maestro_in(tmp_path: Path) -> Path:
    """MAESTRO's folder, with four recordings."""
    folder = tmp_path / "maestro-v3.0.0"
    for n in range(4):
        pair(folder / "2018" / f"p{n}")
    with (folder / "maestro-v3.0.0.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows())
    return folder
