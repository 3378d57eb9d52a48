"""``hppnet prepare --arrays``: features and targets as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hppnet.model.spectrum import FrontEnd
from hppnet.training.data.dataset import read_notes
from hppnet.training.data.labels import targets

from .data_sets import pair, prepare


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
    from hppnet.training.data import arrays as module

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
