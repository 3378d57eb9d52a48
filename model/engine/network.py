"""A network for ONNX Runtime: the tensors of a checkpoint, and sessions of the graphs built from them."""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import HEADS, DecoderConfig, ModelConfig, NetworkConfig
from ..frames import CONTEXT_FRAMES
from ..frontend import FrontEndConfig, decibels
from ..timebase import BINS, HOP, LOWEST_PITCH, SAMPLE_RATE
from .graph import Graph, State
from .step_graph import StepGraph
from .transform import levels_of_frames
from .window_graph import BLOCK, WindowGraph

if TYPE_CHECKING:
    import onnxruntime

    from ..checkpoint import Checkpoint
    from .onnx_engine import OnnxStreams, OnnxWindows

#: Sessions kept: each has a front end of 5 MB, and a corpus may have thousands of tunings.
MOST_SESSIONS = 6


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """Weights and sizes of a network. Graphs are built on first use. Threads may share it."""

    weights: Mapping[str, np.ndarray]
    config: NetworkConfig
    threads: int = 1  #: threads for whole recordings; a stream's step is too small to share
    _sessions: OrderedDict[Any, Session] = field(default_factory=OrderedDict, repr=False)
    _locks: dict[int, threading.Lock] = field(default_factory=dict, repr=False)  #: by process

    def without_pedal(self) -> OnnxNetwork:
        """A copy that does not predict the pedal; the notes are the same."""
        weights = {name: value for name, value in self.weights.items() if not name.startswith("pedal.")}
        return OnnxNetwork(weights, replace(self.config, pedal_units=0), self.threads)

    def with_threads(self, threads: int) -> OnnxNetwork:
        """A copy that uses so many threads for whole recordings."""
        return OnnxNetwork(self.weights, self.config, threads)

    def streams(self, front_end: FrontEndConfig, look_ahead: int) -> OnnxStreams:
        """The engine for streams with a look-ahead of R frames."""
        from .onnx_engine import OnnxStreams

        return OnnxStreams(self, front_end, look_ahead)

    def windows(self, front_end: FrontEndConfig, context: int = CONTEXT_FRAMES) -> OnnxWindows:
        """The engine for whole recordings; ``context`` frames of each window are left to the next."""
        from .onnx_engine import OnnxWindows

        return OnnxWindows(self, front_end, context)

    def step_session(self, front_end: FrontEndConfig, look_ahead: int) -> Session:
        """The session of a ``StepGraph``, on one thread."""
        config = ModelConfig(self.config, front_end)
        graph = lambda: StepGraph(self.weights, config, look_ahead).model()  # noqa: E731
        return self._session(("step", front_end, look_ahead), graph, 1)

    def window_session(self, front_end: FrontEndConfig, from_levels: bool) -> Session:
        """The session of a ``WindowGraph`` for samples or levels."""
        config = ModelConfig(self.config, front_end)
        graph = lambda: WindowGraph(self.weights, config, from_levels).model()  # noqa: E731
        key = ("window", from_levels) if from_levels else ("window", front_end)
        return self._session(key, graph, self.threads)

    def _session(self, key: tuple[Any, ...], graph: Callable[[], bytes], threads: int) -> Session:
        # After a fork, a lock that another thread of the parent held is never released.
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            found = self._sessions.get(key)
            # After a fork, the session's threads exist only in the parent process.
            if found is None or found.process != os.getpid():
                found = self._sessions[key] = Session(graph(), threads)
            self._sessions.move_to_end(key)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return found

    def __getstate__(self) -> dict[str, Any]:
        """Pickles and copies have no sessions and create their own."""
        return {"weights": self.weights, "config": self.config, "threads": self.threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in OnnxNetwork(**state).__dict__.items():
            object.__setattr__(self, name, value)


class Session:
    """An ONNX Runtime session, with the states that its metadata describe."""

    def __init__(self, model: bytes, threads: int = 1) -> None:
        self.process = os.getpid()
        self._session: onnxruntime.InferenceSession = open_session(model, threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        self.states = states_of(self._session)

    def start(self) -> dict[str, np.ndarray]:
        """The states before the first frame."""
        return {state.name: np.full(state.shape, state.start, np.float32) for state in self.states}

    def run(
        self, given: Mapping[str, np.ndarray], states: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Runs the graph; returns all outputs, and the states for the next run."""
        values = self._session.run(self._outputs, {**given, **states})
        found = dict(zip(self._outputs, values, strict=True))
        after = {
            state.name: found[state.source] if state.source in found else states[state.source]
            for state in self.states
        }
        return found, after


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the CPU. With one thread, ONNX Runtime starts no threads of its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # A waiting thread must not take a core from other processes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Allocates no more than needed: the windows of a recording differ in length.
    arena = {"arena_extend_strategy": "kSameAsRequested"}
    return onnxruntime.InferenceSession(model, options, providers=[("CPUExecutionProvider", arena)])


def states_of(session: onnxruntime.InferenceSession) -> list[State]:
    """The states that the metadata of a graph describe."""
    found = json.loads(session.get_modelmeta().custom_metadata_map["states"])
    return [State(**{**state, "shape": tuple(state["shape"])}) for state in found]


class SpectrumSession:
    """Transforms sound to log power, as FrontEnd does in PyTorch."""

    def __init__(self, config: FrontEndConfig) -> None:
        graph = Graph("spectrum")
        samples = graph.input("samples", ["frames", config.span])
        graph.output("levels", levels_of_frames(graph, samples, config), ["frames", BINS])
        self._session, self._span = open_session(graph.model({})), config.span

    def frames(self, samples: np.ndarray) -> np.ndarray:
        """Log power [T, 352] in dB (floor -110) of every whole frame in ``samples`` [n]."""
        if len(samples) < self._span:
            return np.zeros((0, BINS), np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(samples, self._span)[::HOP]
        parts = [
            self._session.run(None, {"samples": np.ascontiguousarray(windows[first : first + BLOCK])})[0]
            for first in range(0, len(windows), BLOCK)
        ]
        return decibels(np.concatenate(parts))


def graphs(checkpoint: Checkpoint, look_ahead: int) -> dict[str, bytes]:
    """The graphs for other programs (see ONNX.md): a live step with R = ``look_ahead``, and a window.

    Returns file names and contents.
    """
    config, named = checkpoint.config, {"checkpoint": checkpoint.name}
    step = {**metadata(config, config.decoder.at(look_ahead)), **named}
    window = {**metadata(config, config.decoder), **named}
    return {
        "step.onnx": StepGraph(checkpoint.weights, config, look_ahead).model(step),
        "window.onnx": WindowGraph(checkpoint.weights, config).model(window),
    }


def metadata(config: ModelConfig, decoder: DecoderConfig) -> dict[str, str]:
    """The metadata that a program needs besides the states."""
    front_end = config.front_end
    return {
        "sample_rate": str(SAMPLE_RATE),
        "hop": str(HOP),
        "samples_before": str(front_end.before),
        "samples_after": str(front_end.after),
        "lowest_pitch": str(LOWEST_PITCH),
        "heads": json.dumps(HEADS),
        "thresholds": json.dumps(decoder.applied),
        "note_ends": config.note_ends,
    }
