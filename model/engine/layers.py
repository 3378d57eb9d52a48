"""The network up to its LSTMs as ONNX operations, channels last, for both graphs.

Letters: B frames (of one stream, or one each of B streams), F bins, P keys, C channels, U units.

A convolution or a harmonic shift is a ``Gather`` of whole rows and a ``Gemm``: gathering along the last axis
takes three times as long, and so does a convolution over a single frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ..config import NetworkConfig
from ..timebase import BINS, BINS_PER_KEY, BINS_PER_OCTAVE, KEYS
from .graph import Graph

Weights = Mapping[str, np.ndarray]


def gathered(graph: Graph, x: str, numbers: np.ndarray, channels: int) -> str:
    """Concatenates rows of x [B, F, C] by numbers [F', n] to [B * F', n * C]; row F is zero."""
    padded = graph.op("Pad", x, graph.integers(0, 0, 0, 0, 1, 0))
    taken = graph.op("Gather", padded, graph.constant(numbers.ravel(), "int64"), axis=1)
    return graph.op("Reshape", taken, graph.integers(-1, numbers.shape[1] * channels))


def neighbours(count: int, width: int) -> np.ndarray:
    """Numbers of the rows around each of ``count`` rows [count, width]; ``count`` beyond the edge."""
    numbers = np.arange(count)[:, None] + np.arange(width) - width // 2
    return np.where((numbers >= 0) & (numbers < count), numbers, count)


def partials(count: int, harmonics: tuple[int, ...], per_octave: int) -> np.ndarray:
    """Row numbers of each row's harmonics [count, n] (HarmonicDilatedConv); ``count`` beyond the edge."""
    steps = [round(per_octave * math.log2(abs(h))) for h in harmonics]
    shifts = np.array([n if h > 0 else -n for n, h in zip(steps, harmonics, strict=True)])
    numbers = np.arange(count)[:, None] + shifts
    return np.where((numbers >= 0) & (numbers < count), numbers, count)


def by_frame(weight: np.ndarray) -> list[np.ndarray]:
    """A kernel [C', C, frames, width] as matrices [width * C, C'], the current frame's first."""
    out, channels, frames, width = weight.shape
    return [
        weight[:, :, t].transpose(2, 1, 0).reshape(width * channels, out) for t in reversed(range(frames))
    ]


def side_by_side(weight: np.ndarray, channels: int) -> np.ndarray:
    """A 1 x 1 kernel [C', n * C, 1, 1] as a matrix [n * C, C']."""
    return weight.reshape(len(weight), -1, channels).transpose(1, 2, 0).reshape(-1, len(weight))


def in_groups(weight: np.ndarray, bins: int) -> np.ndarray:
    """A kernel for single bins [C', 1, frames, width] as one for groups of bins [bins * C', bins, frames, w].

    A group's row is long enough to be worth gathering; a single bin of one channel is not.
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
    """Converts weights [C, 4U], [U, 4U] and bias [4U], gates i, f, o, g, to an LSTM node's: i, o, f, g."""

    def ordered(gates: np.ndarray) -> np.ndarray:
        i, f, o, g = np.split(gates, 4)
        return np.concatenate([i, o, f, g])[None]

    own = ordered(bias.ravel())
    return ordered(weight_x.T), ordered(weight_h.T), np.concatenate([own, np.zeros_like(own)], axis=1)


def pooling(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, ...]:
    """Converts f-pooling's weights [2U, C] and bias [2U], f then z, to a GRU node's.

    The recurrent weights are zero. Update gate z (order z, r, h) acts as f; reset gate r has no effect.
    """
    f, z = np.split(weight, 2)
    bias_f, bias_z = np.split(bias, 2)
    units = len(f)
    own = np.concatenate([bias_f, np.zeros(units), bias_z, np.zeros(3 * units)])
    return np.concatenate([f, np.zeros_like(f), z])[None], np.zeros((1, 3 * units, units)), own[None]


def norm(graph: Graph, x: str, shape: tuple[int, int], weights: Weights, name: str) -> str:
    """FrequencyNorm of x [B * F, C], as [B, F, C]."""
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
    """An LSTM step from complete gates [B, 4U], i, f, o, g: new hidden and cell state; None: zero state."""
    i, f, o, g = graph.ops("Split", [gates, graph.integers(*[units] * 4)], 4, axis=-1)
    new = graph.op("Mul", graph.op("Sigmoid", i), graph.op("Tanh", g))
    if state is not None:
        new = graph.op("Add", graph.op("Mul", graph.op("Sigmoid", f), state), new)
    return graph.op("Mul", graph.op("Sigmoid", o), graph.op("Tanh", new)), new


def part(graph: Graph, x: str, first: int, last: int, axis: int) -> str:
    """x from ``first`` to before ``last`` along an axis."""
    return graph.op("Slice", x, graph.integers(first), graph.integers(last), graph.integers(axis))


GROUP = 4  #: bins of the spectrum that form one row in the first convolution

#: Builds a causal convolution from its name, its gathered input, its matrices (the current frame's first) and
#: the number of rows per frame.
Convolve = Callable[[str, str, list[np.ndarray], int], str]


