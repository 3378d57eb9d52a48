"""Transkun (Yan and Duan, "Scoring Time Intervals Using Non-Hierarchical Transformer for Automatic Piano
Transcription", ISMIR 2024), the weights in its wheel.

The weights of 2.0.1 end notes where keys are released, and find the sustain and soft pedals as events of
their own, whose pitches are the controllers' numbers, negative.
"""

from __future__ import annotations

import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import soundfile
import soxr

from ...model.midi_file import SUSTAIN
from ...model.notes import Note, Press
from . import About, Prediction, rounded_velocity

_MEL = "framewiseFeatureExtractor.freq2mels"


class Transkun:
    """Version 2, on the processor."""

    name = "transkun"
    needs = ("transkun", "moduleconf", "mir_eval", "ncls")
    install = "pip install 'hppnet[peers]'"
    note_ends = "keys"
    about = About(50.8, "MIT", "MIT (trained on MAESTRO, CC BY-NC-SA 4.0)")  #: of its wheel on PyPI

    def load(self) -> None:
        import torch

        torch.set_num_threads(1)  # as hppnet has it here: on a busy machine two are slower than one
        folder = Path(next(iter(import_module("transkun").__path__))) / "pretrained"
        settings = import_module("moduleconf").parseFromFile(str(folder / "2.0.conf"))["Model"]
        saved = torch.load(folder / "2.0.pt", map_location="cpu", weights_only=True)
        with _without_torchaudio():
            self._model: Any = settings.module.TransKun(conf=settings.config)
        weights = saved.get("best_state_dict", saved.get("state_dict"))
        if _MEL not in weights:
            raise ValueError(f"expected the weights of transkun 2.0.1, with {_MEL}; {self.install}")
        self._model.load_state_dict(weights, strict=False)  # as its own command does
        self._model.eval()

    def transcribe(self, path: Path) -> Prediction:
        import torch

        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        sound = torch.from_numpy(soxr.resample(samples, rate, self._model.fs))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of newer versions of torch
            events = self._model.transcribe(sound, discardSecondHalf=False)
        return prediction(events)


def prediction(events: list[Any]) -> Prediction:
    """Transkun's events (start, end, pitch, velocity) as notes and presses of the sustain pedal.

    The soft pedal's are left out.
    """
    notes = [
        Note(float(e.start), float(e.end), int(e.pitch), rounded_velocity(float(e.velocity)))
        for e in events
        if e.pitch > 0
    ]
    # The velocity of a pedal's event means nothing: the model was trained on down or up alone.
    pedal = [Press(float(e.start), float(e.end)) for e in events if e.pitch == -SUSTAIN]
    return Prediction(notes, pedal)


@contextmanager
def _without_torchaudio() -> Iterator[None]:
    """Stands in for torchaudio, which Transkun asks for its mel filters alone.

    PyPI has it for CUDA only: beside a PyTorch for the processor it cannot be imported. The filters are
    among Transkun's weights, which overwrite what is returned here.
    """

    def melscale_fbanks(n_freqs: int, n_mels: int, **_: object) -> Any:
        import torch

        return torch.zeros(n_freqs, n_mels)

    before = sys.modules.get("torchaudio")
    module = types.ModuleType("torchaudio")
    module.functional = types.SimpleNamespace(melscale_fbanks=melscale_fbanks)  # type: ignore[attr-defined]
    sys.modules["torchaudio"] = module
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
        if before is not None:
            sys.modules["torchaudio"] = before
