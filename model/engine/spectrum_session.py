"""The front end alone, by ONNX Runtime: spectra for a network whose own front end is tuned otherwise."""

from __future__ import annotations

import numpy as np

from ..frontend import FrontEndConfig, decibels
from ..timebase import BINS, HOP
from .onnx_writer import Graph
from .runtime import open_session
from .transform import levels_of_frames
from .window_graph import BLOCK


class SpectrumSession:
    """Sound to log power, as FrontEnd computes it in PyTorch."""

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
