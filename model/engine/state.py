"""What a step remembers: named arrays that go in, and where each comes from for the next step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from .onnx_writer import Graph


@dataclass(frozen=True)
class State:
    """An array of one stream's state; those of B streams lie side by side along ``axis``."""

    name: str  #: of the graph's input
    source: str  #: the output, or the other input, of a step that is this input of the next
    shape: tuple[int, ...]  #: of one stream
    axis: int
    start: float = 0.0  #: what all of it is before the first frame
    growing: bool = False  #: along ``axis``: a window's, with what waits for its future


class States:
    """The states of a graph under construction."""

    def __init__(self, graph: Graph, streams: bool = False) -> None:
        """With ``streams``, of any number of them side by side."""
        self._graph, self._streams = graph, streams
        self.all: list[State] = []

    def input(
        self, name: str, axis: int, shape: tuple[int, ...], source: str = "", start: float = 0.0
    ) -> str:
        """A state; where it comes from is another input, or without ``source`` what ``output`` says."""
        state = State(name, source or f"next_{name}", shape, axis, start)
        self.all.append(state)
        return self._graph.input(name, self._shape(state))

    def output(self, name: str, value: str) -> None:
        """What the next step's state is."""
        state = next(state for state in self.all if state.name == name)
        self._graph.output(state.source, value, self._shape(state))

    def queue(
        self, name: str, count: int, axis: int, shape: tuple[int, ...], new: str, start: float = 0.0
    ) -> list[str]:
        """The last ``count`` values and the new one, the oldest first.

        Each is an array of its own: the next step takes another's place instead of a copy.
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
        """A state of ``before`` frames and of as many more as wait: [before + waiting, ...]."""
        self.all.append(State(name, f"next_{name}", (before, *shape), 0, start, growing=True))
        return self._graph.input(name, self._shape(self.all[-1]))

    def about(self) -> dict[str, str]:
        """Metadata of the model."""
        return {"states": json.dumps([asdict(state) for state in self.all])}

    def _shape(self, state: State) -> list[int | str]:
        shape: list[int | str] = [*state.shape]
        size = state.shape[state.axis]
        if state.growing:
            shape[0] = f"{size} + waiting"
        elif self._streams:
            shape[state.axis] = "streams" if size == 1 else f"{size} * streams"
        return shape
