"""A recording task without a network: it reads, cuts, decodes and writes, window by window.

Another process or the caller runs the network. One process holds many such tasks; none waits for another.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import numpy as np

from ...model.config import ModelConfig
from ...model.engine.network import SpectrumSession
from ...model.frames import Slices
from ...model.notes import Event, notes_from, presses_from
from ...model.recording_decoder import RecordingDecoder
from ...model.releases import Releases
from ...model.timebase import FRAME_S, FRAMES_PER_SECOND
from ...model.transcriber import Transcriber, Transcription
from ..jobs import Job, Outcome
from ..pictures import PICTURE_S
from ..reading import OpenRecording
from ..recording_task import (
    ReadUpTo,
    RecordingTask,
    Transcribing,
    WindowSound,
    fits_picture,
    recording_task,
)
from ..settings import Settings
from ..writing import EventText
from .worker_processes import leave_signals_to_parent


@dataclass(frozen=True)
class ModelFacts:
    """A transcriber without its network."""

    config: ModelConfig
    checkpoint_name: str
    engine: str
    releases: Releases | None

    @classmethod
    def of(cls, transcriber: Transcriber) -> ModelFacts:
        engine = transcriber.computed_by(None)
        return cls(transcriber.config, transcriber.checkpoint_name, engine, transcriber.releases)

    def computed_by(self, latency_ms: float | None) -> str:
        """The library, version and precision that compute whole recordings."""
        return self.engine

    def with_tuning(self, cents: float) -> ModelFacts:
        front_end = replace(self.config.front_end, tuning_cents=float(cents))
        return replace(self, config=replace(self.config, front_end=front_end))


def window_task(job: Job, model: ModelFacts, settings: Settings, read_up_to: ReadUpTo) -> RecordingTask:
    """The task of one recording. Exceptions are returned in its outcome."""
    return recording_task(job, model, settings, read_up_to, transcribe_windows)


def transcribe_windows(
    recording: OpenRecording,
    model: ModelFacts,
    settings: Settings,
    read_up_to: ReadUpTo,
    lines: EventText | None,
) -> Transcribing:
    """Yields the windows of an open recording and decodes their predictions, for ``recording_task``."""
    # Tuning "auto" needs a front end of its own: the network's is shared by all recordings of a batch.
    own = SpectrumSession(model.config.front_end) if settings.tuning == "auto" else None
    slices = Slices(model.config.front_end, recording.sample_rate)
    decoder = RecordingDecoder(model.config.decoder, model.releases)
    whole = fits_picture(recording.duration_s)
    kept: list[np.ndarray] = []
    events: list[Event] = []
    frames = 0
    for samples, last in slices.slices(recording.blocks()):
        if own is not None and len(samples):
            samples = own.frames(samples)
        keys, pedal = yield WindowSound(samples, last)
        if settings.picture and (whole or frames < PICTURE_S * FRAMES_PER_SECOND):
            kept.append(keys)
        events.extend(decoder.feed(keys, pedal))
        frames += len(keys)
        read_up_to(frames * FRAME_S)
    events.extend(decoder.flush())
    if lines is not None:
        lines.add(events)
    presses = presses_from(events) if model.config.has_pedal else None
    shown = np.concatenate(kept) if kept else None
    return Transcription(notes_from(events), frames * FRAME_S, shown, presses)


# --- helper process ---


def work(pipe: Connection, settings: Settings, model: ModelFacts) -> None:
    """A helper's main loop: receive jobs and predictions, send sound and outcomes, until the parent ends."""
    leave_signals_to_parent()
    received: queue.SimpleQueue[tuple[int, object] | None] = queue.SimpleQueue()
    # Messages are received at once: otherwise this process and the network's could block each other.
    threading.Thread(target=_receive, args=(pipe, received), daemon=True).start()
    tasks: dict[int, RecordingTask] = {}
    with suppress(BrokenPipeError):
        while (message := received.get()) is not None:
            number, said = message
            if isinstance(said, Job):
                tasks[number] = window_task(said, model, settings, _reporter(pipe, number))
            pipe.send((number, _advance(tasks, number, said)))


def _receive(pipe: Connection, received: queue.SimpleQueue[tuple[int, object] | None]) -> None:
    with suppress(EOFError, OSError):
        while True:
            received.put(pipe.recv())
    received.put(None)


def _reporter(pipe: Connection, number: int) -> Callable[[float], None]:
    return lambda seconds: pipe.send((number, seconds))


def _advance(tasks: dict[int, RecordingTask], number: int, said: object) -> WindowSound | Outcome:
    """The sound of a recording's next window, or its outcome."""
    try:
        if isinstance(said, Exception):
            return tasks[number].throw(said)
        return tasks[number].send(said) if isinstance(said, tuple) else next(tasks[number])
    except StopIteration as end:
        del tasks[number]
        outcome: Outcome = end.value
        return outcome
