"""The network's layers as ONNX operations, channels last: what the graphs of a step and of a window share.

Letters: B streams or frames, F bins or keys, C channels, U units. A convolution or a harmonic shift is a
``Gather`` of whole rows and a ``Gemm``: gathering along the last axis takes three times as long, and so does
a convolution over a single frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .onnx_writer import Graph

Weights = Mapping[str, np.ndarray]


def gathered(graph: Graph, x: str, numbers: np.ndarray, channels: int) -> str:
    """Rows of x [B, F, C] side by side: numbers [F', n] to [B * F', n * C]; row F is zero."""
    padded = graph.op("Pad", x, graph.integers(0, 0, 0, 0, 1, 0))
    taken = graph.op("Gather", padded, graph.constant(numbers.ravel(), "int64"), axis=1)
    return graph.op("Reshape", taken, graph.integers(-1, numbers.shape[1] * channels))


def neighbours(count: int, width: int) -> np.ndarray:
    """Of each of ``count`` rows those around it [count, width]; beyond the edge ``count``."""
    numbers = np.arange(count)[:, None] + np.arange(width) - width // 2
    return np.where((numbers >= 0) & (numbers < count), numbers, count)


def partials(count: int, harmonics: tuple[int, ...], per_octave: int) -> np.ndarray:
    """Of each of ``count`` rows those of its harmonics [count, n], as HarmonicDilatedConv has them."""
    steps = [round(per_octave * math.log2(abs(h))) for h in harmonics]
    shifts = np.array([n if h > 0 else -n for n, h in zip(steps, harmonics, strict=True)])
    numbers = np.arange(count)[:, None] + shifts
    return np.where((numbers >= 0) & (numbers < count), numbers, count)


def by_frame(weight: np.ndarray) -> list[np.ndarray]:
    """A kernel [C', C, frames, width] as matrices [width * C, C'], that of the current frame first."""
    out, channels, frames, width = weight.shape
    return [
        weight[:, :, t].transpose(2, 1, 0).reshape(width * channels, out) for t in reversed(range(frames))
    ]


def side_by_side(weight: np.ndarray, channels: int) -> np.ndarray:
    """A 1 x 1 kernel [C', n * C, 1, 1] as a matrix [n * C, C']."""
    return weight.reshape(len(weight), -1, channels).transpose(1, 2, 0).reshape(-1, len(weight))


def in_groups(weight: np.ndarray, bins: int) -> np.ndarray:
    """A kernel for single bins [C', 1, frames, width] as one for groups of bins [bins * C', bins, frames, w].

    A group's row is long enough to be worth gathering: that of a single bin of one channel is not.
    """
    out, _, frames, width = weight.shape
    half = width // 2
    beside = -(-half // bins)
    grouped = np.zeros((bins * out, bins, frames, 2 * beside + 1), dtype=weight.dtype)
    for own in range(bins):
        for tap in range(width):
            group, other = divmod(own + tap - half, bins)
            grouped[own * out : (own + 1) * out, other, :, group + beside] = weight[:, 0, :, tap]
    return grouped


def lstm(weight_x: np.ndarray, weight_h: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights [C, 4U], [U, 4U] and bias [4U], gates i, f, o, g, as an LSTM node's: i, o, f, g."""

    def ordered(gates: np.ndarray) -> np.ndarray:
        i, f, o, g = np.split(gates, 4)
        return np.concatenate([i, o, f, g])[None]

    own = ordered(bias.ravel())
    return ordered(weight_x.T), ordered(weight_h.T), np.concatenate([own, np.zeros_like(own)], axis=1)


def pooling(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    """f-pooling's weights [2U, C] and bias [2U], f then z, as a GRU node's without a recurrent product.

    Its update gate keeps the state as f does, its reset gate (z, r, h) then does nothing.
    """
    f, z = np.split(weight, 2)
    bias_f, bias_z = np.split(bias, 2)
    units = len(f)
    own = np.concatenate([bias_f, np.zeros(units), bias_z, np.zeros(3 * units)])
    return np.concatenate([f, np.zeros_like(f), z])[None], np.zeros((1, 3 * units, units)), own[None]


def norm(graph: Graph, x: str, shape: tuple[int, int], weights: Weights, name: str) -> str:
    """FrequencyNorm of x [B * F, C]: [B, F, C]."""
    x = graph.op("Reshape", x, graph.integers(-1, *shape))
    turned = graph.op("Transpose", x, perm=[0, 2, 1])
    scale, shift = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    normal = graph.op("InstanceNormalization", turned, scale, shift, epsilon=1e-3)
    return graph.op("Transpose", normal, perm=[0, 2, 1])


def linear(graph: Graph, x: str, weights: Weights, name: str) -> str:
    """nn.Linear of x [B, C]."""
    weight, bias = (graph.constant(weights[f"{name}.{part}"]) for part in ("weight", "bias"))
    return graph.op("Gemm", x, weight, bias, transB=1)


def cell(graph: Graph, gates: str, state: str | None, units: int) -> tuple[str, str]:
    """An LSTM's step from whole gates [..., 4U], i, f, o, g: new hidden and cell state; None: zeros."""
    axis = graph.integers(-1)
    sigmoid = graph.op("Slice", gates, graph.integers(0), graph.integers(3 * units), axis)
    sizes = graph.integers(units, units, units)
    i, f, o = graph.ops("Split", [graph.op("Sigmoid", sigmoid), sizes], 3, axis=-1)
    g = graph.op("Tanh", graph.op("Slice", gates, graph.integers(3 * units), graph.integers(4 * units), axis))
    new = graph.op("Mul", i, g)
    if state is not None:
        new = graph.op("Add", graph.op("Mul", f, state), new)
    return graph.op("Mul", o, graph.op("Tanh", new)), new


def part(graph: Graph, x: str, first: int, last: int, axis: int) -> str:
    """x from ``first`` to before ``last`` along an axis."""
    return graph.op("Slice", x, graph.integers(first), graph.integers(last), graph.integers(axis))
