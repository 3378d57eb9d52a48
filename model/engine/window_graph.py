"""The graph of one window of a recording: many frames, with full context.

The trunk runs over blocks of frames that fit the CPU's cache (``Scan``). Then the heads run over the whole
window: forwards from the end of the last window, backwards from the end of this one. Letters: T frames, J of
them predicted, P keys, C channels, U units, H heads, F bins, M onset candidates.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import FUTURE, HEADS, LOUDNESS, MEMORY, NOTE_HEADS, PAST, SILENCE, ModelConfig
from ..decoder import ONSET
from ..timebase import BINS, HOP, KEYS
from . import layers
from .graph import Graph, States
from .layers import Trunk, Weights, convolution_states, part
from .transform import framed, levels_of_frames
from .velocity_graph import WIDE, VelocityGraph, key_levels, loudness

BLOCK = 25  #: frames; more would not fit the CPU's cache


class WindowGraph:
    """Builds the graph. With ``from_levels``, its input is levels [blocks * BLOCK, F], not samples."""

    def __init__(self, weights: Weights, config: ModelConfig, from_levels: bool = False) -> None:
        self.weights, self.config, self.from_levels = weights, config, from_levels
        self.graph = Graph("window")
        self.states = States(self.graph)

    def model(self, about: Mapping[str, str] | None = None) -> bytes:
        """The ONNX model; its metadata describe the states and contain ``about``."""
        graph = self.graph
        parts = self._trunk()
        frames, predicted = (graph.input(name, [1], "int64") for name in ("frames", "predicted"))
        seen = {name: self._cut(value, graph.integers(0), frames) for name, value in parts.items()}
        x = self._joined("features", PAST, (KEYS, self.config.network.body_channels), seen, predicted, 0.0)
        notes = self._notes(x, predicted)
        keys = graph.op("Concat", notes, self._velocities(notes, x, seen, predicted), axis=2)
        graph.output("probabilities", keys, ["predicted", KEYS, len(HEADS)])
        if self.config.network.pedal_units:
            graph.output("pedal", self._pedal(seen, predicted), ["predicted"])
        own = {"block_frames": str(BLOCK), **self.states.about()}
        return graph.model({**own, **(about or {})})

    def _trunk(self) -> dict[str, str]:
        """The heads' inputs by name, [blocks * BLOCK, ...] each."""
        body = Body(self.weights, self.config, self.from_levels)
        states = [self.states.input(name, 0, shape) for name, shape in body.states]
        first, blocks = self._blocks()
        after = self.graph.ops(
            "Scan",
            [*first, *states, blocks],
            len(first) + len(states) + len(body.parts),
            body=body.graph,
            num_scan_inputs=1,
        )
        for (name, _), value in zip(body.states, after[len(first) :], strict=False):
            self.states.output(name, value)
        values = after[len(first) + len(states) :]
        return {
            name: self.graph.op("Reshape", value, self.graph.integers(-1, *shape))
            for (name, shape), value in zip(body.parts, values, strict=True)
        }

    def _blocks(self) -> tuple[list[str], str]:
        """The samples before the first block, and the samples of each block; or the levels of each block."""
        graph, tail = self.graph, self.config.front_end.span - HOP
        if self.from_levels:
            levels = graph.input("levels", [f"blocks * {BLOCK}", BINS])
            return [], graph.op("Reshape", levels, graph.integers(-1, BLOCK, BINS))
        samples = graph.input("samples", [f"{tail} + blocks * {BLOCK * HOP}"])
        rest = self._cut(samples, graph.integers(tail), None)
        return [part(graph, samples, 0, tail, 0)], graph.op("Reshape", rest, graph.integers(-1, BLOCK * HOP))

    def _joined(
        self,
        name: str,
        before: int,
        shape: tuple[int, ...],
        seen: dict[str, str],
        predicted: str,
        start: float,
    ) -> str:
        """Values of earlier, waiting and new frames [before + T, ...]. Keeps those for the next window."""
        kept = self.states.growing(name, before, shape, start)
        joined = self.graph.op("Concat", kept, seen[name], axis=0)
        self.states.output(name, self._cut(joined, predicted, None))
        return joined

    def _cut(self, x: str, first: str, last: str | None) -> str:
        """x [T, ...] from ``first`` to before ``last``, or to its end."""
        graph = self.graph
        return graph.op("Slice", x, first, last or graph.integers(2**62), graph.integers(0))

    def _notes(self, x: str, predicted: str) -> str:
        """Probabilities [J, P, H] from features [PAST + T, P, C]."""
        graph, units = self.graph, self.config.network.lstm_units
        x = self._cut(x, graph.integers(PAST), None)
        own = self._cut(x, graph.integers(0), predicted)
        shape = (1, KEYS, units)
        columns: list[str] = []
        after: list[tuple[str, str]] = []
        for head, name in enumerate(NOTE_HEADS):
            begin = [self.states.input(f"{name}_{part}", 0, shape) for part in ("hidden", "cell")]
            forward, *end = graph.ops(
                "LSTM", [own, *self._lstm("forward_lstm", head), "", *begin], 3, hidden_size=units
            )
            backward = graph.ops(
                "LSTM", [x, *self._lstm("backward_lstm", head)], 1, hidden_size=units, direction="reverse"
            )[0]
            # Projected separately: to concatenate them would take a copy.
            ahead, behind = np.split(self.weights["weight"][head][:, None], 2)
            later = graph.op("MatMul", backward, graph.constant(behind))
            later = self._cut(later, graph.integers(0), predicted)
            columns.append(graph.op("Add", graph.op("MatMul", forward, graph.constant(ahead)), later))
            after += zip((f"{name}_hidden", f"{name}_cell"), end, strict=True)
        for name, value in after:
            self.states.output(name, value)
        logits = graph.op("Squeeze", graph.op("Concat", *columns, axis=3), graph.integers(1))
        return graph.op("Sigmoid", graph.op("Add", logits, graph.constant(self.weights["bias"])))

    def _lstm(self, name: str, head: int) -> list[str]:
        own = (self.weights[f"{name}.{part}"][head] for part in ("weight_x", "weight_h", "bias"))
        return [self.graph.constant(value) for value in layers.lstm(*own)]

    def _velocities(self, notes: str, x: str, seen: dict[str, str], predicted: str) -> str:
        """Velocities [J, P, 1]."""
        graph, channels = self.graph, self.config.network.body_channels
        head = VelocityGraph(graph, self.weights, None)
        onsets = graph.op("Squeeze", part(graph, notes, ONSET, ONSET + 1, 2), graph.integers(2))
        where, frame, key = head.candidates(onsets)
        keys = self._joined("key_levels", PAST, (WIDE,), seen, predicted, SILENCE)
        keys = graph.op("Pad", keys, graph.integers(0, 0, FUTURE, 0), graph.constant(SILENCE))
        x = graph.op("Pad", x, graph.integers(0, 0, 0, FUTURE, 0, 0))
        x = graph.op("Reshape", x, graph.integers(-1, channels))
        row = graph.op("Add", graph.op("Mul", frame, graph.integers(KEYS)), key)
        later = graph.constant(np.arange(head.frames) * KEYS, "int64")
        own = graph.op(
            "Gather", x, graph.op("Add", graph.op("Unsqueeze", row, graph.integers(1)), later), axis=0
        )
        own = graph.op("Reshape", own, graph.integers(-1, head.frames * channels))
        place = graph.op("Gather", self._place(head, seen, predicted), frame, axis=0)
        found = head.velocities(head.levels(keys, frame, key, WIDE), own, key, place)
        return graph.op("Unsqueeze", head.scattered(onsets, where, found), graph.integers(2))

    def _place(self, head: VelocityGraph, seen: dict[str, str], predicted: str) -> str:
        """The loudness term of the velocity head's units [J, units]."""
        graph = self.graph
        history = self._joined("loudness", MEMORY, (LOUDNESS,), seen, predicted, 0.0)
        last = graph.op("Add", predicted, graph.integers(MEMORY))
        now = self._cut(history, graph.integers(MEMORY), last)
        turned = graph.op("Unsqueeze", graph.op("Transpose", history, perm=[1, 0]), graph.integers(0))
        pooled = []
        for kind in ("MaxPool", "AveragePool"):
            pool = graph.op("Squeeze", graph.op(kind, turned, kernel_shape=[MEMORY + 1]), graph.integers(0))
            pooled.append(self._cut(graph.op("Transpose", pool, perm=[1, 0]), graph.integers(0), predicted))
        return head.place(now, *pooled)

    def _pedal(self, seen: dict[str, str], predicted: str) -> str:
        """The pedal's probabilities [J]."""
        graph, units = self.graph, self.config.network.pedal_units
        joined = self._joined("pedal_features", 0, (units,), seen, predicted, 0.0)
        x = graph.op("Unsqueeze", joined, graph.integers(1))
        weight, bias = (self.weights[f"pedal.gates.{part}"] for part in ("weight", "bias"))
        recurrent = self.weights["pedal.recurrent.weight"]
        own = layers.lstm(weight[: 4 * units].T, recurrent.T, bias[: 4 * units])
        begin = [self.states.input(f"pedal_{part}", 0, (1, 1, units)) for part in ("hidden", "cell")]
        terms = [graph.constant(value) for value in own]
        forward, *end = graph.ops(
            "LSTM", [self._cut(x, graph.integers(0), predicted), *terms, "", *begin], 3, hidden_size=units
        )
        for name, value in zip(("pedal_hidden", "pedal_cell"), end, strict=True):
            self.states.output(name, value)
        terms = [graph.constant(value) for value in layers.pooling(weight[4 * units :], bias[4 * units :])]
        backward = graph.ops(
            "GRU", [x, *terms], 1, hidden_size=units, direction="reverse", activations=["Sigmoid", "Sigmoid"]
        )[0]
        both = graph.op("Concat", forward, self._cut(backward, graph.integers(0), predicted), axis=3)
        both = graph.op("Reshape", both, graph.integers(-1, 2 * units))
        logits = layers.linear(graph, both, self.weights, "pedal.out")
        return graph.op("Sigmoid", graph.op("Reshape", logits, graph.integers(-1)))


