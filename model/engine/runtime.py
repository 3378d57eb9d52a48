"""ONNX Runtime: how sessions are opened."""

from __future__ import annotations

import json

import onnxruntime

from .state import State


def open_session(model: bytes, threads: int = 1) -> onnxruntime.InferenceSession:
    """A session on the processor. With one thread ONNX Runtime starts none of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # A thread that waits must not take a core from another process's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # No more memory than is needed: windows of a recording are of different lengths.
    arena = {"arena_extend_strategy": "kSameAsRequested"}
    return onnxruntime.InferenceSession(model, options, providers=[("CPUExecutionProvider", arena)])


def states_of(session: onnxruntime.InferenceSession) -> list[State]:
    """What the metadata of one of our graphs say."""
    found = json.loads(session.get_modelmeta().custom_metadata_map["states"])
    return [State(**{**state, "shape": tuple(state["shape"])}) for state in found]
