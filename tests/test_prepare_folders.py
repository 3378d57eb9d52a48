"""``hppnet prepare maps`` and ``pairs``: what belongs together in a folder, and what it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hppnet.training.data.dataset import read_notes

from .data_sets import pair, prepare
from .midi_files import KEYS, SOUNDING

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
