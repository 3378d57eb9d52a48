"""The task that every executor runs for a recording: read, transcribe, write.

It is a generator, so that windows of many recordings can share a batch: it yields the sound of its next
window, receives the network's predictions for it, and returns the outcome. With a transcriber that has its
own network (``transcribe_whole``) it yields nothing.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from .errors import AudioError
from .jobs import Job, Outcome
from .pictures import PICTURE_S, draw_piano_roll
from .places import local_copy
from .provenance import DescribedModel, describe, digest_of, origin_for
from .reading import OpenRecording, open_recording
from .settings import Settings
from .writing import EventText, TellLines, cannot_write, write_outputs, writers

if TYPE_CHECKING:
    import numpy as np

    from ..model.decoder import Probable
    from ..model.transcriber import Transcriber, Transcription
    from ..model.tuning import Tuning

ReadUpTo = Callable[[float], None]  #: called with the seconds of a recording that have been read


@dataclass(frozen=True)
class WindowSound:
    """The sound that the next window of a recording adds."""

    samples: np.ndarray  #: [n] as ``Slices`` cuts them; or spectra [T, 352], with tuning "auto"
    last: bool


Model = TypeVar("Model", bound="TunableModel")
#: Yields the sound of a window, receives the network's predictions for it, returns the outcome.
RecordingTask = Generator[WindowSound, "Probable", Outcome]
#: The same for an open recording; returns its transcription. See ``transcribe_whole``.
Transcribing = Generator[WindowSound, "Probable", "Transcription"]
Transcribe = Callable[
    [OpenRecording, Model, Settings, ReadUpTo, EventText | None],
    Transcribing,
]


class TunableModel(DescribedModel, Protocol):
    """A model whose tuning can be changed: a Transcriber or its ModelFacts."""

    def with_tuning(self: Model, cents: float) -> Model: ...


def transcribe_recording(
    job: Job,
    transcriber: Transcriber,
    settings: Settings,
    read_up_to: ReadUpTo,
    tell: TellLines | None = None,
) -> Outcome:
    """Read, transcribe and write a recording. Exceptions are returned in the outcome; Ctrl-C is raised.

    ``tell``: receives JSONL lines as they are known; the JSONL file is empty then.
    """
    task = recording_task(job, transcriber, settings, read_up_to, transcribe_whole, tell)
    try:
        next(task)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    raise AssertionError("transcribe_whole gave a window")


def recording_task(
    job: Job,
    model: Model,
    settings: Settings,
    read_up_to: ReadUpTo,
    transcribe: Transcribe[Model],
    tell: TellLines | None = None,
) -> RecordingTask:
    """The task of one recording. Exceptions are returned in its outcome."""
    started = time.monotonic()
    try:
        outcome = yield from _read_transcribe_write(job, model, settings, read_up_to, transcribe, tell)
    except Exception as error:
        outcome = failed(job, error)
    outcome.wall_s = time.monotonic() - started
    return outcome


def _read_transcribe_write(
    job: Job,
    model: Model,
    settings: Settings,
    read_up_to: ReadUpTo,
    transcribe: Transcribe[Model],
    tell: TellLines | None,
) -> RecordingTask:
    """Raises AudioError for a bad recording and OSError if an output cannot be written."""
    job.check_free()
    with local_copy(job.source) as file:
        tuning = find_tuning(file, settings) if settings.tuning == "auto" else None
        if tuning is not None:
            model = model.with_tuning(tuning.cents)
        with opened(file, settings) as recording:
            digest = _digest(file)
            events = event_text(job, model, settings, digest, tell)
            result = yield from transcribe(recording, model, settings, read_up_to, events)
        facts = RecordingFacts.of(digest, recording, tuning)
        return write_result(job, model, settings, result, facts, events)


def transcribe_whole(
    recording: OpenRecording,
    transcriber: Transcriber,
    settings: Settings,
    read_up_to: ReadUpTo,
    events: EventText | None,
) -> Transcribing:
    """Transcribe an open recording with the transcriber's own network; yields no windows."""
    keep = settings.picture and fits_picture(recording.duration_s)
    result = transcriber.transcribe_blocks(
        _counted(recording.blocks(), recording.sample_rate, read_up_to),
        recording.sample_rate,
        latency_ms=settings.latency_ms,
        keep_probabilities=keep,
        watch_events=None if events is None else events.add,
    )
    if settings.picture and result.probabilities is None:
        shown = _first_probabilities(recording.path, transcriber, settings)
        result = replace(result, probabilities=shown)
    return result
    yield  # makes this a generator, as every ``Transcribe`` is


