"""Converts a checkpoint for the page: a graph without arrays for each latency, and one file of weights.

The front end's matrix is twice as large as the network and hardly compresses, so the page computes it. All
graphs share the weights. A graph without its arrays is a *skeleton* with holes; ``network.json`` lists what
fills them and contains all that model/ONNX.md calls metadata.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...model import checkpoint as checkpoints
from ...model.checkpoint import DEFAULT, LICENCE, identity
from ...model.engine.step_graph import StepGraph
from ...model.engine.transform import groups
from ...model.timebase import latency_s

LOOK_AHEADS = (0, 2, 4, 8)  #: look-ahead R of the page's graphs: 52, 92, 132 and 212 ms
SMALLEST = 256  #: bytes; smaller arrays stay in the graph
#: Field numbers of onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9


def network_files(path: Path | None = None) -> dict[str, bytes]:
    """Returns file names and contents for a checkpoint; without a path, the shipped one.

    Raises CheckpointError if the file is not a complete checkpoint.
    """
    found = checkpoints.read(path)
    front_end = found.config.front_end
    matrices = {group.matrix.tobytes(): number for number, group in enumerate(groups(front_end))}
    weights = _Weights()
    files: dict[str, bytes] = {}
    steps: dict[str, Any] = {}
    for look_ahead in LOOK_AHEADS:
        builder = StepGraph(found.weights, found.config, look_ahead)
        name = f"step-{look_ahead}.bin"
        skeleton, holes = _cut(builder.model(), matrices, weights)
        files[name] = skeleton
        steps[str(round(1000 * latency_s(look_ahead, front_end.look_ahead)))] = {
            "file": name,
            "bytes": len(skeleton) + sum(hole["length"] for hole in holes),
            "look_ahead": look_ahead,
            "thresholds": found.config.decoder.at(look_ahead).applied,
            "states": [
                {key: getattr(state, key) for key in ("name", "source", "shape", "start")}
                for state in builder.states.all
            ],
            "holes": holes,
        }
    about = {
        "checkpoint": f"{found.path.name} {identity(found.path)}",
        "licence": LICENCE if found.path == DEFAULT else "",
        "weights": "weights.bin",
        "has_pedal": found.config.has_pedal,
        "note_ends": found.config.note_ends,
        "front_end": dataclasses.asdict(front_end),
        "groups": [
            {
                **{key: getattr(group, key) for key in ("first", "last", "every", "start")},
                "rows": len(group.matrix),
            }
            for group in groups(front_end)
        ],
        "steps": steps,
    }
    return {**files, "weights.bin": bytes(weights.content), "network.json": json.dumps(about).encode()}


class _Weights:
    """Concatenates arrays, equal ones only once."""

    def __init__(self) -> None:
        self.content = bytearray()
        self._places: dict[bytes, int] = {}

    def place(self, array: bytes) -> int:
        """Returns the offset of an array, which is added if it is new."""
        if array not in self._places:
            self._places[array] = len(self.content)
            self.content += array
        return self._places[array]


def _cut(model: bytes, matrices: dict[bytes, int], weights: _Weights) -> tuple[bytes, list[dict[str, int]]]:
    """Returns a model without its large arrays, and its holes in order."""
    kept, holes, done = bytearray(), [], 0
    for start, stop in _arrays(model):
        if stop - start < SMALLEST:
            continue
        array = model[start:stop]
        source = {"group": matrices[array]} if array in matrices else {"weights": weights.place(array)}
        holes.append({"at": start, "length": stop - start, **source})
        kept += model[done:start]
        done = stop
    return bytes(kept + model[done:]), holes


def _arrays(model: bytes) -> Iterator[tuple[int, int]]:
    """Yields start and stop of the values of each constant array in the graph."""
    for field, start, stop in _fields(model, 0, len(model)):
        if field == GRAPH:
            for inner, begin, end in _fields(model, start, stop):
                if inner == INITIALIZER:
                    yield from (
                        (first, last) for kind, first, last in _fields(model, begin, end) if kind == RAW_DATA
                    )


def _fields(message: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields number, start and stop of each bytes field in a Protocol Buffers message."""
    while at < end:
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            _, at = _varint(message, at)
        elif tag & 7 == 2:
            length, at = _varint(message, at)
            yield tag >> 3, at, at + length
            at += length
        else:  # wire type 1: eight bytes, 5: four
            at += 8 if tag & 7 == 1 else 4


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while message[at] > 127:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1
