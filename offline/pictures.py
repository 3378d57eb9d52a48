"""Draws a piano roll as a PNG: notes coloured by velocity over the network's probabilities."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..failure import printable
from ..model.notes import Note, Press, pitch_name
from ..model.timebase import FRAMES_PER_SECOND, KEYS, LOWEST_PITCH
from ..program import picture_facts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE_S = 600.0  #: longest part of a recording that is drawn, from its start
ROW_S = 30.0  #: longer recordings continue in the next row
_SHORTEST_ROW_S = 4.0
_ROW_INCHES = (14.0, 3.4)
_DPI = 110
_INK, _PAPER, _BLACK_KEYS = "#22252b", "#ffffff", "#f1f2f5"
_PEDAL = "#8a93a6"
_COLOURS = "plasma_r"  #: matplotlib's name of the colours for velocities
_BLACK = {1, 3, 6, 8, 10}


def draw_piano_roll(
    path: str | os.PathLike[str],
    notes: Sequence[Note],
    probabilities: np.ndarray | None,
    duration_s: float,
    title: str = "",
    pedal: Sequence[Press] | None = None,
    comment: str = "",
) -> None:
    """Write a PNG of the first ``PICTURE_S`` seconds in rows of ``ROW_S``, with the pedal below the keys.

    ``probabilities`` [T, 88, 4] (onset, frame, offset, velocity), 0 to 1, at 50 frames a second, may end
    early or be None. ``comment``, ASCII, becomes a text chunk. Raises OSError if the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown_s = min(duration_s, PICTURE_S)
    rows = max(1, math.ceil(shown_s / ROW_S - 1e-6))
    row_s = ROW_S if rows > 1 else max(shown_s, _SHORTEST_ROW_S)
    low, high = _pitch_range(notes, shown_s)
    width, height = _ROW_INCHES
    figure = Figure((width, height * rows + 0.7), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for number, row in enumerate(axes):
        begin = number * row_s
        _draw_keyboard(row, low, high)
        if probabilities is not None:
            _draw_probabilities(row, probabilities, begin, row_s)
        _draw_notes(row, notes, begin, begin + row_s)
        _label(row, begin, row_s, low, high, clock=rows > 2)
        if pedal is not None:
            _draw_pedal(row, pedal, low)
    axes[-1].set_xlabel("time (min:s)" if rows > 2 else "time (s)", color=_INK)
    figure.suptitle(_heading(title, notes, duration_s), x=0.01, ha="left", color=_INK, fontsize=11)
    _add_velocity_scale(figure, list(axes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # characters that the font lacks appear as boxes
        figure.savefig(Path(path), format="png", metadata=picture_facts(comment))


def _heading(title: str, notes: Sequence[Note], duration_s: float) -> str:
    length = f"{int(duration_s // 60)}:{duration_s % 60:04.1f}"
    part = f", the first {PICTURE_S / 60:.0f} minutes" if duration_s > PICTURE_S else ""
    # A $ would begin a formula.
    title = printable(title).replace("$", r"\$")
    return f"{title}    {len(notes)} notes, {length}{part}".strip()


def _pitch_range(notes: Sequence[Note], shown_s: float) -> tuple[int, int]:
    """Lowest and highest pitch drawn: the octaves in use, at least three, so that few notes stay legible."""
    pitches = [note.pitch for note in notes if note.onset_s < shown_s] or [60]
    low, high = 12 * (min(pitches) // 12), 12 * (max(pitches) // 12) + 11
    while high - low < 35:
        low, high = (low - 12, high) if 60 - low < high - 60 else (low, high + 12)
    return max(low, LOWEST_PITCH), min(high, LOWEST_PITCH + KEYS - 1)


def _draw_keyboard(axes: Axes, low: int, high: int) -> None:
    """Shade the black keys and draw a line at each C."""
    for pitch in range(low, high + 1):
        if pitch % 12 in _BLACK:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color=_BLACK_KEYS, lw=0, zorder=0)
        if pitch % 12 == 0:
            axes.axhline(pitch - 0.5, color="#c9ccd4", lw=0.6, zorder=1)


def _draw_probabilities(axes: Axes, probabilities: np.ndarray, begin: float, row_s: float) -> None:
    """Draw frame probabilities in transparent grey-blue, with onsets in dark green on top."""
    first = round(begin * FRAMES_PER_SECOND)
    part = probabilities[first : first + round(row_s * FRAMES_PER_SECOND)]
    if not len(part):
        return
    onset, frame = (np.clip(part[:, :, head].T.astype(np.float32), 0, 1) for head in (0, 1))
    image = np.empty((*onset.shape, 4), np.float32)
    image[..., :3] = np.where(onset[..., None] > 0.1, (0.05, 0.35, 0.40), (0.40, 0.55, 0.80))
    image[..., 3] = np.maximum(0.35 * frame, 0.9 * onset)
    half = 0.5 / FRAMES_PER_SECOND  # a frame's time is its centre
    times = (begin - half, begin + len(part) / FRAMES_PER_SECOND - half)
    keys = (LOWEST_PITCH - 0.5, LOWEST_PITCH + KEYS - 0.5)
    axes.imshow(
        image, extent=(*times, *keys), origin="lower", aspect="auto", interpolation="nearest", zorder=2
    )


def _draw_notes(axes: Axes, notes: Sequence[Note], begin: float, end: float) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    inside = [note for note in notes if note.offset_s > begin and note.onset_s < end]
    bars = [Rectangle((n.onset_s, n.pitch - 0.36), n.offset_s - n.onset_s, 0.72) for n in inside]
    bodies = PatchCollection(bars, cmap=_COLOURS, edgecolor=_INK, linewidth=0.3, alpha=0.85, zorder=3)
    bodies.set_array(np.array([n.velocity for n in inside], float))
    bodies.set_clim(0, 127)
    axes.add_collection(bodies, autolim=False)


def _draw_pedal(axes: Axes, pedal: Sequence[Press], low: int) -> None:
    """Draw a bar below the lowest key while the pedal is down."""
    height = 1.6
    lengths, begins = [press.up_s - press.down_s for press in pedal], [press.down_s for press in pedal]
    axes.barh([low - 0.7 - height / 2] * len(pedal), lengths, height, begins, color=_PEDAL, lw=0, zorder=3)
    axes.set_ylim(bottom=low - 1.0 - height)
    axes.set_yticks(
        [low - 0.7 - height / 2, *axes.get_yticks()],
        ["pedal", *(label.get_text() for label in axes.get_yticklabels())],
    )


def _label(axes: Axes, begin: float, row_s: float, low: int, high: int, clock: bool) -> None:
    axes.set_xlim(begin, begin + row_s)
    axes.set_ylim(low - 0.5, high + 0.5)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set_yticks(octaves, [pitch_name(pitch) for pitch in octaves])
    if clock:
        axes.xaxis.set_major_formatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02d}")
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _add_velocity_scale(figure: Figure, axes: list[Axes]) -> None:
    bar = figure.colorbar(axes[0].collections[-1], ax=axes, aspect=40, fraction=0.02, pad=0.01)
    bar.set_label("velocity", color=_INK, fontsize=8)
    bar.ax.tick_params(colors=_INK, labelsize=8)
    bar.outline.set_visible(False)
