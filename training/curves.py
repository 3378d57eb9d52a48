"""A run's curves as a picture: losses, learning rate and gradient, validation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..model.config import HEADS
from ..program import picture_facts
from .logs import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_INK, _GRID = "#22252b", "#d8dbe2"
_COLOURS = {
    "onset": "#d1495b",
    "frame": "#2e6f95",
    "offset": "#edae49",
    "velocity": "#5b8e7d",
    "note": "#7d5ba6",
    "pedal": "#6b5b4b",
}
_STYLES = {"offline": "-", "streaming": "--"}

Curves = dict[str, tuple[np.ndarray, np.ndarray]]  #: name -> steps and values


def read_curves(path: Path) -> Curves:
    """Reads each column of a log as steps and values, without empty and non-finite cells.

    Raises ValueError for a file that is not a table of numbers by step.
    """
    columns, rows = read_table(path)
    curves = {}
    for name in columns[1:]:
        try:
            points = [(int(row["step"]), float(row[name])) for row in rows if row[name]]
        except ValueError as error:
            raise ValueError(f"{path}: expected numbers in the column {name} ({error})") from error
        points = [(step, value) for step, value in points if math.isfinite(value)]
        steps, values = zip(*points, strict=True) if points else ((), ())
        curves[name] = np.array(steps), np.array(values)
    return curves


def plot(folder: Path, picture: Path) -> None:
    """Writes a PNG of a run's curves.

    Raises ValueError for a folder without a log, OSError where the picture cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    training, validation = (read_curves(folder / f"{name}.csv") for name in ("log", "validation"))
    if not any(len(steps) for steps, _ in training.values()):
        raise ValueError(f"{folder}: expected a training run with a log.csv of at least one line, found none")
    panels = 3 if validation else 2
    figure = Figure((9, 2.9 * panels), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, sharex=True)
    _draw_losses(axes[0], training)
    _draw_rate(axes[1], training)
    if validation:
        _draw_validation(axes[2], validation)
    axes[-1].set_xlabel("step", color=_INK)
    figure.suptitle(folder.absolute().name.replace("$", r"\$"), x=0.01, ha="left", color=_INK, fontsize=11)
    figure.savefig(picture, format="png", metadata=picture_facts())


def _draw_losses(axes: Axes, curves: Curves) -> None:
    for head in (*HEADS, "pedal"):
        if head in curves:
            axes.plot(*curves[head], color=_COLOURS[head], lw=1.2, label=head)
    axes.set_yscale("log")
    _finish(axes, "loss per note (pedal: per frame)")


def _draw_rate(axes: Axes, curves: Curves) -> None:
    """Draws the learning rate, and the gradient norm on a second axis."""
    if "norm" in curves:
        norm = axes.twinx()
        norm.plot(*curves["norm"], color="#b8bcc8", lw=0.8)
        norm.set_yscale("log")
        norm.set_ylabel("gradient norm (grey)", color=_INK, fontsize=8)
        norm.tick_params(colors=_INK, labelsize=8)
    if "rate" in curves:
        axes.plot(*curves["rate"], color=_INK, lw=1.4, label="learning rate")
    axes.set_zorder(2)
    axes.patch.set_visible(False)
    _finish(axes, "learning rate")


def _draw_validation(axes: Axes, curves: Curves) -> None:
    for name, points in curves.items():
        mode, _, score = name.partition("_")
        style, colour = _STYLES.get(mode, ":"), _COLOURS.get(score, _INK)
        axes.plot(*points, color=colour, ls=style, lw=1.2, marker=".", ms=4, label=name.replace("_", " "))
    _finish(axes, "validation F1, %")


def _finish(axes: Axes, what: str) -> None:
    axes.set_ylabel(what, color=_INK, fontsize=9)
    axes.grid(True, color=_GRID, lw=0.5)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.spines["top"].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        # Above the axes, where it covers no curve.
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2, fontsize=8, frameon=False, ncols=6
        )
