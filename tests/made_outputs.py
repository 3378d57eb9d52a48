"""Outputs of recordings that are noise, made without a network, and what a later run makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from hppnet.model.config import ModelConfig
from hppnet.model.notes import Note, NoteOff, NoteOn
from hppnet.model.transcriber import Transcription
from hppnet.offline.existing_outputs import ExistingOutputs
from hppnet.offline.jobs import Job
from hppnet.offline.provenance import digest_of
from hppnet.offline.recording_task import RecordingFacts, event_text, write_result
from hppnet.offline.settings import Settings, describe_settings

KINDS = ("mid", "csv", "json", "jsonl")
NOTES = [Note(0.1 * n, 0.1 * n + 0.05, 60 + n, 64) for n in range(5)]


@dataclass(frozen=True)
class Model:
    config: ModelConfig = field(default_factory=ModelConfig)
    checkpoint_name: str = "some.safetensors abc"

    def computed_by(self, latency_ms: float | None) -> str:
        return "nothing"


def make(job: Job, options: Settings | None = None, checkpoint: str = "abc") -> None:
    """The outputs of a job as they are written, without a network."""
    model = Model(checkpoint_name=f"some.safetensors {checkpoint}")
    options = options or Settings()
    facts = RecordingFacts(digest_of(Path(str(job.source))), [])
    events = event_text(job, model, options, facts.digest)
    if events is not None:
        for note in NOTES:
            events.add([NoteOn(note.onset_s, note.pitch, note.velocity), NoteOff(note.offset_s, note.pitch)])
    write_result(job, model, options, Transcription(NOTES, 1.0, None, None), facts, events=events)


def existing_outputs(
    options: Settings | None = None, checkpoint: str = "abc", **more: bool
) -> ExistingOutputs:
    return ExistingOutputs(describe_settings(options or Settings()), lambda: checkpoint, **more)


def sound(path: str, seed: int = 0, seconds: float = 0.3) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds)), 16_000)
    return Path(path)


def contents(folder: Path = Path()) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
