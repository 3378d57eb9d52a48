"""Programs that listen to recordings, in this process or in several of their own, timed and weighed.

Nothing here scores, so that a process that listens holds the program and no more.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..model.notes import Note, Press


class Recording(Protocol):
    """An open recording: its rate and its sound, block by block."""

    sample_rate: int  #: Hz

    def blocks(self) -> Iterator[np.ndarray]: ...


#: Opens a recording for ``with``. To run in several processes it must be a function of a module.
Opener = Callable[[Path], AbstractContextManager[Recording]]


@dataclass(frozen=True)
class Pair:
    """A recording and what was played in it; None: there is no piano."""

    name: str
    recording: Path
    played: list[Note] | None
    pedal: list[Press] | None = None  #: what the sustain pedal did; None: not known


@dataclass(frozen=True)
class Heard:
    """What a program made of one recording."""

    run: str  #: which of the program's ways of listening; see ``Program``
    notes: list[Note]
    sound_s: float  #: length of what was heard
    wall_s: float | None = None  #: how long it took; None: it was done before
    peak_mib: float | None = None  #: the most memory that the process had held by then
    pedal: list[Press] | None = None  #: None: the program does not hear it


class Program(Protocol):
    """Something that transcribes recordings, perhaps each in several ways (``Heard.run``)."""

    def hear(self, name: str, recording: Path) -> list[Heard]: ...


class LoadError(Exception):
    """A program that cannot be started; why, in one line."""


Answer = tuple[Pair, list[Heard] | str]  #: what was heard in a recording, or in a line why nothing was


def hear_all(pairs: Iterable[Pair], program: Program) -> Generator[Answer, None, None]:
    """In this process and in order. A recording that fails does not stop the others."""
    for pair in pairs:
        yield pair, _hear(program, pair.name, pair.recording)


def hear_in_processes(
    pairs: Iterable[Pair], load: Callable[[], Program], jobs: int
) -> Generator[Answer, None, None]:
    """As :func:`hear_all`, in ``jobs`` processes and in the order in which they get done.

    Each process loads its own program; ``load`` must be picklable. Raises LoadError if it fails.
    """
    # Not forked: a fork of a process in which torch has started its threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(load,))
    try:
        waiting = {pool.submit(_work, pair.name, pair.recording): pair for pair in pairs}
        for future in as_completed(waiting):
            pair = waiting[future]
            try:
                yield pair, future.result()
            except BrokenExecutor:
                why = "a process ended before its time, perhaps for want of memory; try fewer jobs"
                yield pair, f"{pair.recording}: {why}"
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_of_this_worker: Program | LoadError  # set as the process starts


def _start_worker(load: Callable[[], Program]) -> None:
    global _of_this_worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C: gone at once, without a traceback each
    try:
        _of_this_worker = load()
    except Exception as error:  # told with the first recording: an initializer that fails says nothing
        _of_this_worker = LoadError(f"{type(error).__name__}: {_one_line(error)}")


def _work(name: str, recording: Path) -> list[Heard] | str:
    if isinstance(_of_this_worker, LoadError):
        raise _of_this_worker
    return _hear(_of_this_worker, name, recording)


def _hear(program: Program, name: str, recording: Path) -> list[Heard] | str:
    try:
        return program.hear(name, recording)
    except Exception as error:  # whatever one file brings about, the next ones are not to suffer
        said = _one_line(error)
        return said if said.startswith(str(recording)) else f"{recording}: {type(error).__name__}: {said}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
