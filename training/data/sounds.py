"""Finds sound files, reads them and resamples them to 16 kHz; a :class:`Take` adds their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import soxr

from ...model.downmix import Downmix
from ...model.notes import Note
from ...model.timebase import SAMPLE_RATE

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")


def files_in(place: Path, suffixes: tuple[str, ...], what: str) -> tuple[Path, ...]:
    """The file, or a folder's files with these suffixes, by name. Raises ValueError where there is none."""
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise ValueError(f"{place}: expected {what}, there is no such file or folder")
    found = sorted(p for p in place.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{place}: expected {what} ({', '.join(suffixes)}), found none")
    return tuple(found)


def sounds_in(folder: Path) -> tuple[Path, ...]:
    """The sound files of a folder, sorted by name. Raises ValueError where there is none."""
    return files_in(folder, SUFFIXES, "sounds")


def read_sound(path: Path) -> np.ndarray:
    """A whole file as mono samples [n] at 16 kHz. Raises ValueError, naming it, if it is not sound."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        said = getattr(error, "error_string", error)
        raise ValueError(f"{path}: expected sound, cannot read it ({said})") from error
    if not len(samples) or not np.isfinite(samples).all():
        found = "NaN or infinite ones" if len(samples) else "none"
        raise ValueError(f"{path}: expected finite samples, found {found}")
    mono = Downmix(samples.shape[1], rate).feed(samples)
    return np.asarray(soxr.resample(mono, rate, SAMPLE_RATE))


def resampled(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Resamples blocks [n] of mono samples to 16 kHz, without a shift in time."""
    if sample_rate == SAMPLE_RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


class SoundReader(Protocol):
    """An open recording: its rate and its sound, block by block."""

    sample_rate: int  #: Hz
    duration_s: float | None  #: None: only decoding tells

    def blocks(self) -> Iterator[np.ndarray]: ...


#: Opens a recording for ``with``. To run in several processes it must be a module-level function.
Opener = Callable[[Path], AbstractContextManager[SoundReader]]


@dataclass(frozen=True)
class Take:
    """The notes of a piece, its sound in blocks [n] (16 kHz mono), and its sustain pedal."""

    notes: list[Note]
    blocks: Iterator[np.ndarray]
    presses: list[tuple[float, float]] | None = None  #: down and up, in seconds; None: not known
