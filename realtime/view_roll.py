"""A keyboard of 88 keys and the notes of the last seconds above it, as coloured text.

Both share one geometry: a white key is ``unit`` half cells wide, a black key covers the border of two white
keys, as on a piano. At 80 columns ``unit`` is 3 and the keyboard takes 78 columns. The roll has half rows
too: a cell shows up to four quarters, in the colour of its loudest note.

Without colour or without UTF-8 (``plain``) a white key is a whole cell, a sharp is ``#`` in the cell of
the white key below it, and loudness is ``.``, ``o`` or ``O``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

import numpy as np
from rich.style import Style
from rich.text import Text

from ..model.timebase import KEYS, LOWEST_PITCH
from .status import RECENT_S, RecentNote

BLACK = {1, 3, 6, 8, 10}  #: pitch classes of the black keys
WHITE_KEYS = sum((LOWEST_PITCH + key) % 12 not in BLACK for key in range(KEYS))  #: 52
LEVELS = 6  #: levels of brightness
ATTACK = LEVELS + 1
HALF_ROW_S = 0.15  #: if the roll then shows 3 to RECENT_S seconds; a taller roll is finer, not longer
QUARTERS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  #: indexed by bits: 1 upper left, 2 upper right, 4 lower left, 8 lower right
PLAIN_LEVELS = " ..ooOOO"

_GLOW = ("#4d3800", "#6e5000", "#916a06", "#b5860f", "#daa520", "#ffc83d", "#fff0c0")
_NOTE = [Style(color="#3a3a3a"), *(Style(color=colour) for colour in _GLOW)]
_WHITE, _WHITE_TOO, _BLACK = "#e4e4e4", "#c6c6c6", "#1c1c1c"  # two whites, so that neighbours are told apart


@dataclass(frozen=True)
class Lanes:
    """The position of each key: first half cell and width [88], in half cells (in cells if plain)."""

    first: np.ndarray
    width: np.ndarray
    white_first: np.ndarray  #: [52] first half cell of each white key's front
    unit: int
    plain: bool

    @property
    def columns(self) -> int:
        """Character cells that the keyboard takes."""
        halves = WHITE_KEYS * self.unit
        return halves if self.plain else -(-halves // 2)


def lanes_for(columns: int, plain: bool) -> Lanes | None:
    """The widest keyboard that fits; None where the terminal is too narrow for one."""
    unit = columns // WHITE_KEYS if plain else 2 * columns // WHITE_KEYS
    if unit < (1 if plain else 2):
        return None
    # The narrowest white lane, between two black ones, keeps at least one half cell.
    black = 1 if plain or unit < 3 else 2 * max(1, (unit - 1) // 4 + (unit % 4 == 2))
    first, width = np.zeros(KEYS, dtype=int), np.zeros(KEYS, dtype=int)
    whites = 0
    for key in range(KEYS):
        if is_black(key):
            first[key], width[key] = whites * unit - (black + 1) // 2, black
        else:
            first[key], width[key] = whites * unit, unit
            whites += 1
    return Lanes(first, width, np.arange(WHITE_KEYS) * unit, unit, plain)


def is_black(key: int) -> bool:
    return (LOWEST_PITCH + key) % 12 in BLACK


def level(velocity: int) -> int:
    """Brightness of a velocity (0 to 127): 1 to LEVELS."""
    return min(LEVELS, 1 + velocity * LEVELS // 128)


# --- the roll ---


def roll(notes: Sequence[RecentNote], now_s: float, lanes: Lanes, rows: int) -> list[Text]:
    """The notes of the last seconds, newest at the bottom: ``rows`` lines, ``lanes.columns`` wide."""
    slices = rows if lanes.plain else 2 * rows
    grid, sharps = _grid(notes, now_s, lanes, slices)
    if lanes.plain:
        return [_plain_line(grid[row], sharps[row]) for row in range(rows)]
    corners = grid.reshape(rows, 2, -1, 2).transpose(0, 2, 1, 3).reshape(rows, -1, 4)
    masks = ((corners > 0) * np.array([1, 2, 4, 8])).sum(axis=2)
    brightest = corners.max(axis=2)
    guides = {lanes.first[key] // 2 for key in range(3, KEYS, 12)}  # a line at every C
    return [_quarter_line(masks[row], brightest[row], guides) for row in range(rows)]


def _grid(
    notes: Sequence[RecentNote], now_s: float, lanes: Lanes, slices: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns brightness [slices, halves] and whether a sharp causes it; the last slice ends at ``now_s``."""
    halves = lanes.columns * (1 if lanes.plain else 2)
    grid, sharps = np.zeros((slices, halves), dtype=int), np.zeros((slices, halves), dtype=bool)
    slice_s = min(RECENT_S, max(3.0, slices * HALF_ROW_S)) / max(1, slices)
    begin_s = now_s - slices * slice_s
    # White keys first, so that black keys cover them.
    for note in sorted(notes, key=lambda note: (is_black(note.pitch - LOWEST_PITCH), note.onset_s)):
        key = note.pitch - LOWEST_PITCH
        end_s = now_s if note.offset_s is None else min(note.offset_s, now_s)
        head, tail = int((note.onset_s - begin_s) // slice_s), int((end_s - begin_s) // slice_s)
        if tail < 0 or head >= slices or not 0 <= key < KEYS:
            continue
        across = slice(lanes.first[key], lanes.first[key] + lanes.width[key])
        body = slice(max(0, head), min(slices, max(tail, head) + 1))
        grid[body, across], sharps[body, across] = level(note.velocity), is_black(key)
        if head >= 0:
            grid[head, across] = ATTACK if note.velocity >= 64 else level(note.velocity) + 1
    return grid, sharps


def _quarter_line(masks: np.ndarray, brightest: np.ndarray, guides: Collection[int]) -> Text:
    line = Text(no_wrap=True, end="")
    edges = np.flatnonzero(np.diff(brightest)) + 1
    for begin, end in zip([0, *edges], [*edges, len(masks)], strict=True):
        signs = "".join(
            QUARTERS[masks[i]] if masks[i] else "▏" if i in guides else " " for i in range(begin, end)
        )
        line.append(signs, _NOTE[brightest[begin]])
    return line


def _plain_line(levels: np.ndarray, sharps: np.ndarray) -> Text:
    signs = ("#" if sharp and at else PLAIN_LEVELS[at] for at, sharp in zip(levels, sharps, strict=True))
    return Text("".join(signs), no_wrap=True, end="")


# --- the keyboard ---


def keyboard(lit: dict[int, int], lanes: Lanes) -> list[Text]:
    """Returns three lines (plain: two) with the keys of ``lit`` (pitch -> velocity) highlighted."""
    glow = {pitch - LOWEST_PITCH: level(velocity) for pitch, velocity in lit.items()}
    if lanes.plain:
        return _plain_keyboard(glow, lanes)
    fronts = [""] * (2 * lanes.columns)
    whites = [key for key in range(KEYS) if not is_black(key)]
    for number, key in enumerate(whites):
        colour = _GLOW[glow[key]] if key in glow else (_WHITE, _WHITE_TOO)[number % 2]
        begin = lanes.white_first[number]
        fronts[begin : begin + lanes.unit] = [colour] * lanes.unit
    backs = list(fronts)
    for key in range(KEYS):
        if is_black(key):
            begin, width = lanes.first[key], lanes.width[key]
            backs[begin : begin + width] = [_GLOW[glow[key]] if key in glow else _BLACK] * width
    return [_key_line(backs), _key_line(backs), _key_line(fronts)]


def _key_line(colours: Sequence[str]) -> Text:
    """Draws half cells of the given colours [halves] as left half blocks."""
    line = Text(no_wrap=True, end="")
    for (left, right), cells in groupby(zip(colours[::2], colours[1::2], strict=True)):
        line.append("▌" * len(list(cells)), _key_style(left, right))
    return line


@lru_cache
def _key_style(left: str, right: str) -> Style:
    return Style(color=left or None, bgcolor=right or None)


def _plain_keyboard(glow: dict[int, int], lanes: Lanes) -> list[Text]:
    backs, fronts = [" "] * lanes.columns, ["_"] * lanes.columns
    for key in range(KEYS):
        row = backs if is_black(key) else fronts
        sign = "@" if key in glow else "#" if is_black(key) else "C" if key % 12 == 3 else "_"
        row[lanes.first[key]] = sign
        if key in glow:
            row[lanes.first[key] : lanes.first[key] + lanes.width[key]] = "@" * lanes.width[key]
    return [Text("".join(row), no_wrap=True, end="") for row in (backs, fronts)]
