"""Writes ONNX graphs without the ``onnx`` package: the few messages of onnx.proto that a graph needs.

A graph is opset 17 in IR version 8, which ONNX Runtime reads since 1.12 and onnxruntime-web since 1.13. The
field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

IR_VERSION, OPSET = 8, 17
#: NumPy types -> TensorProto.DataType.
TYPES = {"float32": 1, "int32": 6, "int64": 7, "bool": 9}
_FLOAT, _INT, _STRING, _GRAPH, _INTS, _STRINGS = 1, 2, 3, 5, 7, 8  # AttributeProto.AttributeType

Shape = Sequence[int | str]  #: a name stands for a size that the caller chooses


@dataclass
class Graph:
    """A graph under construction. Values are referred to by name; an operation returns its output's name."""

    name: str
    _nodes: list[bytes] = field(default_factory=list)
    _constants: list[bytes] = field(default_factory=list)
    _inputs: list[bytes] = field(default_factory=list)
    _outputs: list[bytes] = field(default_factory=list)
    _known: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _count: int = 0

    def input(self, name: str, shape: Shape, kind: str = "float32") -> str:
        """Adds an input and returns its name."""
        self._inputs.append(_value(name, shape, kind))
        return name

    def output(self, name: str, value: str, shape: Shape, kind: str = "float32") -> None:
        """Makes ``value`` an output called ``name``."""
        self._nodes.append(_node("Identity", [value], [name], {}))
        self._outputs.append(_value(name, shape, kind))

    def constant(self, value: Any, kind: str = "float32") -> str:
        """Adds a constant array and returns its name; equal arrays are stored once."""
        array = np.ascontiguousarray(value, dtype=kind)
        raw = array.tobytes()
        key = (kind, array.shape, raw)
        if key not in self._known:
            self._known[key] = self._new("constant")
            dims = b"".join(_int(1, size) for size in array.shape)
            self._constants.append(
                dims + _int(2, TYPES[kind]) + _bytes(8, self._known[key].encode()) + _bytes(9, raw)
            )
        return self._known[key]

    def integers(self, *values: int) -> str:
        """Adds a constant list of integers, such as a shape or axes, and returns its name."""
        return self.constant(values, "int64")

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds an operation with one output and returns the output's name; an omitted input is ''."""
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(self, kind: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Adds an operation with so many outputs and returns their names."""
        names = [self._new("value") for _ in range(outputs)]
        self._nodes.append(_node(kind, inputs, names, attributes))
        return names

    def content(self) -> bytes:
        """The graph alone, as the body of another graph's operation (Scan)."""
        parts = [_bytes(1, node) for node in self._nodes] + [_bytes(2, self.name.encode())]
        parts += [_bytes(5, constant) for constant in self._constants]
        parts += [_bytes(11, value) for value in self._inputs]
        return b"".join([*parts, *(_bytes(12, value) for value in self._outputs)])

    def model(self, about: Mapping[str, str]) -> bytes:
        """The bytes of the model's file. ``about`` becomes its metadata."""
        model = _int(1, IR_VERSION) + _bytes(2, b"hppnet") + _bytes(8, _int(2, OPSET))
        model += _bytes(7, self.content())
        for key, value in about.items():
            model += _bytes(14, _bytes(1, key.encode()) + _bytes(2, value.encode()))
        return model

    def _new(self, prefix: str) -> str:
        self._count += 1
        return f"{self.name}_{prefix}_{self._count}"  # unique across a graph and its bodies


def _node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: Mapping[str, Any]) -> bytes:
    body = b"".join(_bytes(1, name.encode()) for name in inputs)
    body += b"".join(_bytes(2, name.encode()) for name in outputs)
    body += _bytes(4, kind.encode())
    return body + b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())


