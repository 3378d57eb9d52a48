"""Recordings with their notes, and the excerpts that training draws from them.

An excerpt depends only on (seed, step, place in the batch): resuming a run, or sharing a batch among
processes, does not change the excerpts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from ...model.files import replacing
from ...model.frontend import FLOOR_DB, FrontEndConfig
from ...model.notes import Note, without_overlaps
from ...model.spectrum import FrontEnd
from ...model.timebase import FRAME_S, HOP, SAMPLE_RATE
from .augmentation import Augmentation, at_another_level, in_the_world, mixed, without_piano
from .labels import LABEL_SUFFIXES, PEDAL_SUFFIX, pedal_target, read_labels, read_presses, targets
from .microphones import equaliser_db
from .performances import pedal_of
from .sounds import SUFFIXES, read_sound

#: A cache's folder for notes. Raise its number when the conversion of labels to notes changes.
NOTES_CACHE = "notes-1"
LOUDNESS_BLOCK, LOUDNESS_BLOCKS = SAMPLE_RATE // 10, 200  #: samples of a block, number of blocks
MARGIN_S = 0.1  #: notes this far outside an excerpt still have targets inside it


class Batch(NamedTuple):
    """The excerpts of a step, or of a process's part of it."""

    spectra: Tensor  #: log power [B, T, 352]
    wanted: Tensor  #: targets [B, T, 88, 4]
    pedal: Tensor  #: the pedal's targets [B, T]; -1: not known
    plain: Tensor  #: log power before room, noise and clipping [B, T, 352], for a teacher; else [B, 0]
    ends: Tensor  #: weights of the frame and offset losses [B, T]


class Ends(NamedTuple):
    """The weights of a source's frame and offset losses: how reliable its labels of note ends are."""

    weight: float = 1.0
    pedalled: float = 1.0  #: while the pedal is down

    def over(self, pedal: Tensor) -> Tensor:
        """The weights [T], from the pedal's targets [T]."""
        return torch.where(pedal > 0.5, self.pedalled, self.weight).to(pedal.dtype)


@dataclass(frozen=True)
class TrainingRecording:
    """One recording: 16 kHz samples on disk and its notes."""

    name: str
    samples: np.ndarray  #: int16 [n], memory-mapped
    notes: np.ndarray  #: [n, 4]: onset (s), offset (s), pitch, velocity
    pedal: np.ndarray | None = None  #: [n, 2]: presses, down and up (s); None: not known

    @cached_property
    def loudness_db(self) -> float:
        """The level of loud passages in dB re full scale: the 90th percentile of blocks throughout."""
        starts = np.linspace(0, max(0, len(self.samples) - LOUDNESS_BLOCK), LOUDNESS_BLOCKS).astype(int)
        blocks = [np.asarray(self.samples[at : at + LOUDNESS_BLOCK], dtype=np.float64) for at in starts]
        power = [float(np.mean(np.square(block / 32768))) if len(block) else 0.0 for block in blocks]
        return float(10 * np.log10(np.percentile(power, 90) + 1e-9))


def read_notes(path: Path) -> np.ndarray:
    """Notes [n, 4] of a label file (onset, offset, pitch, velocity), sorted by onset, none overlapping.

    Raises LabelError for a file that cannot be used.
    """
    return notes_array(without_overlaps(read_labels(path)))


def notes_array(notes: Iterable[Note]) -> np.ndarray:
    """Notes as an array [n, 4]: onset (s), offset (s), pitch, velocity."""
    return np.array([(n.onset_s, n.offset_s, n.pitch, n.velocity) for n in notes], dtype=float).reshape(-1, 4)


def recordings_in(folder: Path) -> list[tuple[Path, Path]]:
    """The recordings of a folder, each with its label file of the same name beside it; sorted by name."""
    found = []
    for sound in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        labels = (sound.with_suffix(suffix) for suffix in LABEL_SUFFIXES)
        if (label := next((path for path in labels if path.exists()), None)) is not None:
            found.append((sound, label))
    return found


def open_recordings(pairs: Sequence[tuple[Path, Path]], cache: Path) -> list[TrainingRecording]:
    """Recordings, each with its labels; both are read once, into ``cache``."""
    return [open_recording(sound, labels, cache) for sound, labels in pairs]


def open_recording(sound: Path, labels: Path, cache: Path) -> TrainingRecording:
    """A recording with its labels; both are read once, into ``cache``.

    Presses of the pedal are read from ``NAME.pedal``, or from the labels where these are MIDI.
    """
    notes = cache / NOTES_CACHE
    notes.mkdir(parents=True, exist_ok=True)
    table = read_presses(sound.with_suffix(PEDAL_SUFFIX))
    if table is None and (presses := pedal_of((labels,))) is not None:
        table = np.array(presses, dtype=float).reshape(-1, 2)
    return TrainingRecording(
        sound.stem,
        _cached(sound, cache / f"{sound.stem}.npy", _samples),
        _cached(labels, notes / f"{sound.stem}.npy", read_notes),
        table,
    )


def delayed(recording: TrainingRecording, delay_s: float) -> TrainingRecording:
    """A recording with its labels moved later by ``delay_s``, to where its onsets are audible."""
    pedal = None if recording.pedal is None else recording.pedal + delay_s
    return replace(recording, notes=recording.notes + np.array([delay_s, delay_s, 0, 0]), pedal=pedal)


