"""The graph of one live step: from the sound around a frame to probabilities of the frame R frames earlier.

The state is passed in and out as named arrays (see ``State``). Letters: B streams, P keys, C channels,
U units, H heads, F bins.

The LSTMs are built from elementary operations. LSTM nodes would project the waiting frames anew at every
step: they take 3 % longer on a CPU with AVX2, and 35 % longer in WebAssembly (measured in Node).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import HEADS, LOUDNESS, MEMORY, NOTE_HEADS, PAST, SILENCE, ModelConfig
from ..decoder import ONSET
from ..timebase import KEYS
from . import layers
from .graph import Graph, States
from .layers import Trunk, Weights, part
from .transform import levels_of_frames
from .velocity_graph import WIDE, VelocityGraph, key_levels, loudness

#: Value of the gates before the first frame: they are closed, so a forward LSTM's state stays zero.
SHUT = -100.0


class StepGraph:
    """Builds the graph for R = ``look_ahead``."""

    def __init__(self, weights: Weights, config: ModelConfig, look_ahead: int) -> None:
        self.weights, self.config, self.look_ahead = weights, config, look_ahead
        self.graph = Graph("step")
        self.states = States(self.graph, streams=True)

    def model(self, about: Mapping[str, str] | None = None) -> bytes:
        """The ONNX model; its metadata describe the states and contain ``about``."""
        graph, network = self.graph, self.config.network
        samples = graph.input("samples", ["streams", self.config.front_end.span])
        levels = levels_of_frames(graph, samples, self.config.front_end)
        trunk = Trunk(graph, self.weights, network, self._convolve)
        x = trunk.features(levels)
        notes = graph.op("Reshape", self._notes(x), graph.integers(-1, KEYS, len(NOTE_HEADS)))
        keys = graph.op("Concat", notes, self._velocities(notes, x, levels), axis=2)
        graph.output("probabilities", keys, ["streams", KEYS, len(HEADS)])
        if network.pedal_units:
            graph.output("pedal", self._pedal(trunk.pedal(x, levels)), ["streams"])
        own = {"look_ahead_frames": str(self.look_ahead), **self.states.about()}
        return graph.model({**own, **(about or {})})

    def _convolve(self, name: str, own: str, matrices: list[np.ndarray], rows: int) -> str:
        """Adds a frame's terms to the sums of later frames at once, so each frame is gathered only once."""
        graph, shape = self.graph, (rows, matrices[0].shape[1])
        names = [f"{name}_{later}" for later in range(1, len(matrices))]
        before = [self.states.input(state, 0, shape) for state in names]
        terms = [graph.constant(matrix) for matrix in matrices]
        sums = [graph.op("Gemm", own, term, past) for term, past in zip(terms, before, strict=False)]
        sums.append(graph.op("MatMul", own, terms[-1]))
        for state, value in zip(names, sums[1:], strict=True):
            self.states.output(state, value)
        return sums[0]

    def _notes(self, x: str) -> str:
        """Features [B * P, C] to probabilities [B * P, H] of the frame R frames earlier."""
        graph, units = self.graph, self.config.network.lstm_units
        weight = self.weights["weight"][:, :, None]
        logits = graph.op(
            "Add",
            graph.op("MatMul", self._forward_lstm(x), graph.constant(weight[:, :units])),
            graph.op("MatMul", self._backward_lstm(x), graph.constant(weight[:, units:])),
        )
        flat = graph.op("Transpose", graph.op("Squeeze", logits, graph.integers(2)), perm=[1, 0])
        return graph.op("Sigmoid", graph.op("Add", flat, graph.constant(self.weights["bias"])))

    def _forward_lstm(self, x: str) -> str:
        """The forward LSTMs' hidden states [H, B * P, U] after the frame R frames earlier."""
        shape = (len(NOTE_HEADS), KEYS, self.config.network.lstm_units)
        gates = self._waiting("forward_gates", "forward_lstm", x)[0]
        names = ("forward_hidden", "forward_cell")
        hidden, cell = (self.states.input(name, 1, shape) for name in names)
        after = self._cell("forward_lstm", gates, hidden, cell)
        for name, value in zip(names, after, strict=True):
            self.states.output(name, value)
        return after[0]

    def _backward_lstm(self, x: str) -> str:
        """The backward LSTMs' hidden states [H, B * P, U], begun with the newest frame."""
        *earlier, newest = self._waiting("backward_gates", "backward_lstm", x)
        # The initial state is zero: the first step needs no matrix product.
        hidden, cell = layers.cell(self.graph, newest, None, self.config.network.lstm_units)
        for gates in reversed(earlier):
            hidden, cell = self._cell("backward_lstm", gates, hidden, cell)
        return hidden

    def _waiting(self, name: str, lstm: str, x: str) -> list[str]:
        """The input's part of the gates [H, B * P, 4U] of R + 1 frames, the oldest first; projected once."""
        graph = self.graph
        weight, bias = (graph.constant(self.weights[f"{lstm}.{what}"]) for what in ("weight_x", "bias"))
        new = graph.op("Add", graph.op("MatMul", x, weight), bias)
        shape = (len(NOTE_HEADS), KEYS, 4 * self.config.network.lstm_units)
        return self.states.queue(name, self.look_ahead, 1, shape, new, SHUT)

    def _cell(self, lstm: str, gates: str, hidden: str, cell: str) -> tuple[str, str]:
        weight = self.graph.constant(self.weights[f"{lstm}.weight_h"])
        whole = self.graph.op("Add", gates, self.graph.op("MatMul", hidden, weight))
        return layers.cell(self.graph, whole, cell, self.config.network.lstm_units)

    def _velocities(self, notes: str, x: str, levels: str) -> str:
        """Velocities [B, P, 1] in the frame R frames earlier."""
        graph, states, look_ahead = self.graph, self.states, self.look_ahead
        head = VelocityGraph(graph, self.weights, look_ahead)
        wide = key_levels(graph, levels)
        keys = states.queue("key_levels", PAST + look_ahead, 0, (1, WIDE), wide, SILENCE)
        shape = (KEYS, self.config.network.body_channels)
        features = states.queue("features", PAST + look_ahead, 0, shape, x)[: head.frames]
        levels_around = graph.op("Concat", *keys[: head.frames], axis=1)
        onsets = graph.op("Squeeze", part(graph, notes, ONSET, ONSET + 1, 2), graph.integers(2))
        where, stream, key = head.candidates(onsets)
        row = graph.op("Add", graph.op("Mul", stream, graph.integers(KEYS)), key)
        own = graph.op("Concat", *(graph.op("Gather", each, row, axis=0) for each in features), axis=1)
        around = head.levels(levels_around, stream, key, WIDE * head.frames)
        place = graph.op("Gather", self._place(head, levels), stream, axis=0)
        found = head.scattered(onsets, where, head.velocities(around, own, key, place))
        return graph.op("Unsqueeze", found, graph.integers(2))

    def _place(self, head: VelocityGraph, levels: str) -> str:
        """The loudness term of the velocity head's units [B, units]."""
        graph, length = self.graph, MEMORY + self.look_ahead
        kept = self.states.input("loudness", 0, (1, length, LOUDNESS))
        new = graph.op("Unsqueeze", loudness(graph, levels), graph.integers(1))
        joined = graph.op("Concat", kept, new, axis=1)
        self.states.output("loudness", part(graph, joined, 1, length + 1, 1))
        seen = part(graph, joined, 0, MEMORY + 1, 1)
        now = graph.op("Squeeze", part(graph, seen, MEMORY, MEMORY + 1, 1), graph.integers(1))
        loudest = graph.op("ReduceMax", seen, axes=[1], keepdims=0)
        return head.place(now, loudest, graph.op("ReduceMean", seen, axes=[1], keepdims=0))

    def _pedal(self, joined: str) -> str:
        """The pedal's probability [B] in the frame R frames earlier, from ``Trunk.pedal``."""
        graph, weights, units = self.graph, self.weights, self.config.network.pedal_units
        gates = layers.linear(graph, joined, weights, "pedal.gates")
        forward = self._pedal_forward(part(graph, gates, 0, 4 * units, 1))
        both = graph.op("Sigmoid", part(graph, gates, 4 * units, 6 * units, 1))
        kept, new = graph.ops("Split", [both, graph.integers(units, units)], 2, axis=1)
        new = graph.op("Sub", new, graph.op("Mul", kept, new))
        shares = self.states.queue("pedal_kept", self.look_ahead, 0, (1, units), kept)
        values = self.states.queue("pedal_new", self.look_ahead, 0, (1, units), new)
        backward = values[-1]  # f-pooling: h[t] = (1 - f[t]) z[t] + f[t] h[t + 1]
        for share, value in zip(reversed(shares[:-1]), reversed(values[:-1]), strict=True):
            backward = graph.op("Add", value, graph.op("Mul", share, backward))
        logits = layers.linear(graph, graph.op("Concat", forward, backward, axis=1), weights, "pedal.out")
        return graph.op("Sigmoid", graph.op("Reshape", logits, graph.integers(-1)))

    def _pedal_forward(self, gates: str) -> str:
        """The forward LSTM's hidden state [B, U], from the newest frame's gates [B, 4U]."""
        graph, units = self.graph, self.config.network.pedal_units
        waiting = self.states.queue("pedal_gates", self.look_ahead, 0, (1, 4 * units), gates, SHUT)
        names = ("pedal_hidden", "pedal_cell")
        hidden, cell = (self.states.input(name, 0, (1, units)) for name in names)
        recurrent = graph.constant(self.weights["pedal.recurrent.weight"])
        after = layers.cell(graph, graph.op("Gemm", hidden, recurrent, waiting[0], transB=1), cell, units)
        for name, value in zip(names, after, strict=True):
            self.states.output(name, value)
        return after[0]
