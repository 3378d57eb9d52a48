"""Transkun (Yan and Duan, "Scoring Time Intervals Using Non-Hierarchical Transformer for Automatic Piano
Transcription", ISMIR 2024), the weights in its wheel; notes end with their sound.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import soundfile
import soxr

from ...model.notes import Note
from . import rounded_velocity


class Transkun:
    """Version 2, on the processor."""

    name = "transkun"
    needs = ("transkun", "moduleconf", "torchaudio", "mir_eval")
    install = "pip install 'hppnet[peers]'"

    def load(self) -> None:
        import torch

        torch.set_num_threads(1)  # as hppnet has it here: on a busy machine two are slower than one
        folder = Path(next(iter(import_module("transkun").__path__))) / "pretrained"
        settings = import_module("moduleconf").parseFromFile(str(folder / "2.0.conf"))["Model"]
        saved = torch.load(folder / "2.0.pt", map_location="cpu", weights_only=True)
        self._model: Any = settings.module.TransKun(conf=settings.config)
        # As its own command does: the file holds things beside the weights.
        self._model.load_state_dict(saved.get("best_state_dict", saved.get("state_dict")), strict=False)
        self._model.eval()

    def transcribe(self, path: Path) -> list[Note]:
        import torch

        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        sound = torch.from_numpy(soxr.resample(samples, rate, self._model.fs))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer versions of torch
            events = self._model.transcribe(sound, discardSecondHalf=False)
        # Negative pitches are its pedals.
        return [
            Note(float(e.start), float(e.end), int(e.pitch), rounded_velocity(float(e.velocity)))
            for e in events
            if e.pitch > 0
        ]
