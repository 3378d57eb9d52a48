"""The log's tables, the curves drawn from them, TensorBoard."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.offline.provenance import written_here
from hppnet.training.curves import read_curves
from hppnet.training.logs import CsvTable, Means, read_table

from . import needs


def test_rows_are_means_and_the_last_rate() -> None:
    means = Means(every=3)
    assert means.add(4, {"onset": 1.0, "norm": math.nan, "rate": 1.0, "s": 1.0}) is None
    assert means.add(5, {"onset": 2.0, "norm": 4.0, "rate": 2.0, "s": 2.0}) is None
    row = means.add(6, {"onset": 6.0, "norm": 6.0, "rate": 3.0, "s": 3.0})
    assert row == {"onset": 3.0, "norm": 5.0, "rate": 3.0, "s": 3.0}
    assert means.take() is None


def test_a_resumed_run_goes_on_after_its_last_save(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    table = CsvTable(path)
    for step in (10, 20, 30):
        table.append(step, {"onset": step / 10})
    with path.open("a") as handle:
        handle.write("4")  # cut short by a power cut
    again = CsvTable(path, from_step=20)
    again.append(25, {"onset": 9.0, "rate": 0.5})  # a later version has a column more
    again.append(30, {"onset": 8.0, "rate": 0.25})
    columns, rows = read_table(path)
    assert columns == ["step", "onset", "rate"]
    assert [tuple(row.values()) for row in rows] == [
        ("10", "1", ""),
        ("20", "2", ""),
        ("25", "9", "0.5"),
        ("30", "8", "0.25"),
    ]
    CsvTable(path, from_step=30).append(40, {"onset": 7.0})  # and an earlier one a column less
    assert read_table(path)[1][-1] == {"step": "40", "onset": "7", "rate": ""}


def a_run(folder: Path) -> Path:
    folder.mkdir()
    log, validation = CsvTable(folder / "log.csv"), CsvTable(folder / "validation.csv")
    for step in range(50, 1000, 50):
        parts = {"onset": 9 * 0.998**step, "frame": 20 * 0.999**step, "offset": 9.0, "velocity": 0.1}
        parts["pedal"] = 0.998**step
        log.append(step, {**parts, "norm": math.nan if step < 100 else 3.0, "rate": 1e-3, "s": step})
        validation.append(step, {"offline_onset": step / 10, "streaming_onset": step / 12})
    return folder


def test_curves_leave_out_what_is_no_number(tmp_path: Path) -> None:
    curves = read_curves(a_run(tmp_path / "run") / "log.csv")
    assert curves["norm"][0][0] == 100 and len(curves["onset"][0]) == 19
    assert curves["onset"][1][0] == pytest.approx(9 * 0.998**50, rel=1e-4)


def test_plot_training_draws_a_run(tmp_path: Path) -> None:
    from matplotlib.image import imread

    folder = a_run(tmp_path / "run $5")
    done = CliRunner().invoke(app, ["plot-training", str(folder)])
    assert done.exit_code == 0, done.output
    with_validation = imread(folder / "curves.png")
    (folder / "validation.csv").unlink()
    other = tmp_path / "other.png"
    assert CliRunner().invoke(app, ["plot-training", str(folder), "-o", str(other)]).exit_code == 0
    without = imread(other)
    assert written_here(other)
    assert with_validation.shape[0] > without.shape[0] and with_validation.std() > 0.01
    for colour in ((209, 73, 91), (107, 91, 75)):  # the onset's and the pedal's: their curves were drawn
        assert (np.abs(without[..., :3] * 255 - colour).max(-1) < 8).any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "expected a training run with a log.csv"),
        ("step,onset\n", "expected a training run with a log.csv"),
        ("time,onset\n1,2\n", "first column is step"),
        ("step,onset\n50,much\n", "expected numbers in the column onset"),
    ],
)
def test_plot_training_names_what_is_wrong(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    done = CliRunner().invoke(app, ["plot-training", str(tmp_path)])
    assert done.exit_code == 1 and words in done.stderr and done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    accumulator = needs.module("tensorboard.backend.event_processing.event_accumulator", "train")
    from hppnet.training.logs import Board

    board = Board(tmp_path, 0)
    board.scalars(50, {"onset": 2.5}, "training")
    board.image(50, np.full((20, 30, 3), 128, np.uint8))
    board.close()
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in found.Scalars("training/onset")] == [(50, 2.5)]
    (image,) = found.Images(found.Tags()["images"][0])
    assert (image.width, image.height) == (30, 20)
