"""The conditions under which recordings are heard again: detuned, in a room, with noise, at another level.

Each is laid over the 16 kHz sound so that the labels stay true, or says by what factor their times change.
What is random depends on a recording's name alone: every model hears the same.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..model.timebase import SAMPLE_RATE
from .rooms import in_room

SOUND_SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")
QUIETEST = 1e-9  #: a level above zero, to divide by


@dataclass(frozen=True)
class Conditions:
    """What is done to the sound, in this order. The defaults do nothing."""

    detune_cents: float = 0.0  #: how much sharper the piano sounds
    rooms: Path | None = None  #: impulse responses at 16 kHz, the first arrival at sample 16; one a recording
    noises: Path | None = None  #: background noise; one a recording, from a random place on
    snr_db: float = 20.0  #: the recording's level above the noise's, both RMS over the whole of it
    gain_db: float = 0.0  #: at last, the level of it all

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
        """By what the times of labels are multiplied: a recording played faster is sharper and shorter."""
        return 2 ** (-self.detune_cents / 1200)

    def check(self) -> None:
        """Raises ValueError for a folder without sounds of its kind."""
        for folder in (self.rooms, self.noises):
            if folder is not None:
                _files(folder)

    def apply(self, samples: np.ndarray, name: str) -> np.ndarray:
        """Samples [n] at 16 kHz under these conditions, [n * time_ratio]; ``name`` decides what is drawn.

        Raises ValueError, naming the file, for a room or a noise that cannot be used.
        """
        rng = np.random.default_rng(zlib.crc32(name.encode(errors="surrogateescape")))
        room, noise, place = rng.random(3)  # always all three: one condition does not change another's draw
        if self.detune_cents:
            samples = soxr.resample(samples, SAMPLE_RATE, SAMPLE_RATE * self.time_ratio, "VHQ")
        level = rms(samples)
        if self.rooms is not None:
            samples = in_room(samples, _room(_drawn(_files(self.rooms), room)))
            samples *= level / max(rms(samples), QUIETEST)
        if self.noises is not None:
            hiss = excerpt(_sound(_drawn(_files(self.noises), noise)), len(samples), place)
            samples = samples + hiss * (level * 10 ** (-self.snr_db / 20) / max(rms(hiss), QUIETEST))
        return np.asarray(samples * 10 ** (self.gain_db / 20), dtype=np.float32)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def excerpt(sound: np.ndarray, n: int, place: float) -> np.ndarray:
    """``n`` samples of a sound from a place (0 to 1) in it, going round where it is shorter."""
    start = int(place * len(sound))
    return np.resize(np.roll(sound, -start), n)


def _drawn(files: tuple[Path, ...], place: float) -> Path:
    return files[int(place * len(files))]


@lru_cache(maxsize=4)
def _files(folder: Path) -> tuple[Path, ...]:
    files = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SOUND_SUFFIXES))
    if not files:
        raise ValueError(f"{folder}: expected sounds ({', '.join(SOUND_SUFFIXES)}), found none")
    return files


def _room(path: Path) -> np.ndarray:
    response, rate = _read(path)
    if rate != SAMPLE_RATE:
        raise ValueError(f"{path}: expected an impulse response at {SAMPLE_RATE} Hz, got {rate} Hz")
    return response


def _sound(path: Path) -> np.ndarray:
    """A whole sound file as samples [n] at 16 kHz."""
    samples, rate = _read(path)
    return np.asarray(soxr.resample(samples, rate, SAMPLE_RATE))


def _read(path: Path) -> tuple[np.ndarray, int]:
    """Mono samples [n] and their rate."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path}: expected sound, cannot read it ({error.error_string})") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found none or others")
    return samples.mean(axis=1), int(rate)