def failed(job: Job, error: Exception) -> Outcome:
    """The outcome of a job that raised an error, so that the next jobs can go on."""
    if isinstance(error, AudioError):
        said = str(error)
    elif isinstance(error, OSError):  # reading raises AudioError, so this is writing
        said = f"{job.source}: {cannot_write(error)}"
    else:
        said = f"{job.source}: {one_line(error)}"
    trace = "".join(traceback.format_exception(error))
    return Outcome(job.source, said, trace, outputs=list(job.outputs.values()))


def one_line(error: Exception) -> str:
    """An error's message without line breaks, with its type unless it is ours or a ValueError."""
    said = " ".join(str(error).split())
    ours = type(error).__module__.startswith(__name__.split(".")[0]) or isinstance(error, ValueError)
    if not said:
        return f"{type(error).__name__}, without a message"
    return said if ours else f"{type(error).__name__}: {said}"


@dataclass(frozen=True)
class RecordingFacts:
    """What reading a recording found, apart from its notes."""

    digest: str  #: see ``digest_of``
    warnings: list[str]
    cents: float | None = None  #: estimated tuning, only with tuning "auto"

    @classmethod
    def of(cls, digest: str, recording: OpenRecording, tuning: Tuning | None) -> RecordingFacts:
        """To be called after the recording has been read. ``tuning``: the estimate, if there is one."""
        if tuning is None:
            return cls(digest, recording.warnings)
        drift = [tuning.warning] if tuning.warning else []
        return cls(digest, [*recording.warnings, *drift], tuning.cents)


def _digest(file: Path) -> str:
    """``digest_of`` a recording. Raises AudioError, as all reading does."""
    try:
        return digest_of(file)
    except OSError as error:
        raise AudioError(f"{file}: cannot be read: {error.strerror or error}; check the disk") from None


def opened(file: Path, settings: Settings) -> AbstractContextManager[OpenRecording]:
    """Open a recording with the settings' channel and track."""
    return open_recording(file, channel=settings.channel, track=settings.track)


def event_text(
    job: Job, model: DescribedModel, settings: Settings, digest: str, tell: TellLines | None = None
) -> EventText | None:
    """Collects the events as they are known, if the job writes JSONL; otherwise None."""
    if "jsonl" not in job.outputs:
        return None
    origin = origin_for(job, model, settings, digest)
    return EventText({"origin": asdict(origin), **describe(job.user_source, model, settings)}, tell)


def write_result(
    job: Job,
    model: DescribedModel,
    settings: Settings,
    result: Transcription,
    facts: RecordingFacts,
    events: EventText | None = None,
) -> Outcome:
    """Write a job's outputs and return its outcome. ``events``: see ``event_text``. Raises OSError."""
    origin = origin_for(job, model, settings, facts.digest, len(result.notes))
    about = {"origin": asdict(origin), **describe(job.user_source, model, settings, result.duration_s)}
    if facts.warnings:
        about["warnings"] = facts.warnings
    kinds = writers(result.notes, about, result.pedal, settings.note_ends, origin.line())
    if events is not None:
        events.end(result.duration_s, facts.warnings)
        kinds["jsonl"] = events.write
    if settings.picture:
        kinds["png"] = lambda path: draw_piano_roll(
            path,
            result.notes,
            result.probabilities,
            result.duration_s,
            job.source.name,
            result.pedal,
            origin.line(),
        )
    job.check_free()  # again: an output may have appeared during transcription
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
    """Estimate the tuning of a recording against A = 440 Hz. Raises AudioError."""
    from ..model.tuning import estimate_tuning

    with opened(file, settings) as recording:
        return estimate_tuning(recording.blocks(), recording.sample_rate)


def _counted(
    blocks: Iterator[np.ndarray], sample_rate: int, read_up_to: Callable[[float], None]
) -> Iterator[np.ndarray]:
    samples = 0
    for block in blocks:
        yield block
        samples += len(block)  # the next block is requested, so this one has been processed
        read_up_to(samples / sample_rate)


def fits_picture(duration_s: float | None) -> bool:
    """Whether a picture shows the whole recording, or nearly."""
    return duration_s is not None and duration_s <= 1.1 * PICTURE_S


def _first_probabilities(file: Path, transcriber: Transcriber, settings: Settings) -> np.ndarray | None:
    """Transcribe the part shown in a picture once more: probabilities of hours would fill the memory."""
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
