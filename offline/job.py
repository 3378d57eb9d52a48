"""One recording: read, transcribed, written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outputs import Job
from .pictures import PICTURE_S, draw_piano_roll
from .reading import Recording, open_recording
from .settings import Settings
from .writing import write_outputs, writers

if TYPE_CHECKING:
    import numpy as np

    from ..model.notes import Note
    from ..model.transcriber import Transcriber, Transcription


@dataclass
class Outcome:
    """What became of one recording."""

    source: Path
    error: str | None = None  #: one line that names the file
    trace: str | None = None  #: where the error arose
    outputs: list[Path] = field(default_factory=list)
    note_count: int = 0
    notes: list[Note] | None = None  #: with ``keep_notes``
    duration_s: float = 0.0  #: of sound
    wall_s: float = 0.0
    found_cents: float | None = None  #: with tuning "auto"


def load_transcriber(settings: Settings) -> Transcriber:
    """The checkpoint with the settings' thresholds and tuning. Raises what ``Transcriber.load`` raises."""
    import torch

    from ..model.transcriber import Transcriber

    # Its tensors are small: a second thread gains nothing, and on a busy machine the threads wait for each
    # other (measured: 20 x slower). Cores are used by transcribing several recordings at once.
    torch.set_num_threads(1)
    transcriber = Transcriber.load(settings.checkpoint, device=settings.device)
    thresholds = {name: getattr(settings, f"{name}_threshold") for name in ("onset", "frame", "offset")}
    if any(value is not None for value in thresholds.values()):
        transcriber = transcriber.with_thresholds(**thresholds)
    if isinstance(settings.tuning, float):
        transcriber = transcriber.with_tuning(settings.tuning)
    return transcriber


def transcribe_job(
    job: Job, transcriber: Transcriber, settings: Settings, heard: Callable[[float], None]
) -> Outcome:
    """Read, transcribe, write. Raises AudioError for a bad recording and OSError when it cannot write."""
    job.check_free()
    found_cents = None
    if settings.tuning == "auto":
        found_cents = _find_tuning(job.source)
        transcriber = transcriber.with_tuning(found_cents)
    with open_recording(job.source) as recording:
        result = _transcribe(recording, transcriber, settings, heard)
    about = describe(job.source, transcriber, settings, result.duration_s)
    kinds = writers(result.notes, about)
    if settings.picture:
        kinds["png"] = partial(_draw, job.source, transcriber, settings, result)
    write_outputs({path: kinds[kind] for kind, path in job.outputs.items()})
    return Outcome(
        job.source,
        outputs=list(job.outputs.values()),
        note_count=len(result.notes),
        notes=result.notes if settings.keep_notes else None,
        duration_s=result.duration_s,
        found_cents=found_cents,
    )


def _find_tuning(source: Path) -> float:
    from ..model.tuning import estimate_cents

    with open_recording(source) as recording:
        return float(estimate_cents(recording.blocks(), recording.sample_rate))


def _transcribe(
    recording: Recording, transcriber: Transcriber, settings: Settings, heard: Callable[[float], None]
) -> Transcription:
    blocks = _counted(recording.blocks(), recording.sample_rate, heard)
    keep = settings.picture and _fits_picture(recording.duration_s)
    return transcriber.transcribe_blocks(
        blocks, recording.sample_rate, latency_ms=settings.latency_ms, keep_probabilities=keep
    )


def _counted(
    blocks: Iterator[np.ndarray], sample_rate: int, heard: Callable[[float], None]
) -> Iterator[np.ndarray]:
    samples = 0
    for block in blocks:
        yield block
        samples += len(block)  # when the next is asked for, this one has been worked on
        heard(samples / sample_rate)


def _fits_picture(duration_s: float | None) -> bool:
    return duration_s is not None and duration_s <= 1.1 * PICTURE_S


def _draw(
    source: Path, transcriber: Transcriber, settings: Settings, result: Transcription, path: Path
) -> None:
    probabilities = result.probabilities
    if probabilities is None:
        probabilities = _first_probabilities(source, transcriber, settings)
    draw_piano_roll(path, result.notes, probabilities, result.duration_s, source.name)


def _first_probabilities(source: Path, transcriber: Transcriber, settings: Settings) -> np.ndarray | None:
    """Of as much as a picture shows, by a second look: kept for hours they would fill the memory."""
    with open_recording(source) as recording:
        blocks = _first_seconds(recording.blocks(), round(PICTURE_S * recording.sample_rate))
        start = transcriber.transcribe_blocks(
            blocks, recording.sample_rate, latency_ms=settings.latency_ms, keep_probabilities=True
        )
    return start.probabilities


def _first_seconds(blocks: Iterator[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[:samples]
        samples -= len(block)
        if samples <= 0:
            return


def describe(source: Path, transcriber: Transcriber, settings: Settings, duration_s: float) -> dict[str, Any]:
    """What JSON says beside the notes."""
    config = transcriber.config
    return {
        "source": str(source),
        "duration_s": round(float(duration_s), 6),
        "checkpoint": transcriber.checkpoint_name,
        "tuning_cents": round(config.front_end.tuning_cents, 2),
        "settings": {
            "context": "full" if settings.latency_ms is None else "streaming",
            "latency_ms": settings.latency_ms,
            "tuning": settings.tuning,
            "thresholds": asdict(config.decoder),
        },
    }
