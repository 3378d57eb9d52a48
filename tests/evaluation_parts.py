"""Notes, recordings and a program that hears them, for the tests of ``hppnet evaluate``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.config import DecoderConfig, ModelConfig
from hppnet.model.notes import Note
from hppnet.model.transcriber import Transcriber, Transcription

ONSETS = tuple(f"onset_{ms}ms" for ms in (10, 20, 30, 50))
#: Ten notes a second apart, half a second long, one key after the other, louder and louder.
SCALE = [Note(1.0 + i, 1.5 + i, 60 + i, 30 + 8 * i) for i in range(10)]


def shifted(notes: list[Note], by_s: float, velocity: int = 0) -> list[Note]:
    return [Note(n.onset_s + by_s, n.offset_s + by_s, n.pitch, n.velocity + velocity) for n in notes]


def unknown(notes: list[Note]) -> list[Note]:
    return [Note(n.onset_s, n.offset_s, n.pitch, 0) for n in notes]


HEADER = "onset\toffset\tnote\tvelocity\n"


def write_labels(path: Path, notes: list[Note]) -> Path:
    path.write_text(HEADER + "".join(f"{n.onset_s}\t{n.offset_s}\t{n.pitch}\t{n.velocity}\n" for n in notes))
    return path


RATE = 16_000


def write_clicks(path: Path, notes: list[Note]) -> None:
    """A recording that :class:`Clicks` understands: one sample a note, its pitch as the amplitude."""
    sound = np.zeros(round(RATE * (max(n.offset_s for n in notes) + 0.1)), dtype=np.float32)
    for note in notes:
        sound[round(note.onset_s * RATE)] = note.pitch / 128
    soundfile.write(path, sound, RATE, subtype="FLOAT")


class Clicks:
    """Hears the notes of :func:`write_clicks`; in the place of a network, which is slow and errs."""

    checkpoint_name, precision, device = "clicks", "fp32", "cpu"
    config = ModelConfig()

    def with_thresholds(self, **thresholds: float | None) -> Clicks:
        self.config = ModelConfig(decoder=DecoderConfig().changed(**thresholds))
        return self

    def transcribe_blocks(self, blocks, sample_rate, *, latency_ms=None) -> Transcription:
        self.latency_ms = latency_ms
        sound = np.concatenate(list(blocks))
        notes = [
            Note(i / RATE, min(i / RATE + 0.5, len(sound) / RATE), round(float(sound[i]) * 128), 64)
            for i in np.flatnonzero(sound)
        ]
        return Transcription(notes, len(sound) / RATE)


def two_recordings(folder: Path) -> Path:
    """Two recordings heard perfectly, but for one note more than was played in the second."""
    folder.mkdir()
    for name, played in (("a", SCALE), ("b", SCALE[:9])):
        write_clicks(folder / f"{name}.wav", SCALE)
        write_labels(folder / f"{name}.tsv", played)
    return folder


def hear_clicks(monkeypatch: pytest.MonkeyPatch) -> Clicks:
    """In the place of any checkpoint."""
    transcriber = Clicks()
    monkeypatch.setattr(Transcriber, "load", lambda checkpoint, device: transcriber)
    return transcriber


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def scores_of(*arguments: object) -> dict:
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)
