"""Converts one piece: its sound to 16 kHz mono FLAC, its notes to a table, and both to arrays if wanted.

The table is written last, so a piece that has its table is complete.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from ...model.timebase import SAMPLE_RATE
from ..data.labels import PEDAL_SUFFIX, within, write_presses, write_table
from ..data.sounds import Take
from ..evaluate.peers import ProgramLoadError

SILENT = 1e-4  #: a recording without a louder sample counts as silent
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  #: errors that every later piece would meet too
_NO_ROOM = 1 << 20  #: bytes; with less free space, a disk is full


class RecordingSource(Protocol):
    """A piece to convert. It is passed to other processes, so it must be picklable."""

    @property
    def name(self) -> str:
        """The name of the piece's files, without suffix."""

    @property
    def folder(self) -> Path:
        """The folder of the piece's files."""

    def take(self, note_ends: str) -> Take:
        """Returns sound and notes. Raises ValueError or AudioError, one line, for a broken pair."""

    def about(self) -> dict[str, object]:
        """Further facts for the report, such as its source files."""


@dataclass(frozen=True)
class How:
    """Settings that all pieces of a run share."""

    note_ends: str  #: keys or sounding
    unfinished: Path  #: folder for unfinished files, on the same disk as the pieces
    arrays: bool = False


@dataclass(frozen=True)
class PreparationOutcome:
    """The result of one piece: length and number of notes, or why it was skipped, in one line."""

    name: str
    folder: Path
    seconds: float = 0.0
    notes: int = 0
    why: str | None = None
    hopeless: bool = False  #: every other piece would fail too
    about: dict[str, object] | None = None


def outputs(source: RecordingSource, arrays: bool) -> list[Path]:
    """The files of a piece, in the order in which they appear."""
    kinds: list[str] = []
    if arrays:
        from ..data.arrays import KINDS  # it loads PyTorch

        kinds = list(KINDS)
    return [
        source.folder / f"{source.name}.flac",
        *(source.folder / kind / f"{source.name}.npy" for kind in kinds),
        source.folder / f"{source.name}.tsv",
    ]


def claimed(source: RecordingSource, arrays: bool) -> list[Path]:
    """All files that may be written for a piece."""
    return [*outputs(source, arrays), source.folder / f"{source.name}{PEDAL_SUFFIX}"]


def done(source: RecordingSource, arrays: bool) -> PreparationOutcome | None:
    """The outcome of a piece that an earlier run has made; None if it is not complete."""
    paths = outputs(source, arrays)
    try:
        if not all(path.exists() for path in paths):
            return None
        sound = soundfile.info(paths[0])
        with paths[-1].open("rb") as table:
            notes = sum(1 for _ in table) - 1
    except (OSError, RuntimeError):
        return None
    return PreparationOutcome(
        source.name, source.folder, sound.frames / sound.samplerate, notes, about=source.about()
    )


def attempt(source: RecordingSource, how: How) -> PreparationOutcome:
    """Makes a piece; errors are returned in the outcome. KeyboardInterrupt is raised."""
    try:
        return make(source, how)
    except Exception as error:  # a broken piece must not stop the others
        return PreparationOutcome(
            source.name, source.folder, why=_one_line(error), hopeless=_hopeless(error, how)
        )


def make(source: RecordingSource, how: How) -> PreparationOutcome:
    """Makes all files of a piece or none. Raises ValueError, OSError, and what ``source.take`` raises."""
    if how.arrays:
        from ..data.arrays import say_front_end

        say_front_end(source.folder)
    take = source.take(how.note_ends)
    if not take.notes:
        raise ValueError("no note on the piano's 88 keys")
    paths = outputs(source, how.arrays)
    if take.presses is not None:
        paths.insert(1, paths[0].with_suffix(PEDAL_SUFFIX))
    parts = [how.unfinished / f"{os.getpid()}-{number}{path.suffix}" for number, path in enumerate(paths)]
    try:
        seconds = write_sound(parts[0], take.blocks)
        notes = within(take.notes, seconds)
        write_table(parts[-1], notes)
        if take.presses is not None:
            write_presses(parts[1], [(a, min(b, seconds)) for a, b in take.presses if a < seconds])
        if how.arrays:
            from ..data.arrays import KINDS, write_arrays

            write_arrays(parts[0], notes, parts[-1 - len(KINDS) : -1])
        for part, path in zip(parts, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(part, path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return PreparationOutcome(source.name, source.folder, seconds, len(notes), about=source.about())


def write_sound(path: Path, blocks: Iterable[np.ndarray]) -> float:
    """Writes blocks [n] as 16-bit FLAC; returns seconds. Raises ValueError if all is silent."""
    samples, loudest = 0, 0.0
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, subtype="PCM_16", format="FLAC") as file:
        for block in blocks:
            file.write(np.clip(block, -1, 1))
            samples += len(block)
            loudest = max(loudest, float(np.abs(block).max(initial=0)))
    if loudest < SILENT:
        raise ValueError("the sound is silent throughout")
    return samples / SAMPLE_RATE


def _hopeless(error: Exception, how: How) -> bool:
    if isinstance(error, ProgramLoadError):
        return True
    full = shutil.disk_usage(how.unfinished).free < _NO_ROOM  # libsndfile does not say why it cannot write
    return full or (isinstance(error, OSError) and error.errno in _FULL)


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())
    ours = type(error).__module__.startswith(__name__.split(".")[0]) or isinstance(
        error, (ValueError, OSError)
    )
    return said if ours and said else f"{type(error).__name__}: {said or 'no further words'}"
