"""Basic Pitch (Bittner et al., "A Lightweight Instrument-Agnostic Model for Polyphonic Note Transcription
and Multipitch Estimation", ICASSP 2022), its own inference with the ONNX model in its wheel.
"""

from __future__ import annotations

import contextlib
import io
import logging
from importlib import import_module
from pathlib import Path
from typing import Any

from ...model.notes import Note
from . import About, Prediction, rounded_velocity


class BasicPitch:
    """Version 0.4, with its default thresholds."""

    name = "basic-pitch"
    needs = ("basic_pitch", "onnxruntime", "resampy", "sklearn", "librosa")
    # Its wheel asks for a TensorFlow that newer Pythons do not have and that ONNX does not need.
    install = "pip install 'hppnet[peers]' && pip install --no-deps basic-pitch==0.4.0"
    note_ends = "sounding"  #: it knows no pedal: a note ends with its sound
    about = About(0.8, "Apache-2.0", "Apache-2.0")  #: of its wheel on PyPI

    def load(self) -> None:
        logging.getLogger().setLevel(logging.ERROR)  # it warns of every runtime that is not installed
        package = import_module("basic_pitch")
        inference = import_module("basic_pitch.inference")
        onnx = package.build_icassp_2022_model_path(package.FilenameSuffix.onnx)
        self._model: Any = inference.Model(onnx)
        self._predict: Any = inference.predict

    def transcribe(self, path: Path) -> Prediction:
        with contextlib.redirect_stdout(io.StringIO()):  # it tells what it reads
            _, _, events = self._predict(path, self._model)
        notes = [
            Note(float(begin), float(end), int(pitch), rounded_velocity(127 * float(amplitude)))
            for begin, end, pitch, amplitude, _ in events
        ]
        return Prediction(notes, pedal=None)
