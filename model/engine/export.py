"""The graphs of a checkpoint for other programs (see ONNX.md)."""

from __future__ import annotations

import dataclasses
import json

from ..checkpoint import Checkpoint
from ..config import HEADS, ModelConfig
from ..shipped import identity
from ..timebase import HOP, LOWEST_PITCH, SAMPLE_RATE
from .step_graph import StepGraph
from .window_graph import WindowGraph


def graphs(checkpoint: Checkpoint, look_ahead: int) -> dict[str, bytes]:
    """File names and contents: a live step with R = ``look_ahead``, and a window of a recording."""
    config = checkpoint.config
    about = {**metadata(config), "checkpoint": f"{checkpoint.path.name} {identity(checkpoint.path)}"}
    return {
        "step.onnx": StepGraph(checkpoint.weights, config, look_ahead).model(about),
        "window.onnx": WindowGraph(checkpoint.weights, config).model(about),
    }


def metadata(config: ModelConfig) -> dict[str, str]:
    """What a program must know beside the states, as texts."""
    front_end = config.front_end
    return {
        "sample_rate": str(SAMPLE_RATE),
        "hop": str(HOP),
        "samples_before": str(front_end.before),
        "samples_after": str(front_end.after),
        "lowest_pitch": str(LOWEST_PITCH),
        "heads": json.dumps(HEADS),
        "thresholds": json.dumps(dataclasses.asdict(config.decoder)),
        "note_ends": config.note_ends,
    }
