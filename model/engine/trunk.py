"""The part of the network before the LSTMs as ONNX operations: levels to features.

Letters: B frames (of one stream, or one each of B streams), F bins, P keys, C channels, U units.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..config import NetworkConfig
from ..timebase import BINS, BINS_PER_KEY, BINS_PER_OCTAVE, KEYS
from . import layers
from .layers import Weights
from .onnx_writer import Graph

GROUP = 4  #: bins of the spectrum that the first convolution takes as one row

#: Adds up a causal convolution: its name, its input's rows side by side, its matrices (that of the current
#: frame first) and the rows of a frame.
Convolve = Callable[[str, str, list[np.ndarray], int], str]


def convolution_states(config: NetworkConfig) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what one stream's frames add to those after them, in the order of the layers."""
    stem, body = config.stem_channels, config.body_channels
    layers = [(f"stem_{k}", BINS, stem, size) for k, (size, _) in enumerate(config.stem_kernels)]
    layers[0] = ("stem_0", BINS // GROUP, stem * GROUP, config.stem_kernels[0][0])
    layers += [(f"block_{k}", KEYS, body, size) for k, (size, _) in enumerate(config.block_kernels)]
    return [
        (f"{name}_{later}", (rows, channels))
        for name, rows, channels, size in layers
        for later in range(1, size)
    ]


class Trunk:
    """Stem, harmonic dilated convolution, residual blocks, and what the pedal's head makes of them."""

    def __init__(self, graph: Graph, weights: Weights, config: NetworkConfig, convolve: Convolve) -> None:
        self.graph, self.weights, self.config, self._convolve = graph, weights, config, convolve

    def features(self, levels: str) -> str:
        """Levels [B, F] to features [B * P, C]."""
        graph, config = self.graph, self.config
        x = self._stem(levels)
        harmonics = config.harmonics_up + tuple(-h for h in config.harmonics_down)
        numbers = layers.partials(BINS, harmonics, BINS_PER_OCTAVE)
        x = self._harmonic("harmonic.conv", x, numbers, biased=True)
        x = graph.op("Reshape", x, graph.integers(-1, BINS_PER_KEY, config.body_channels))
        x = graph.op("Relu", graph.op("ReduceMax", x, axes=[1], keepdims=0))
        x = graph.op("Reshape", x, graph.integers(-1, KEYS, config.body_channels))
        for number in range(len(config.block_kernels)):
            x = self._block(number, x)
        return graph.op("Reshape", x, graph.integers(-1, config.body_channels))

    def pedal(self, x: str, levels: str) -> str:
        """What the gates of the pedal's head are of [B, U], from features [B * P, C] and levels [B, F]."""
        graph, weights = self.graph, self.weights
        keys = graph.op("Relu", layers.linear(graph, x, weights, "pedal.key"))
        keys = graph.op("Reshape", keys, graph.integers(-1, KEYS, self.config.body_channels))
        pooled = [graph.op(kind, keys, axes=[1], keepdims=0) for kind in ("ReduceMean", "ReduceMax")]
        bins = graph.op("Relu", layers.linear(graph, levels, weights, "pedal.bins"))
        joined = graph.op("Concat", bins, *pooled, axis=1)
        return graph.op("Relu", layers.linear(graph, joined, weights, "pedal.join"))

    def _stem(self, levels: str) -> str:
        """Levels [B, F] to [B, F, C]."""
        graph, channels = self.graph, self.config.stem_channels
        x = graph.op("Reshape", levels, graph.integers(-1, BINS // GROUP, GROUP))
        for number in range(len(self.config.stem_kernels)):
            kernel, bias = (self.weights[f"stem.{number}.conv.{what}"] for what in ("weight", "bias"))
            rows = BINS
            if number == 0:
                kernel, bias, rows = layers.in_groups(kernel, GROUP), np.tile(bias, GROUP), BINS // GROUP
            y = graph.op("Add", self._causal(f"stem_{number}", x, kernel, rows), graph.constant(bias))
            x = graph.op("Reshape", graph.op("Relu", y), graph.integers(-1, BINS, channels))
        return x

    def _block(self, number: int, x: str) -> str:
        """A residual block: [B, P, C] to [B, P, C]."""
        graph, name, shape = self.graph, f"blocks.{number}", (KEYS, self.config.body_channels)
        # A norm takes away the mean of what it is given, and with it any bias.
        y = self._causal(f"block_{number}", x, self.weights[f"{name}.conv.conv.weight"], KEYS)
        y = graph.op("Relu", layers.norm(graph, y, shape, self.weights, f"{name}.norm"))
        if self.config.block_harmonics:
            numbers = layers.partials(KEYS, self.config.block_harmonics, 12)
            y = self._harmonic(f"{name}.harmonic.conv", y, numbers, biased=False)
            y = layers.norm(graph, y, shape, self.weights, f"{name}.harmonic_norm")
        return graph.op("Add", x, y)

    def _causal(self, name: str, x: str, kernel: np.ndarray, rows: int) -> str:
        """A causal convolution of x [B, F, C] to [B * F, C']; without its bias."""
        _, channels, _, width = kernel.shape
        own = layers.gathered(self.graph, x, layers.neighbours(rows, width), channels)
        return self._convolve(name, own, layers.by_frame(kernel), rows)

    def _harmonic(self, name: str, x: str, numbers: np.ndarray, biased: bool) -> str:
        """A harmonic dilated convolution of x [B, F, C] to [B * F, C']."""
        kernel = self.weights[f"{name}.weight"]
        channels = kernel.shape[1] // numbers.shape[1]
        own = layers.gathered(self.graph, x, numbers, channels)
        matrix = self.graph.constant(layers.side_by_side(kernel, channels))
        if not biased:
            return self.graph.op("MatMul", own, matrix)
        return self.graph.op("Gemm", own, matrix, self.graph.constant(self.weights[f"{name}.bias"]))
