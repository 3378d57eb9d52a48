"""The front end as ONNX operations.

Low bins have the longest windows but need nothing above 1 kHz, so they are computed from every fourth sample
of low-passed sound. That reduces the matrices, which a live step reads completely for one frame, to two
fifths. The error lies 118 dB below a full-scale sine and below the floor of the levels (ripple of a Kaiser
window: Kaiser, "Nonrecursive digital filter design using the I0-sinh window function", 1974).
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

#: Boundaries of groups of bins: short windows need few rows.
EDGES = (0, 128, 176, 224, 256, 304, BINS)
EVERY = 4  #: low bins use one in this many samples
LOW_HZ = 700.0  #: bins below this are low
#: The low-pass: number of taps, frequency with gain 0.5, and shape of the Kaiser window.
TAPS, CUT_HZ, BETA = 65, 1900.0, 12.0
ROW = 64  #: samples of a row, from which the low-pass makes ROW / EVERY; TAPS - 1


@dataclass(frozen=True, eq=False)
class Group:
    """Adjacent bins, and the part of the transform that is not zero for them."""

    first: int
    last: int  #: the bin after the last one
    every: int  #: 1, or EVERY for low-passed sound
    start: int  #: first sample needed, counted after the low-pass
    matrix: np.ndarray  #: [samples, 2 * bins]: cosines, then minus sines


def levels_of_frames(graph: Graph, samples: str, config: FrontEndConfig) -> str:
    """Levels [B, 352] (see ``frontend.normal``) of frames, from their samples [B, span]."""
    sounds, powers = {1: samples, EVERY: low_passed(graph, samples, config.span)}, []
    for group in groups(config):
        cut = part(graph, sounds[group.every], group.start, group.start + len(group.matrix), 1)
        sums = graph.op("MatMul", cut, graph.constant(group.matrix))
        powers.append(power(graph, sums, group.last - group.first))
    return to_levels(graph, graph.op("Concat", *powers, axis=1))


@lru_cache(maxsize=2)
def groups(config: FrontEndConfig) -> list[Group]:
    """The transform's matrix in groups of bins.

    Cached: every look-ahead has its own graph, but all share one front end.
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
    """Every fourth sample [B, span / 4, rounded up] of low-passed sound [B, span], with silence around."""
    rows, half = -(-span // ROW), TAPS // 2
    padded = graph.op("Pad", samples, graph.integers(0, half, 0, (rows + 1) * ROW - half - span))
    halves = graph.op("Reshape", padded, graph.integers(-1, rows + 1, ROW))
    beside = [part(graph, halves, first, first + rows, 1) for first in (0, 1)]
    found = graph.op("MatMul", graph.op("Concat", *beside, axis=2), graph.constant(decimator()))
    return graph.op("Reshape", found, graph.integers(-1, rows * ROW // EVERY))


def decimator() -> np.ndarray:
    """The filter as a matrix [2 * ROW, ROW / EVERY]: a column for each output sample of a row."""
    taps = low_pass(SAMPLE_RATE, TAPS // 2, CUT_HZ, BETA)
    matrix = np.zeros((2 * ROW, ROW // EVERY))
    for column in range(ROW // EVERY):
        matrix[EVERY * column : EVERY * column + TAPS, column] = taps
    return matrix


def framed(graph: Graph, samples: str, config: FrontEndConfig, frames: int) -> str:
    """The samples of each frame [T, span], from contiguous samples [(T - 1) * HOP + span]."""
    row = math.gcd(HOP, config.span)
    rows = graph.op("Reshape", samples, graph.integers(-1, row))
    numbers = np.arange(frames)[:, None] * (HOP // row) + np.arange(config.span // row)
    taken = graph.op("Gather", rows, graph.constant(numbers, "int64"), axis=0)
    return graph.op("Reshape", taken, graph.integers(frames, config.span))


def power(graph: Graph, sums: str, bins: int) -> str:
    """Powers [B, bins], from real parts followed by imaginary parts [B, 2 * bins]."""
    apart = graph.op("Reshape", sums, graph.integers(-1, 2, bins))
    return graph.op("ReduceSumSquare", apart, axes=[1], keepdims=0)


def to_levels(graph: Graph, powers: str) -> str:
    """Levels from powers: FLOOR_DB to 0 dB become -1 to 2."""
    floor = graph.constant(10 ** (FLOOR_DB / 10))
    scale = 10 / math.log(10) * 3 / -FLOOR_DB
    log = graph.op("Log", graph.op("Max", powers, floor))
    return graph.op("Add", graph.op("Mul", log, graph.constant(scale)), graph.constant(2.0))
