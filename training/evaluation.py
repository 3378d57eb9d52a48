"""A folder of recordings with labels, transcribed and scored file by file.

The recordings are opened by a function that is passed in (``hppnet.offline.reading.open_recording``):
training knows no sound files. Scores are those of :mod:`.scores`.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

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
class Listening:
    """How the recordings are heard."""

    latency_ms: float | None = None  #: as live with this latency; None: with all the future to see
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


def evaluate(
    pairs: Iterable[Pair], transcriber: Transcriber, listening: Listening, open_recording: Opener
) -> Iterator[Outcome]:
    """The outcome of each pair, in order. A file that fails is an outcome with an error, the others go on."""
    for pair in pairs:
        yield evaluate_pair(pair, transcriber, listening, open_recording)


def evaluate_in_processes(
    pairs: Iterable[Pair],
    load: Callable[[], Transcriber],
    listening: Listening,
    open_recording: Opener,
    jobs: int,
) -> Iterator[Outcome]:
    """As :func:`evaluate`, in ``jobs`` processes and in the order in which they get done.

    Each process loads its own transcriber; ``load`` and ``open_recording`` must be picklable.
    """
    # Not forked: a fork of a process in which torch has started its threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(load,))
    try:
        waiting = {pool.submit(_work, pair, listening, open_recording): pair for pair in pairs}
        for future in as_completed(waiting):
            yield _outcome(future, waiting[future])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _outcome(future: Future[Outcome], pair: Pair) -> Outcome:
    try:
        return future.result()
    except BrokenExecutor:
        reason = "a process ended before its time, perhaps for want of memory; try fewer jobs"
        return Outcome(pair.name, error=f"{pair.recording}: {reason}")


_of_this_worker: Transcriber  # set as the process starts


def _start_worker(load: Callable[[], Transcriber]) -> None:
    global _of_this_worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: gone at once, without a traceback each
    _of_this_worker = load()


def _work(pair: Pair, listening: Listening, open_recording: Opener) -> Outcome:
    return evaluate_pair(pair, _of_this_worker, listening, open_recording)


def evaluate_pair(
    pair: Pair, transcriber: Transcriber, listening: Listening, open_recording: Opener
) -> Outcome:
    """Transcribes one recording and scores it."""
    try:
        played = read_labels(pair.labels)
        heard = transcribe(pair.recording, transcriber, listening, open_recording)
    except Exception as error:  # whatever one file brings about, the next ones are not to suffer
        return Outcome(pair.name, error=_one_line(pair, error))
    if listening.first_s is not None:
        played = cut(played, listening.first_s)
    return Outcome(pair.name, score(played, heard))


def _one_line(pair: Pair, error: Exception) -> str:
    said = " ".join(str(error).split())
    if said.startswith((str(pair.recording), str(pair.labels))):
        return said
    return f"{pair.recording}: {type(error).__name__}: {said}"


def transcribe(
    path: Path, transcriber: Transcriber, listening: Listening, open_recording: Opener
) -> list[Note]:
    """The notes heard in a recording, or in its first seconds."""
    with open_recording(path) as recording:
        rate, blocks = recording.sample_rate, recording.blocks()
        if listening.first_s is not None:
            blocks = first(blocks, round(listening.first_s * rate))
        return transcriber.transcribe_blocks(blocks, rate, latency_ms=listening.latency_ms).notes


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