def _cached(source: Path, array: Path, read: Callable[[Path], np.ndarray]) -> np.ndarray:
    """The array that ``read`` makes of a file, memory-mapped from its cache ``array``."""
    if not array.exists() or array.stat().st_mtime < source.stat().st_mtime:
        # Atomic: a partial file must never be read as a cache.
        with replacing(array) as part, open(part, "wb") as file:
            np.save(file, read(source))
    return np.load(array, mmap_mode="r")


def _samples(sound: Path) -> np.ndarray:
    """Samples [n] (int16, 16 kHz) of a recording. Raises ValueError, naming it, for a file without sound."""
    try:
        known = soundfile.info(sound)
        if (known.samplerate, known.channels) == (SAMPLE_RATE, 1):
            return np.asarray(soundfile.read(sound, dtype="int16")[0])
    except (OSError, soundfile.LibsndfileError):
        pass  # read_sound raises an error that names the file
    return np.clip(np.round(32768 * read_sound(sound)), -32768, 32767).astype(np.int16)


@lru_cache(maxsize=256)
def detuned(cents: float) -> FrontEnd:
    """A front end ``cents`` off A = 440 Hz. Steps draw from a few hundred, so all are kept (8 MB each)."""
    return FrontEnd(FrontEndConfig(tuning_cents=cents))


class Excerpts:
    """Draws excerpts of ``frames`` frames from several sources, in proportion to their weights."""

    def __init__(
        self,
        sources: list[list[TrainingRecording]],
        weights: list[float],
        frames: int,
        how: Augmentation,
        taught: bool = False,
        ends: Sequence[Ends] = (),
    ) -> None:
        self.sources, self.frames, self.how, self.taught = sources, frames, how, taught
        self._ends = ends or [Ends()] * len(sources)
        self._odds = np.asarray(weights) / np.sum(weights)
        self._lengths = [
            np.array([len(p.samples) for p in recordings], dtype=float) for recordings in sources
        ]

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draws one excerpt: the fields of a :class:`Batch` without their first dimension."""
        keys, cents = self._shift(rng)
        how = self.how.drawn(rng)
        front = detuned(cents - 100 * keys)
        samples, notes, pedal, ends, loudness_db = self._cut_out(rng, front.before, front.after)
        sudden = how.sudden
        if rng.random() < how.no_piano:
            samples, notes = without_piano(len(samples), how, rng), notes[:0]
            pedal, loudness_db, sudden = np.zeros((0, 2)), None, how.sudden_noise
        elif rng.random() < how.mix:
            other = self._cut_out(rng, front.before, front.after)
            samples, notes = mixed((samples, notes), other[:2], rng)
            ends = Ends(min(ends.weight, other[3].weight), 1.0)
            pedal = None  # two pianos, two pedals
        plain = at_another_level(samples, how, rng, loudness_db)
        sounds = np.stack([in_the_world(plain, how, rng), plain][: 1 + self.taught])
        curve = torch.from_numpy(equaliser_db(how, rng))
        if rng.random() < sudden:
            sounds[:, : front.before] = 0
        spectra = (front.frames(torch.from_numpy(sounds)) + curve).clamp_min(FLOOR_DB)
        pedal_wanted = torch.from_numpy(pedal_target(pedal, self.frames))
        return (
            spectra[0],
            torch.from_numpy(targets(notes, self.frames, keys).stacked()),
            pedal_wanted,
            spectra[1] if self.taught else spectra.new_zeros(0),
            ends.over(pedal_wanted),
        )

    def _cut_out(
        self, rng: np.random.Generator, before: int, after: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Ends, float | None]:
        """Draws an excerpt: samples with the margins of the front end, notes, presses and loss weights.

        The last value is the recording's loudness (dB), where recordings are levelled.
        """
        source = int(rng.choice(len(self.sources), p=self._odds))
        lengths = self._lengths[source]
        recording = self.sources[source][rng.choice(len(lengths), p=lengths / lengths.sum())]
        start = int(rng.integers(max(1, len(recording.samples) - self.frames * HOP)))
        samples = self._cut(recording.samples, start - before, start + (self.frames - 1) * HOP + after)
        start_s, end_s = start / SAMPLE_RATE, start / SAMPLE_RATE + self.frames * FRAME_S
        near = (recording.notes[:, 1] > start_s - MARGIN_S) & (recording.notes[:, 0] < end_s + MARGIN_S)
        pedal = None if recording.pedal is None else recording.pedal - start_s
        loudness_db = recording.loudness_db if self.how.levelled else None
        return (
            samples,
            recording.notes[near] - [start_s, start_s, 0, 0],
            pedal,
            self._ends[source],
            loudness_db,
        )

    def _shift(self, rng: np.random.Generator) -> tuple[int, int]:
        """A transposition (keys) and detuning (cents), which move the transform's bins, not the sound."""
        keys = int(rng.integers(-self.how.keys, self.how.keys + 1)) if rng.random() < 0.6 else 0
        steps = int(self.how.cents // 5)
        return keys, 5 * int(rng.integers(-steps, steps + 1))

    @staticmethod
    def _cut(samples: np.ndarray, start: int, stop: int) -> np.ndarray:
        inside = np.asarray(samples[max(0, start) : min(stop, len(samples))], dtype=np.float32) / 32768
        return np.pad(inside, (max(0, -start), max(0, stop - max(len(samples), start))))

    def batch(self, seed: int, step: int, places: range) -> Batch:
        """The excerpts at the given places of a step's batch."""
        drawn = [self.draw(np.random.default_rng([seed, step, place])) for place in places]
        return Batch(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))