def convolution_states(config: NetworkConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the terms that a stream's frames add to later frames, in layer order."""
    stem, body = config.stem_channels, config.body_channels
    convolutions = [(f"stem_{k}", BINS, stem, size) for k, (size, _) in enumerate(config.stem_kernels)]
    convolutions[0] = ("stem_0", BINS // GROUP, stem * GROUP, config.stem_kernels[0][0])
    convolutions += [(f"block_{k}", KEYS, body, size) for k, (size, _) in enumerate(config.block_kernels)]
    return [
        (f"{name}_{later}", (rows, channels))
        for name, rows, channels, size in convolutions
        for later in range(1, size)
    ]


class Trunk:
    """Stem, harmonic dilated convolution, residual blocks, and the input layers of the pedal's head."""

    def __init__(self, graph: Graph, weights: Weights, config: NetworkConfig, convolve: Convolve) -> None:
        self.graph, self.weights, self.config, self._convolve = graph, weights, config, convolve

    def features(self, levels: str) -> str:
        """Levels [B, F] to features [B * P, C]."""
        graph, config = self.graph, self.config
        x = self._stem(levels)
        harmonics = config.harmonics_up + tuple(-h for h in config.harmonics_down)
        numbers = partials(BINS, harmonics, BINS_PER_OCTAVE)
        x = self._harmonic("harmonic.conv", x, numbers, biased=True)
        x = graph.op("Reshape", x, graph.integers(-1, BINS_PER_KEY, config.body_channels))
        x = graph.op("Relu", graph.op("ReduceMax", x, axes=[1], keepdims=0))
        x = graph.op("Reshape", x, graph.integers(-1, KEYS, config.body_channels))
        for number in range(len(config.block_kernels)):
            x = self._block(number, x)
        return graph.op("Reshape", x, graph.integers(-1, config.body_channels))

    def pedal(self, x: str, levels: str) -> str:
        """The input of the pedal head's gates [B, U], from features [B * P, C] and levels [B, F]."""
        graph, weights = self.graph, self.weights
        keys = graph.op("Relu", linear(graph, x, weights, "pedal.key"))
        keys = graph.op("Reshape", keys, graph.integers(-1, KEYS, self.config.body_channels))
        pooled = [graph.op(kind, keys, axes=[1], keepdims=0) for kind in ("ReduceMean", "ReduceMax")]
        bins = graph.op("Relu", linear(graph, levels, weights, "pedal.bins"))
        joined = graph.op("Concat", bins, *pooled, axis=1)
        return graph.op("Relu", linear(graph, joined, weights, "pedal.join"))

    def _stem(self, levels: str) -> str:
        """Levels [B, F] to [B, F, C]."""
        graph, channels = self.graph, self.config.stem_channels
        x = graph.op("Reshape", levels, graph.integers(-1, BINS // GROUP, GROUP))
        for number in range(len(self.config.stem_kernels)):
            kernel, bias = (self.weights[f"stem.{number}.conv.{what}"] for what in ("weight", "bias"))
            rows = BINS
            if number == 0:
                kernel, bias, rows = in_groups(kernel, GROUP), np.tile(bias, GROUP), BINS // GROUP
            y = graph.op("Add", self._causal(f"stem_{number}", x, kernel, rows), graph.constant(bias))
            x = graph.op("Reshape", graph.op("Relu", y), graph.integers(-1, BINS, channels))
        return x

    def _block(self, number: int, x: str) -> str:
        """A residual block: [B, P, C] to [B, P, C]."""
        graph, name, shape = self.graph, f"blocks.{number}", (KEYS, self.config.body_channels)
        # The norm subtracts its input's mean, and with it any bias.
        y = self._causal(f"block_{number}", x, self.weights[f"{name}.conv.conv.weight"], KEYS)
        y = graph.op("Relu", norm(graph, y, shape, self.weights, f"{name}.norm"))
        if self.config.block_harmonics:
            numbers = partials(KEYS, self.config.block_harmonics, 12)
            y = self._harmonic(f"{name}.harmonic.conv", y, numbers, biased=False)
            y = norm(graph, y, shape, self.weights, f"{name}.harmonic_norm")
        return graph.op("Add", x, y)

    def _causal(self, name: str, x: str, kernel: np.ndarray, rows: int) -> str:
        """A causal convolution of x [B, F, C] to [B * F, C'], without its bias."""
        _, channels, _, width = kernel.shape
        own = gathered(self.graph, x, neighbours(rows, width), channels)
        return self._convolve(name, own, by_frame(kernel), rows)

    def _harmonic(self, name: str, x: str, numbers: np.ndarray, biased: bool) -> str:
        """A harmonic dilated convolution of x [B, F, C] to [B * F, C']."""
        kernel = self.weights[f"{name}.weight"]
        channels = kernel.shape[1] // numbers.shape[1]
        own = gathered(self.graph, x, numbers, channels)
        matrix = self.graph.constant(side_by_side(kernel, channels))
        if not biased:
            return self.graph.op("MatMul", own, matrix)
        return self.graph.op("Gemm", own, matrix, self.graph.constant(self.weights[f"{name}.bias"]))
