"""A piece that was recorded: a sound file of any format and rate, and its labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from ...model.notes import Note
from ...model.timebase import SAMPLE_RATE
from .ends import MIDI_SUFFIXES, moves_pedal, notes_of, presses_of, read_performance
from .piece import Take

if TYPE_CHECKING:
    from ..hearing import Opener

#: Reads the notes from a piece's label files: a function of a module, so that it can be pickled.
Reader = Callable[[tuple[Path, ...], str], list[Note]]


@dataclass(frozen=True)
class Recorded:
    """A recording and its label files; ``read`` knows what to make of them."""

    name: str
    folder: Path
    sound: Path
    labels: tuple[Path, ...]
    read: Reader
    open_recording: Opener

    def take(self, note_ends: str) -> Take:
        if not self.sound.is_file():
            raise ValueError(f"there is no {self.sound}")
        return Take(self.read(self.labels, note_ends), self._blocks(), pedal_of(self.labels))

    def about(self) -> dict[str, object]:
        return {"sound": str(self.sound), "labels": str(self.labels[0])}

    def _blocks(self) -> Iterator[np.ndarray]:
        with self.open_recording(self.sound) as recording:
            yield from resampled(recording.blocks(), recording.sample_rate)


def resampled(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks [n] of mono samples at any rate as blocks at 16 kHz; nothing is shifted in time."""
    if sample_rate == SAMPLE_RATE:
        yield from blocks
        return
    stream = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def pedal_of(labels: tuple[Path, ...]) -> list[tuple[float, float]] | None:
    """Presses of the sustain pedal, in seconds; None where no MIDI file says anything of it.

    Raises ValueError for a broken MIDI file.
    """
    for path in labels:
        if path.suffix.lower() in MIDI_SUFFIXES and moves_pedal(performance := read_performance(path)):
            return presses_of(performance)
    return None


def performed(labels: tuple[Path, ...], note_ends: str) -> list[Note]:
    """The notes of a MIDI file. Raises ValueError that names it."""
    (path,) = labels
    try:
        return notes_of(read_performance(path), note_ends)
    except OSError as error:
        raise ValueError(f"{path}: {error}") from error
