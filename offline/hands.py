"""Everything about a recording but the network: reading, cutting, decoding and writing.

A recording is a generator: it gives the sound of its next window, takes what the network makes of it, and
returns its outcome. So one process holds many of them, and none waits for another.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from ..model.config import ModelConfig
from ..model.decoder import Decoder, Probable
from ..model.engine.network import SpectrumSession
from ..model.frames import Slices
from ..model.notes import Event, notes_from, presses_from
from ..model.timebase import FRAME_S, FRAMES_PER_SECOND
from ..model.transcriber import Transcriber, Transcription
from .about import event_text
from .job import (
    Facts,
    Outcome,
    digest_or_fault,
    failed,
    find_tuning,
    fits_picture,
    opened,
    write_result,
)
from .jsonl import EventText
from .outputs import Job
from .pictures import PICTURE_S
from .reading import Recording
from .remote import local_copy
from .settings import Settings
from .workers import at_the_parents_word


@dataclass(frozen=True)
class Model:
    """A transcriber without its network."""

    config: ModelConfig
    checkpoint_name: str
    engine: str

    @classmethod
    def of(cls, transcriber: Transcriber) -> Model:
        return cls(transcriber.config, transcriber.checkpoint_name, transcriber.computed_by(None))

    def computed_by(self, latency_ms: float | None) -> str:
        """What computes whole recordings: library, version and precision."""
        return self.engine

    def with_tuning(self, cents: float) -> Model:
        front_end = replace(self.config.front_end, tuning_cents=float(cents))
        return replace(self, config=replace(self.config, front_end=front_end))


@dataclass(frozen=True)
class Sound:
    """What the next window of a recording adds."""

    samples: np.ndarray  #: [n] as ``Slices`` cuts them; or spectra [T, 352], of a piano tuned otherwise
    last: bool


#: Gives sound, takes the probabilities of its window, returns what became of it.
Work = Generator[Sound, Probable, Outcome]


def attempt(job: Job, model: Model, settings: Settings, heard: Callable[[float], None]) -> Work:
    """The whole of a recording, with whatever goes wrong in its outcome."""
    started = time.monotonic()
    try:
        job.check_free()
        with local_copy(job.source) as file:
            outcome = yield from _work_on(job, file, model, settings, heard)
    except Exception as error:
        outcome = failed(job, error)
    outcome.wall_s = time.monotonic() - started
    return outcome


def _work_on(job: Job, file: Path, model: Model, settings: Settings, heard: Callable[[float], None]) -> Work:
    tuning = find_tuning(file, settings) if settings.tuning == "auto" else None
    if tuning is not None:
        model = model.with_tuning(tuning.cents)
    with opened(file, settings) as recording:
        digest = digest_or_fault(file)
        text = event_text(job, model, settings, digest)
        result = yield from _understand(recording, model, settings, heard, text)
    facts = Facts.of(digest, recording, tuning)
    return write_result(job, model, settings, result, facts, events=text)


def _understand(
    recording: Recording,
    model: Model,
    settings: Settings,
    heard: Callable[[float], None],
    text: EventText | None,
) -> Generator[Sound, Probable, Transcription]:
    # Of a piano that is not like the others: the network's front end is none for it.
    own = SpectrumSession(model.config.front_end) if settings.tuning == "auto" else None
    slices = Slices(model.config.front_end, recording.sample_rate)
    decoder = Decoder(model.config.decoder)
    whole = fits_picture(recording.duration_s)
    kept: list[np.ndarray] = []
    events: list[Event] = []
    frames = 0
    for samples, last in slices.slices(recording.blocks()):
        if own is not None and len(samples):
            samples = own.frames(samples)
        keys, pedal = yield Sound(samples, last)
        if settings.picture and (whole or frames < PICTURE_S * FRAMES_PER_SECOND):
            kept.append(keys)
        events.extend(decoder.feed(keys, pedal))
        frames += len(keys)
        heard(frames * FRAME_S)
    events.extend(decoder.flush())
    if text is not None:
        text.add(events)
    presses = presses_from(events) if model.config.has_pedal else None
    shown = np.concatenate(kept) if kept else None
    return Transcription(notes_from(events), frames * FRAME_S, shown, presses)


# --- in a process of its own ---


def work(pipe: Connection, settings: Settings, model: Model) -> None:
    """A process's life: jobs and probabilities come, sounds and outcomes go, until the parent is gone."""
    at_the_parents_word()
    came: queue.SimpleQueue[tuple[int, object] | None] = queue.SimpleQueue()
    # What comes is always taken at once: else this process and the network's could each wait for the other.
    threading.Thread(target=_listen, args=(pipe, came), daemon=True).start()
    going: dict[int, Work] = {}
    with suppress(BrokenPipeError):
        while (message := came.get()) is not None:
            number, said = message
            if isinstance(said, Job):
                going[number] = attempt(said, model, settings, _teller(pipe, number))
            pipe.send((number, _next(going, number, said)))


def _listen(pipe: Connection, came: queue.SimpleQueue[tuple[int, object] | None]) -> None:
    with suppress(EOFError, OSError):
        while True:
            came.put(pipe.recv())
    came.put(None)


def _teller(pipe: Connection, number: int) -> Callable[[float], None]:
    return lambda seconds: pipe.send((number, seconds))


def _next(going: dict[int, Work], number: int, said: object) -> Sound | Outcome:
    """The sound that a recording gives next, or its outcome."""
    try:
        if isinstance(said, Exception):
            return going[number].throw(said)
        return going[number].send(said) if isinstance(said, tuple) else next(going[number])
    except StopIteration as end:
        del going[number]
        outcome: Outcome = end.value
        return outcome