class Body:
    """The trunk over one block: the body of ``Scan``."""

    def __init__(self, weights: Weights, config: ModelConfig, from_levels: bool) -> None:
        self.graph = graph = Graph("block")
        network, tail = config.network, config.front_end.span - HOP
        self.states = convolution_states(network)
        #: Names and shapes of a frame's results.
        self.parts: list[tuple[str, tuple[int, ...]]] = [
            ("features", (KEYS, network.body_channels)),
            ("key_levels", (WIDE,)),
            ("loudness", (LOUDNESS,)),
        ]
        self._after: list[str] = []
        # The inputs of a Scan body: states first, then the scanned values.
        before = None if from_levels else graph.input("block_before", [tail])
        for name, shape in self.states:
            graph.input(f"block_{name}", shape)
        if before is None:
            levels = graph.input("block_levels", [BLOCK, BINS])
        else:
            samples = graph.op("Concat", before, graph.input("block_samples", [BLOCK * HOP]), axis=0)
            own = framed(graph, samples, config.front_end, BLOCK)
            levels = levels_of_frames(graph, own, config.front_end)
            graph.output("block_after", part(graph, samples, BLOCK * HOP, BLOCK * HOP + tail, 0), [tail])
        trunk = Trunk(graph, weights, network, self._convolve)
        x = trunk.features(levels)
        shaped = graph.op("Reshape", x, graph.integers(BLOCK, KEYS, network.body_channels))
        values = [shaped, key_levels(graph, levels), loudness(graph, levels)]
        if network.pedal_units:
            self.parts.append(("pedal_features", (network.pedal_units,)))
            values.append(trunk.pedal(x, levels))
        for (name, shape), value in zip(self.states, self._after, strict=True):
            graph.output(f"block_next_{name}", value, shape)
        for (name, shape), value in zip(self.parts, values, strict=True):
            graph.output(f"block_new_{name}", value, [BLOCK, *shape])

    def _convolve(self, name: str, own: str, matrices: list[np.ndarray], rows: int) -> str:
        """Adds each frame's terms to later frames; the last frames' terms go to the next block."""
        graph, kept = self.graph, (BLOCK - 1) * rows
        moved, after = "", []
        for later in reversed(range(1, len(matrices))):
            terms = self._product(own, matrices[later], moved)
            after.append(part(graph, terms, kept, kept + rows, 0))
            moved = graph.op("Concat", f"block_{name}_{later}", part(graph, terms, 0, kept, 0), axis=0)
        self._after += reversed(after)
        return self._product(own, matrices[0], moved)

    def _product(self, x: str, matrix: np.ndarray, more: str) -> str:
        term = self.graph.constant(matrix)
        return self.graph.op("Gemm", x, term, more) if more else self.graph.op("MatMul", x, term)
