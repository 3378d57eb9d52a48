"""A folder of recordings with labels, transcribed and scored file by file.

The recordings are opened by a function that is passed in (``hppnet.offline.reading.open_recording``):
training knows no sound files. Scores are those of :mod:`.scores`.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ..model.notes import Note
from ..model.transcriber import Transcriber
from .notes_table import LABEL_SUFFIXES, read_labels
from .scores import Scores, score


class Recording(Protocol):
    """An open recording: its rate and its sound, block by block."""

    sample_rate: int  #: Hz

    def blocks(self) -> Iterator[np.ndarray]: ...


#: Opens a recording for ``with``. To run in several processes it must be a function of a module.
Opener = Callable[[Path], AbstractContextManager[Recording]]


@dataclass(frozen=True)
class Pair:
    """A recording and its labels."""

    name: str
    recording: Path
    labels: Path


@dataclass(frozen=True)
class Settings:
    """With what, and how, the recordings are transcribed."""

    checkpoint: Path | None = None  #: None: the one that ships
    device: str = "auto"
    latency_ms: float | None = None  #: as live with this latency; None: with all the future
    onset: float | None = None  #: thresholds; None: the checkpoint's
    frame: float | None = None
    offset: float | None = None
    first_s: float | None = None  #: only so much of each file; None: all of it


@dataclass(frozen=True)
class Outcome:
    """What came of one file: scores, or in a line why there are none."""

    name: str
    scores: Scores | None = None
    error: str | None = None


def find_pairs(folder: Path, recording_suffixes: Collection[str]) -> tuple[list[Pair], list[Outcome]]:
    """The recordings of a folder with labels of the same name; and those that lack their other half.

    ``recording_suffixes`` are lower case with their dot. Files of other kinds, and hidden ones, are
    passed over, as are MIDI files without a recording: nothing says that they are labels.
    """
    recordings: dict[str, list[Path]] = {}
    labels: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() in LABEL_SUFFIXES:
            labels.setdefault(path.stem, []).append(path)
        elif path.suffix.lower() in recording_suffixes:
            recordings.setdefault(path.stem, []).append(path)
    pairs, lonely = [], []
    for name in sorted(recordings | labels):
        sounds, tables = recordings.get(name, []), labels.get(name, [])
        if len(sounds) == 1 and tables:
            first = min(tables, key=lambda path: LABEL_SUFFIXES.index(path.suffix.lower()))
            pairs.append(Pair(name, sounds[0], first))
        elif len(sounds) > 1:
            names = " and ".join(path.name for path in sounds)
            lonely.append(Outcome(name, error=f"expected one recording of this name, got {names}"))
        elif sounds:
            kinds = " or ".join(LABEL_SUFFIXES)
            lonely.append(Outcome(name, error=f"{sounds[0].name} has no labels ({name} with {kinds})"))
        elif any(path.suffix.lower() == ".tsv" for path in tables):
            lonely.append(Outcome(name, error=f"{tables[0].name} has no recording of the same name"))
    return pairs, lonely


def evaluate(pairs: Iterable[Pair], settings: Settings, open_recording: Opener, jobs: int = 1) -> Iterator[Outcome]:
    """The outcome of each pair, as they get done; in ``jobs`` processes if more than one.

    A file that fails is an outcome with an error, the others go on. Raises what loading the
    checkpoint raises, with one job.
    """
    if jobs == 1:
        for pair in pairs:
            yield evaluate_pair(pair, settings, open_recording)
        return
    # Not forked: a fork of a process in which torch has started its threads may hang.
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // jobs)
    with ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(threads,)) as pool:
        waiting = {pool.submit(evaluate_pair, pair, settings, open_recording): pair for pair in pairs}
        try:
            for future in as_completed(waiting):
                try:
                    yield future.result()
                except BrokenExecutor:
                    yield Outcome(waiting[future].name, error="its process was ended (out of memory?)")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _start_worker(threads: int) -> None:
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: gone at once, without a traceback each


def evaluate_pair(pair: Pair, settings: Settings, open_recording: Opener) -> Outcome:
    """Transcribes one recording and scores it."""
    transcriber = load(replace(settings, latency_ms=None, first_s=None))
    try:
        played = read_labels(pair.labels)
        heard = transcribe(transcriber, pair.recording, settings, open_recording)
    except (OSError, ValueError) as error:
        return Outcome(pair.name, error=str(error))
    if settings.first_s is not None:
        played = cut(played, settings.first_s)
    return Outcome(pair.name, score(played, heard))


@lru_cache(maxsize=1)
def load(settings: Settings) -> Transcriber:
    """The transcriber that the settings name; loaded once in a process."""
    transcriber = Transcriber.load(settings.checkpoint, device=settings.device)
    given = {name: getattr(settings, name) for name in ("onset", "frame", "offset")}
    return transcriber.with_thresholds(**{name: value for name, value in given.items() if value is not None})


def transcribe(transcriber: Transcriber, path: Path, settings: Settings, open_recording: Opener) -> list[Note]:
    """The notes heard in a recording, or in its first seconds."""
    with open_recording(path) as recording:
        blocks = recording.blocks()
        if settings.first_s is not None:
            blocks = first(blocks, round(settings.first_s * recording.sample_rate))
        return list(
            transcriber.transcribe_blocks(blocks, recording.sample_rate, latency_ms=settings.latency_ms).notes
        )


def first(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The first ``samples`` samples of a sound that comes in blocks [n] or [n, channels]."""
    for block in blocks:
        if samples <= 0:
            return
        yield block[:samples]
        samples -= len(block)


def cut(notes: Iterable[Note], end_s: float) -> list[Note]:
    """The notes of a recording's first ``end_s`` seconds: later ones gone, offsets not beyond its end."""
    return [replace(note, offset_s=min(note.offset_s, end_s)) for note in notes if note.onset_s < end_s]
