"""The front end as ONNX operations.

Low bins have the longest windows, and need nothing above 1 kHz: they are computed from every fourth sample
of low-passed sound. That takes two fifths of the numbers, all of which a live step reads for one frame.
What it changes lies 118 dB below a full-scale sine, under the floor of the levels (a Kaiser window's ripple:
Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..frames import low_pass
from ..frontend import FLOOR_DB, FrontEndConfig, frequencies_hz, kernel
from ..timebase import BINS, HOP, SAMPLE_RATE
from .graph import Graph
from .layers import part

#: Where the bins are split: short windows need few rows.
EDGES = (0, 128, 176, 224, 256, 304, BINS)
EVERY = 4  #: samples of which low bins take one
LOW_HZ = 700.0  #: bins below this are low
#: The low-pass: length, the frequency that it halves, and the shape of its Kaiser window.
TAPS, CUT_HZ, BETA = 65, 1900.0, 12.0
ROW = 64  #: samples that one row of the low-pass makes ROW / EVERY new ones of; TAPS - 1


@dataclass(frozen=True, eq=False)
class Group:
    """Some neighbouring bins, and the part of the transform that is not zero for them."""

    first: int
    last: int  #: the bin after the last one
    every: int  #: 1, or EVERY: of low-passed sound
    start: int  #: the first of these samples that is needed
    matrix: np.ndarray  #: [samples, 2 * bins]: cosines, then minus sines


def levels_of_frames(graph: Graph, samples: str, config: FrontEndConfig) -> str:
    """Levels [B, 352] (see ``frontend.normal``) of the frames whose samples [B, span] are given."""
    sounds, powers = {1: samples, EVERY: low_passed(graph, samples, config.span)}, []
    for group in groups(config):
        cut = part(graph, sounds[group.every], group.start, group.start + len(group.matrix), 1)
        sums = graph.op("MatMul", cut, graph.constant(group.matrix))
        powers.append(power(graph, sums, group.last - group.first))
    return to_levels(graph, graph.op("Concat", *powers, axis=1))


@lru_cache(maxsize=2)
def groups(config: FrontEndConfig) -> list[Group]:
    """The transform's matrix in groups of bins.

    Kept, since every look-ahead has a graph of its own with the same front end.
    """
    matrix, _ = kernel(config)
    hz = frequencies_hz(config.tuning_cents)
    found = []
    for first, last in pairwise(EDGES):
        every = EVERY if hz[last - 1] < LOW_HZ else 1
        own = every * matrix[::every, np.r_[first:last, BINS + first : BINS + last]]
        used = np.flatnonzero(np.any(own != 0, axis=1))
        own = np.ascontiguousarray(own[used[0] : used[-1] + 1])
        found.append(Group(first, last, every, int(used[0]), own))
    return found


def low_passed(graph: Graph, samples: str, span: int) -> str:
    """Every fourth sample [B, span / 4, rounded up] of low-passed sound [B, span], silence around it."""
    rows, half = -(-span // ROW), TAPS // 2
    padded = graph.op("Pad", samples, graph.integers(0, half, 0, (rows + 1) * ROW - half - span))
    halves = graph.op("Reshape", padded, graph.integers(-1, rows + 1, ROW))
    beside = [part(graph, halves, first, first + rows, 1) for first in (0, 1)]
    found = graph.op("MatMul", graph.op("Concat", *beside, axis=2), graph.constant(decimator()))
    return graph.op("Reshape", found, graph.integers(-1, rows * ROW // EVERY))


def decimator() -> np.ndarray:
    """The filter [2 * ROW, ROW / EVERY], once for each of the samples that a row makes."""
    taps = low_pass(SAMPLE_RATE, TAPS // 2, CUT_HZ, BETA)
    matrix = np.zeros((2 * ROW, ROW // EVERY))
    for column in range(ROW // EVERY):
        matrix[EVERY * column : EVERY * column + TAPS, column] = taps
    return matrix


def framed(graph: Graph, samples: str, config: FrontEndConfig, frames: int) -> str:
    """The samples of each frame [T, span], of those of all [(T - 1) * HOP + span]."""
    row = math.gcd(HOP, config.span)
    rows = graph.op("Reshape", samples, graph.integers(-1, row))
    numbers = np.arange(frames)[:, None] * (HOP // row) + np.arange(config.span // row)
    taken = graph.op("Gather", rows, graph.constant(numbers, "int64"), axis=0)
    return graph.op("Reshape", taken, graph.integers(frames, config.span))


def power(graph: Graph, sums: str, bins: int) -> str:
    """Powers [B, bins], from real parts, then imaginary ones [B, 2 * bins]."""
    apart = graph.op("Reshape", sums, graph.integers(-1, 2, bins))
    return graph.op("ReduceSumSquare", apart, axes=[1], keepdims=0)


def to_levels(graph: Graph, powers: str) -> str:
    """log power, the floor to 0 dB as -1 to 2."""
    floor = graph.constant(10 ** (FLOOR_DB / 10))
    scale = 10 / math.log(10) * 3 / -FLOOR_DB
    log = graph.op("Log", graph.op("Max", powers, floor))
    return graph.op("Add", graph.op("Mul", log, graph.constant(scale)), graph.constant(2.0))
