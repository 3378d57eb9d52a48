"""One recording: read, transcribed, written."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .about import Described, describe, event_text, origin_for
from .errors import AudioError
from .jsonl import EventText, Tell
from .origin import digest_of
from .outputs import Job
from .pictures import PICTURE_S, draw_piano_roll
from .reading import Recording, open_recording
from .remote import Place, local_copy
from .settings import Settings
from .writing import cannot_write, write_outputs, writers

if TYPE_CHECKING:
    import numpy as np

    from ..model.notes import Note
    from ..model.transcriber import Transcriber, Transcription
    from ..model.tuning import Tuning


@dataclass
class Outcome:
    """What became of one recording."""

    source: Place
    error: str | None = None  #: one line that names the file
    trace: str | None = None  #: where the error arose
    outputs: list[Place] = field(default_factory=list)  #: written, or meant to be
    note_count: int = 0
    notes: list[Note] | None = None  #: with ``keep_notes``
    duration_s: float = 0.0  #: of sound
    wall_s: float = 0.0
    found_cents: float | None = None  #: with tuning "auto"
    digest: str = ""  #: of the recording: see ``digest_of``
    engine: str = ""  #: what computed it: library, version and precision
    warnings: list[str] = field(default_factory=list)  #: what is wrong with the recording, a line each


def load_transcriber(settings: Settings) -> Transcriber:
    """The checkpoint with the settings' thresholds and tuning. Raises what ``Transcriber.load`` raises."""
    from ..model.checkpoint import CheckpointError
    from ..model.device import keep_memory, one_thread
    from ..model.transcriber import Transcriber

    keep_memory()
    transcriber = Transcriber.load(settings.checkpoint, device=settings.device)
    one_thread()  # cores are used by transcribing several recordings at once
    if settings.offsets == "sounding" and not transcriber.has_pedal:
        name = transcriber.checkpoint_name
        raise CheckpointError(
            f"{name}: sounding offsets need a checkpoint that hears the pedal, this has no head"
        )
    thresholds = {name: getattr(settings, f"{name}_threshold") for name in ("onset", "frame", "offset")}
    if any(value is not None for value in thresholds.values()):
        transcriber = transcriber.with_thresholds(**thresholds)
    if isinstance(settings.tuning, (int, float)):
        transcriber = transcriber.with_tuning(settings.tuning)
    return transcriber


def attempt(
    job: Job,
    transcriber: Transcriber,
    settings: Settings,
    heard: Callable[[float], None],
    tell: Tell | None = None,
) -> Outcome:
    """``transcribe_job`` with whatever goes wrong in its outcome. Ctrl-C passes."""
    started = time.monotonic()
    try:
        outcome = transcribe_job(job, transcriber, settings, heard, tell)
    except Exception as error:
        outcome = failed(job, error)
    outcome.wall_s = time.monotonic() - started
    return outcome


def failed(job: Job, error: Exception) -> Outcome:
    """What an error makes of a job: whatever one file brings about, the next ones are not to suffer."""
    if isinstance(error, AudioError):
        said = str(error)
    elif isinstance(error, OSError):  # reading has its own error, so this is writing
        said = f"{job.source}: {cannot_write(error)}"
    else:
        said = f"{job.source}: {one_line(error)}"
    trace = "".join(traceback.format_exception(error))
    return Outcome(job.source, said, trace, outputs=list(job.outputs.values()))


def one_line(error: Exception) -> str:
    """An error's words without line breaks; those of errors that are not ours, with their kind."""
    said = " ".join(str(error).split())
    ours = type(error).__module__.startswith(__name__.split(".")[0]) or isinstance(error, ValueError)
    return said if ours and said else f"{type(error).__name__}: {said or 'no further words'}"


def transcribe_job(
    job: Job,
    transcriber: Transcriber,
    settings: Settings,
    heard: Callable[[float], None],
    tell: Tell | None = None,
) -> Outcome:
    """Read, transcribe, write. Raises AudioError for a bad recording and OSError when it cannot write.

    ``tell``: receives the lines of jsonl as they are known; its file is empty then.
    """
    job.check_free()
    with local_copy(job.source) as file:
        tuning = find_tuning(file, settings) if settings.tuning == "auto" else None
        if tuning is not None:
            transcriber = transcriber.with_tuning(tuning.cents)
        with opened(file, settings) as recording:
            digest = digest_or_fault(file)
            events = event_text(job, transcriber, settings, digest, tell)
            result = _transcribe(recording, transcriber, settings, heard, events)
        again = partial(_first_probabilities, file, transcriber, settings)
        facts = Facts.of(digest, recording, tuning)
        return write_result(job, transcriber, settings, result, facts, again, events)


