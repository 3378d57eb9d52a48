"""Draws an evaluation (PNG): F1 against latency, and mistakes by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...model.notes import pitch_name
from ...model.timebase import LOWEST_PITCH
from ...program import picture_facts
from .mistakes import GROUPS, Mistakes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_DPI = 110
_INK, _PAPER, _GRID = "#22252b", "#ffffff", "#e3e5ea"
_CURVES = {"onset_50ms": "onset", "onset_20ms": "onset, 20 ms", "onset_offset": "onset + offset"}
_COLOURS = ("#2563a8", "#d9822b", "#3a8f6b")
_MISSED, _INVENTED = "Reds", "Blues"  #: colour maps
_PANELS = {
    "key": "key",
    "velocity": "velocity",
    "octave": "an octave or a fifth from a sounding note",
    "repeated": "since the key was last played",
    "chord": "notes played within 30 ms",
}


@dataclass(frozen=True)
class Point:
    """One run: F1 in percent by score's name, and the 95 % bootstrap intervals."""

    f1: Mapping[str, float]  #: without scores that had nothing to score
    intervals: Mapping[str, tuple[float, float] | None]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=_DPI, facecolor=_PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _plain(axes: Axes) -> None:
    axes.tick_params(colors=_INK, labelsize=8, length=3)
    axes.grid(axis="y", color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw_latencies(
    path: Path, streamed: Mapping[float, Point], offline: Point | None, peers: Mapping[str, Point], title: str
) -> None:
    """Draws F1 against latency in ms, with bootstrap intervals; full context at the right edge.

    Peers, which receive the whole recording, are drawn there too. Raises OSError if the file cannot be
    written.
    """
    figure = _figure(8.5, 5)
    axes = figure.subplots()
    whole_ms = 1.2 * max(streamed)
    for (score, label), colour in zip(_CURVES.items(), _COLOURS, strict=True):
        known = [(ms, point) for ms, point in streamed.items() if score in point.f1]
        times = [ms for ms, _ in known]
        axes.plot(times, [p.f1[score] for _, p in known], "o-", color=colour, lw=2, ms=4, label=label)
        bands = [(ms, p.intervals[score]) for ms, p in known]
        sure = [(ms, band) for ms, band in bands if band is not None]
        if sure:
            low, high = zip(*(band for _, band in sure), strict=True)
            axes.fill_between([ms for ms, _ in sure], low, high, color=colour, alpha=0.13, lw=0)
        if offline is not None and score in offline.f1:
            axes.plot([whole_ms], [offline.f1[score]], "o", color=colour, ms=7)
        for number, point in enumerate(peers.values()):
            if score in point.f1:
                x = whole_ms * (1.06 + 0.06 * number)
                axes.plot([x], [point.f1[score]], "d", color=colour, ms=6, mec=_INK, mew=0.5)
    names = ["offline", *peers]
    axes.set_xticks(
        [*streamed, *(whole_ms * (1 + 0.06 * n) for n in range(len(names)))],
        [*(f"{ms:.0f}" for ms in streamed), *names],
    )
    axes.tick_params(axis="x", rotation=45 if peers else 0)
    axes.set_xlabel("latency (ms)", color=_INK)
    axes.set_ylabel("F1 (%)", color=_INK)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.set_title(_escaped(title), loc="left", fontsize=10, color=_INK)
    _plain(axes)
    figure.savefig(path, format="png", metadata=picture_facts())


def draw_mistakes(path: Path, mistakes: Mistakes, title: str) -> None:
    """Draws two bars per group: up, percent missed of the played notes; down, invented of the transcribed.

    A darker bar stands for more notes: improve those first. Raises OSError if the file cannot be written.
    """
    figure = _figure(13, 7.5)
    grid = figure.add_gridspec(2, 4)
    places = [grid[0, :], *(grid[1, column] for column in range(4))]
    for place, (way, name) in zip(places, _PANELS.items(), strict=True):
        axes = figure.add_subplot(place)
        _bars(axes, mistakes.counts[way])
        axes.set_title(name, loc="left", fontsize=9, color=_INK)
        names = GROUPS[way]
        if way == "key":
            octaves = [n for n, key in enumerate(names) if int(key) % 12 == 0]
            axes.set_xticks(octaves, [pitch_name(n + LOWEST_PITCH) for n in octaves])
        else:
            axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
        _plain(axes)
    figure.axes[0].set_ylabel("invented (%)  ·  missed (%)", fontsize=8, color=_INK)
    figure.suptitle(_escaped(title), x=0.01, ha="left", color=_INK, fontsize=11)
    figure.savefig(path, format="png", metadata=picture_facts())


def _bars(axes: Axes, counts: np.ndarray) -> None:
    """``counts`` [groups, 4] as in COUNTS."""
    from matplotlib import colormaps

    played, missed, transcribed, invented = counts.T
    x = np.arange(len(counts))
    for wrong, among, sign, colours in ((missed, played, 1, _MISSED), (invented, transcribed, -1, _INVENTED)):
        percent = 100 * wrong / np.maximum(among, 1)
        heat = colormaps[colours](0.2 + 0.75 * wrong / max(1, wrong.max()))
        axes.bar(x, sign * percent, color=heat, width=0.9)
    axes.axhline(0, color=_INK, lw=0.8)
    axes.set_xlim(-0.7, len(counts) - 0.3)
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")


def _escaped(title: str) -> str:
    """Escapes ``$``, which would begin a formula."""
    return title.replace("$", r"\$")
