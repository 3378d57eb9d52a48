"""The front end as ONNX operations."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..frontend import FLOOR_DB, FrontEndConfig, kernel
from ..timebase import BINS, HOP
from .graph import Graph
from .layers import part

#: Where the bins are split: short windows need few rows.
EDGES = (0, 96, 128, 160, 192, 224, 256, 304, BINS)


def levels_of_frames(graph: Graph, samples: str, config: FrontEndConfig) -> str:
    """Levels [B, 352] (see ``frontend.normal``) of the frames whose samples [B, span] are given."""
    powers = []
    for start, matrix in groups(config):
        cut = part(graph, samples, start, start + len(matrix), 1)
        sums = graph.op("MatMul", cut, graph.constant(matrix))
        powers.append(power(graph, sums, matrix.shape[1] // 2))
    return to_levels(graph, graph.op("Concat", *powers, axis=1))


@lru_cache(maxsize=2)
def groups(config: FrontEndConfig) -> list[tuple[int, np.ndarray]]:
    """The transform's matrix in groups of bins: of each the first row that is needed, and the matrix.

    Kept, since every look-ahead has a graph of its own with the same front end.
    """
    matrix, _ = kernel(config)
    groups = []
    for first, last in pairwise(EDGES):
        own = matrix[:, np.r_[first:last, BINS + first : BINS + last]]
        used = np.flatnonzero(np.any(own != 0, axis=1))
        groups.append((int(used[0]), np.ascontiguousarray(own[used[0] : used[-1] + 1])))
    return groups


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