@dataclass(frozen=True)
class Facts:
    """What reading a recording brought to light beside its notes."""

    digest: str  #: see ``digest_of``
    warnings: list[str]
    cents: float | None = None  #: with tuning "auto"

    @classmethod
    def of(cls, digest: str, recording: Recording, tuning: Tuning | None) -> Facts:
        """Once the recording has been read; ``tuning``: the one that was found, if any."""
        if tuning is None:
            return cls(digest, recording.warnings)
        drift = [tuning.warning] if tuning.warning else []
        return cls(digest, [*recording.warnings, *drift], tuning.cents)


def digest_or_fault(file: Path) -> str:
    """``digest_of`` a recording. Raises AudioError, as all reading does."""
    try:
        return digest_of(file)
    except OSError as error:
        raise AudioError(f"{file}: cannot be read: {error.strerror or error}; check the disk") from None


def opened(file: Path, settings: Settings) -> AbstractContextManager[Recording]:
    """The recording, as the settings want it read."""
    return open_recording(file, channel=settings.channel, track=settings.track)


def write_result(
    job: Job,
    model: Described,
    settings: Settings,
    result: Transcription,
    facts: Facts,
    probabilities: Callable[[], np.ndarray | None] = lambda: None,
    events: EventText | None = None,
) -> Outcome:
    """The outputs of what was understood; ``probabilities`` for a picture, where the result has none.

    ``events``: see ``event_text``. Raises OSError when it cannot write.
    """
    origin = origin_for(job, model, settings, facts.digest, len(result.notes))
    about = {"origin": asdict(origin), **describe(str(job.source), model, settings, result.duration_s)}
    if facts.warnings:
        about["warnings"] = facts.warnings
    kinds = writers(result.notes, about, result.pedal, settings.offsets, origin.line())
    if events is not None:
        events.end(result.duration_s, facts.warnings)
        kinds["jsonl"] = events.write
    if settings.picture:
        shown = probabilities() if result.probabilities is None else result.probabilities
        kinds["png"] = lambda path: draw_piano_roll(
            path, result.notes, shown, result.duration_s, job.source.name, result.pedal, origin.line()
        )
    job.check_free()  # again: transcribing took its time
    write_outputs({place: kinds[kind] for kind, place in job.outputs.items()})
    return Outcome(
        job.source,
        outputs=list(job.outputs.values()),
        note_count=len(result.notes),
        notes=result.notes if settings.keep_notes else None,
        duration_s=result.duration_s,
        found_cents=facts.cents,
        digest=facts.digest,
        engine=model.computed_by(settings.latency_ms),
        warnings=facts.warnings,
    )


def find_tuning(file: Path, settings: Settings) -> Tuning:
    """Against A = 440 Hz. Raises AudioError."""
    from ..model.tuning import estimate_tuning

    with opened(file, settings) as recording:
        return estimate_tuning(recording.blocks(), recording.sample_rate)


def _transcribe(
    recording: Recording,
    transcriber: Transcriber,
    settings: Settings,
    heard: Callable[[float], None],
    events: EventText | None,
) -> Transcription:
    blocks = _counted(recording.blocks(), recording.sample_rate, heard)
    keep = settings.picture and fits_picture(recording.duration_s)
    return transcriber.transcribe_blocks(
        blocks,
        recording.sample_rate,
        latency_ms=settings.latency_ms,
        keep_probabilities=keep,
        watch_events=None if events is None else events.add,
    )


def _counted(
    blocks: Iterator[np.ndarray], sample_rate: int, heard: Callable[[float], None]
) -> Iterator[np.ndarray]:
    samples = 0
    for block in blocks:
        yield block
        samples += len(block)  # when the next is asked for, this one has been worked on
        heard(samples / sample_rate)


def fits_picture(duration_s: float | None) -> bool:
    """Whether a picture shows all of it, or nearly."""
    return duration_s is not None and duration_s <= 1.1 * PICTURE_S


def _first_probabilities(file: Path, transcriber: Transcriber, settings: Settings) -> np.ndarray | None:
    """Of as much as a picture shows, by a second look: kept for hours they would fill the memory."""
    with opened(file, settings) as recording:
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
