"""Peers for the tests. They work in processes of their own, which load this file and what it imports."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from hppnet.model.notes import Note, Press
from hppnet.training.evaluate.peers import Prediction

HELD = 1 << 26  #: bytes


class Impulses:
    """A peer that hears a note at every impulse, and the pedal pressed for half a second after it."""

    name, needs, install, note_ends = "impulses", (), "it is here", "keys"

    def load(self) -> None:
        assert "mir_eval" not in sys.modules and "torch" not in sys.modules  # a process of its own
        self.held = np.ones(HELD, dtype=np.uint8)

    def transcribe(self, path: Path) -> Prediction:
        sound, rate = soundfile.read(path)
        times_s = np.flatnonzero(np.abs(sound) > 0.1) / rate
        pedal = [Press(t, t + 0.5) for t in times_s]
        return Prediction([Note(t, t + 1, 60, 64) for t in times_s], pedal[::-1])


class Broken(Impulses):
    def load(self) -> None:
        raise OSError("no\nweights")