def _attribute(name: str, value: Any) -> bytes:
    body = _bytes(1, name.encode())
    if isinstance(value, float):
        return body + _tag(2, 5) + struct.pack("<f", value) + _int(20, _FLOAT)
    if isinstance(value, int):
        return body + _int(3, value) + _int(20, _INT)
    if isinstance(value, Graph):
        return body + _bytes(6, value.content()) + _int(20, _GRAPH)
    if isinstance(value, str):
        return body + _bytes(4, value.encode()) + _int(20, _STRING)
    if all(isinstance(item, int) for item in value):
        return body + b"".join(_int(8, item) for item in value) + _int(20, _INTS)
    if all(isinstance(item, str) for item in value):
        return body + b"".join(_bytes(9, item.encode()) for item in value) + _int(20, _STRINGS)
    raise TypeError(f"{name}: expected a number, a text, or a list of integers or texts, got {value!r}")


def _value(name: str, shape: Shape, kind: str) -> bytes:
    dims = b"".join(
        _bytes(1, _bytes(2, size.encode()) if isinstance(size, str) else _int(1, size)) for size in shape
    )
    tensor = _int(1, TYPES[kind]) + _bytes(2, dims)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _int(number: int, value: int) -> bytes:
    return _tag(number, 0) + _varint(value & (1 << 64) - 1)


def _bytes(number: int, content: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(frozen=True)
class State:
    """An array of one stream's state; the arrays of B streams are concatenated along ``axis``."""

    name: str  #: name of the graph's input
    source: str  #: name of a step's output, or another input, that becomes this input of the next step
    shape: tuple[int, ...]  #: shape for one stream
    axis: int
    start: float = 0.0  #: value of every element before the first frame
    growing: bool = False  #: whether waiting frames add to the size along ``axis`` (window graph)


class States:
    """The states of a graph under construction."""

    def __init__(self, graph: Graph, streams: bool = False) -> None:
        """With ``streams``, the arrays hold any number of streams."""
        self._graph, self._streams = graph, streams
        self.all: list[State] = []

    def input(
        self, name: str, axis: int, shape: tuple[int, ...], source: str = "", start: float = 0.0
    ) -> str:
        """Adds a state and returns its name. Its next value is input ``source``, or set by ``output``."""
        state = State(name, source or f"next_{name}", shape, axis, start)
        self.all.append(state)
        return self._graph.input(name, self._shape(state))

    def output(self, name: str, value: str) -> None:
        """Sets the value of a state in the next step."""
        state = next(state for state in self.all if state.name == name)
        self._graph.output(state.source, value, self._shape(state))

    def queue(
        self, name: str, count: int, axis: int, shape: tuple[int, ...], new: str, start: float = 0.0
    ) -> list[str]:
        """The names of the last ``count`` values and of the new one, the oldest first.

        Each value is an array of its own: arrays move up in the queue without a copy.
        """
        if not count:
            return [new]
        names = [f"{name}_{number}" for number in range(count)]
        sources = [*names[1:], f"next_{names[-1]}"]
        values = [
            self.input(own, axis, shape, source, start) for own, source in zip(names, sources, strict=True)
        ]
        self.output(names[-1], new)
        return [*values, new]

    def growing(self, name: str, before: int, shape: tuple[int, ...], start: float) -> str:
        """Adds a state of ``before`` and all waiting frames [before + waiting, ...]; returns its name."""
        self.all.append(State(name, f"next_{name}", (before, *shape), 0, start, growing=True))
        return self._graph.input(name, self._shape(self.all[-1]))

    def about(self) -> dict[str, str]:
        """Metadata that describe the states, in JSON."""
        return {"states": json.dumps([asdict(state) for state in self.all])}

    def _shape(self, state: State) -> list[int | str]:
        shape: list[int | str] = [*state.shape]
        size = state.shape[state.axis]
        if state.growing:
            shape[0] = f"{size} + waiting"
        elif self._streams:
            shape[state.axis] = "streams" if size == 1 else f"{size} * streams"
        return shape
