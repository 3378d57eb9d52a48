"""The conditions under which recordings are transcribed: cut, detuned, in a room, with noise, at a level.

Each changes the 16 kHz sound so that the labels stay valid, or gives a factor for the labels' times. Random
choices depend on the recording's name alone, so that every model receives the same sound.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr

from ...model.notes import Note, Press
from ...model.timebase import SAMPLE_RATE
from ..data.rooms_and_noises import in_room
from ..data.sounds import read_sound, sounds_in

QUIETEST = 1e-9  #: lowest level, against division by zero

_sounds_in = lru_cache(maxsize=4)(sounds_in)


@dataclass(frozen=True)
class Conditions:
    """Changes to the sound, applied in this order. The defaults change nothing."""

    detune_cents: float = 0.0  #: how much sharper the piano sounds
    rooms: Path | None = None  #: folder of impulse responses, first arrival at 1 ms; one per recording
    noises: Path | None = None  #: folder of background noises; one per recording, from a random place on
    snr_db: float = 20.0  #: level of the recording above the noise, both as RMS over its length
    gain_db: float = 0.0  #: gain of the result, applied last

    def __post_init__(self) -> None:
        if not abs(self.detune_cents) <= 1200:
            raise ValueError(f"expected a detuning of -1200 to 1200 cents, got {self.detune_cents:g}")
        if not abs(self.gain_db) <= 120:
            raise ValueError(f"expected a gain of -120 to 120 dB, got {self.gain_db:g}")
        if not abs(self.snr_db) <= 120:
            raise ValueError(f"expected a signal-to-noise ratio of -120 to 120 dB, got {self.snr_db:g}")

    @property
    def any(self) -> bool:
        return bool(self.detune_cents or self.rooms or self.noises or self.gain_db)

    @property
    def time_ratio(self) -> float:
        """The factor for the times of labels: a recording played faster is sharper and shorter."""
        return 2 ** (-self.detune_cents / 1200)

    def check(self) -> None:
        """Raises ValueError for a folder of rooms or noises without sound files."""
        for folder in (self.rooms, self.noises):
            if folder is not None:
                _sounds_in(folder)

    def apply(self, samples: np.ndarray, name: str) -> np.ndarray:
        """Applies the conditions to samples [n] at 16 kHz; returns [n * time_ratio]. ``name`` is the seed.

        Raises ValueError, naming the file, for a room or a noise that cannot be used.
        """
        rng = np.random.default_rng(zlib.crc32(name.encode(errors="surrogateescape")))
        room, noise, place = rng.random(3)  # always all three: one condition does not change another's draw
        if self.detune_cents:
            samples = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE * self.time_ratio, "VHQ")
        level = rms(samples)
        if self.rooms is not None:
            samples = in_room(samples, read_sound(_drawn(_sounds_in(self.rooms), room)))
            samples *= level / max(rms(samples), QUIETEST)
        if self.noises is not None:
            hiss = excerpt(read_sound(_drawn(_sounds_in(self.noises), noise)), len(samples), place)
            samples = samples + hiss * (level * 10 ** (-self.snr_db / 20) / max(rms(hiss), QUIETEST))
        return np.asarray(samples * 10 ** (self.gain_db / 20), dtype=np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def excerpt(sound: np.ndarray, n: int, place: float) -> np.ndarray:
    """``n`` samples of a sound from a place (0 to 1) in it; at its end, the sound starts again."""
    start = int(place * len(sound))
    return np.resize(np.roll(sound, -start), n)


def _drawn(files: tuple[Path, ...], place: float) -> Path:
    return files[int(place * len(files))]


BLOCK = 10 * SAMPLE_RATE  #: samples per block of a sound in memory

Sound = tuple[Iterable[np.ndarray], int]  #: blocks of mono samples [n], sample rate


@dataclass(frozen=True)
class Listening:
    """How much of each recording is transcribed, and under which conditions."""

    first_s: float | None = None  #: seconds to transcribe of each file; None: the whole file
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def changes_sound(self) -> bool:
        return self.first_s is not None or self.conditions.any

    def sound(self, name: str, blocks: Iterable[np.ndarray], sample_rate: int) -> Sound:
        """A recording's sound under the conditions. Any condition loads the whole recording into memory."""
        if self.first_s is not None:
            blocks = first(blocks, round(self.first_s * sample_rate))
        if not self.conditions.any:
            return blocks, sample_rate
        from ..data.sounds import resampled

        samples = np.concatenate([np.zeros(0, dtype=np.float32), *resampled(blocks, sample_rate)])
        samples = self.conditions.apply(samples, name)
        return [samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK)], SAMPLE_RATE

    def notes(self, notes: Iterable[Note]) -> list[Note]:
        """A recording's true notes under the conditions."""
        kept = list(notes) if self.first_s is None else cut(notes, self.first_s)
        ratio = self.conditions.time_ratio
        return [replace(n, onset_s=n.onset_s * ratio, offset_s=n.offset_s * ratio) for n in kept]

    def presses(self, presses: Iterable[Press]) -> list[Press]:
        """A recording's true presses under the conditions."""
        end_s, ratio = self.first_s or math.inf, self.conditions.time_ratio
        kept = [Press(p.down_s, min(p.up_s, end_s)) for p in presses if p.down_s < end_s]
        return [Press(p.down_s * ratio, p.up_s * ratio) for p in kept]


def first(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The first ``samples`` samples of a sound that comes in blocks [n] or [n, channels]."""
    for block in blocks:
        if samples <= 0:
            return
        yield block[:samples]
        samples -= len(block)


def cut(notes: Iterable[Note], end_s: float) -> list[Note]:
    """The notes that begin in the first ``end_s`` seconds, with offsets limited to ``end_s``."""
    return [replace(note, offset_s=min(note.offset_s, end_s)) for note in notes if note.onset_s < end_s]
