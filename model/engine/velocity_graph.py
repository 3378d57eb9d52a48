"""The velocity head as ONNX operations, computed at onset candidates only.

Letters: B frames (of one stream, or one each of B streams), P keys, C channels, F bins, M onset candidates.
"""

from __future__ import annotations

import numpy as np

from ..config import (
    ABOVE,
    AROUND,
    BELOW,
    FUTURE,
    LEVEL,
    LOUDEST,
    MEAN,
    NEPERS,
    ONSET_FLOOR,
    PAST,
    SILENCE,
    SPREAD,
)
from ..timebase import BINS_PER_KEY, KEYS
from . import layers
from .graph import Graph
from .layers import Weights, part

WIDE = BELOW + KEYS + ABOVE  #: key levels of a frame, with silence around the keys


def key_levels(graph: Graph, levels: str) -> str:
    """Key levels [B, WIDE] from levels [B, F]."""
    keys = graph.op("Reshape", levels, graph.integers(-1, KEYS, BINS_PER_KEY))
    keys = graph.op("Sub", graph.op("ReduceMax", keys, axes=[2], keepdims=0), graph.constant(LEVEL))
    return graph.op("Pad", keys, graph.integers(0, BELOW, 0, ABOVE), graph.constant(SILENCE))


def loudness(graph: Graph, levels: str) -> str:
    """A summary of each frame's loudness [B, 3], from levels [B, F]."""
    power = graph.op("ReduceLogSumExp", graph.op("Mul", levels, graph.constant(NEPERS)), axes=[1])
    mean = graph.op("ReduceMean", levels, axes=[1])
    both = graph.op("Concat", graph.op("Mul", power, graph.constant(1 / NEPERS)), mean, axis=1)
    both = graph.op("Add", both, graph.constant(1.0))
    return graph.op("Pad", both, graph.integers(0, 0, 0, 1), graph.constant(1.0))


class VelocityGraph:
    """The head with R frames of future; None: with FUTURE frames."""

    def __init__(self, graph: Graph, weights: Weights, look_ahead: int | None) -> None:
        self.graph, self.weights = graph, weights
        self.future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
        self.frames = PAST + 1 + self.future  #: number of frames that the head receives

    def candidates(self, onsets: str) -> tuple[str, str, str]:
        """Onset candidates in probabilities [B, P]: indices [2, M], and split into frames and keys [M]."""
        graph = self.graph
        likely = graph.op("GreaterOrEqual", onsets, graph.constant(ONSET_FLOOR))
        where = graph.op("NonZero", likely)
        frame, key = graph.ops("Split", [where, graph.integers(1, 1)], 2, axis=0)
        flat = graph.integers(-1)
        return where, graph.op("Reshape", frame, flat), graph.op("Reshape", key, flat)

    def levels(self, keys: str, frame: str, key: str, apart: int) -> str:
        """Levels around candidates [M, frames * AROUND]; ``apart``: stride of ``frame`` in ``keys``."""
        graph = self.graph
        flat = graph.op("Reshape", keys, graph.integers(-1))
        first = graph.op("Add", graph.op("Mul", frame, graph.integers(apart)), key)
        around = (np.arange(self.frames)[:, None] * WIDE + np.arange(AROUND)).ravel()
        numbers = graph.op(
            "Add", graph.op("Unsqueeze", first, graph.integers(1)), graph.constant(around, "int64")
        )
        return graph.op("Gather", flat, numbers, axis=0)

    def velocities(self, levels: str, features: str, key: str, place: str) -> str:
        """Velocities [M] from levels around candidates [M, frames * AROUND] and features [M, frames * C]."""
        graph = self.graph
        own = self.weights["velocity.key"] + self.weights["velocity.future"][self.future]
        units = graph.op("Add", place, graph.op("Gather", graph.constant(own), key, axis=0))
        units = graph.op("Gemm", levels, self._weight("levels"), units)
        units = graph.op("Relu", graph.op("Gemm", features, self._weight("features"), units))
        units = graph.op("Relu", layers.linear(graph, units, self.weights, "velocity.second"))
        found = graph.op("Sigmoid", layers.linear(graph, units, self.weights, "velocity.out"))
        return graph.op("Reshape", found, graph.integers(-1))

    def scattered(self, onsets: str, where: str, velocities: str) -> str:
        """Scatters velocities [M] to [B, P], 0 elsewhere."""
        nothing = self.graph.op("Mul", onsets, self.graph.constant(0.0))
        return self.graph.op("ScatterND", nothing, self.graph.op("Transpose", where, perm=[1, 0]), velocities)

    def place(self, now: str, loudest: str, means: str) -> str:
        """The loudness term of the units [B, units], from current, largest and mean loudness, [B, 3] each."""
        graph = self.graph
        means = graph.op("Div", part(graph, means, 0, 2, 1), part(graph, means, 2, 3, 1))
        told = graph.op("Concat", part(graph, now, 0, 2, 1), part(graph, loudest, 0, 1, 1), means, axis=1)
        weight, bias = (self.weights[f"velocity.loudness.{what}"] for what in ("weight", "bias"))
        # Rows in the order of ``velocity.loudness``; columns: now, mean now, loudest, loud, mean.
        mix = SPREAD * np.array(
            [[1, 0, -1, 0, 0], [0, 1, 0, 0, -1], [0, 0, 1, 0, 0], [0, 0, -1, 1, 0], [0, 0, 0, 0, 1]]
        )
        around = SPREAD * np.array([0, 0, -LOUDEST, 0, -MEAN])
        terms = graph.constant((weight @ mix).T), graph.constant(weight @ around + bias)
        return graph.op("Gemm", told, *terms)

    def _weight(self, name: str) -> str:
        weight = self.weights[f"velocity.{name}"][: self.frames]
        return self.graph.constant(weight.reshape(-1, weight.shape[2]))
