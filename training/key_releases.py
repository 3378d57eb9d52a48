"""What is heard of a key that comes up: recorded releases, mixed into a rendering at each release.

Sample libraries play such recordings when the pedal comes up, which is the wrong cue: a key makes its noise
when it is released, with the pedal down or up. On a piano that is recorded from further away nothing of it
may be heard, so it is left out often.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..model.notes import Note
from ..model.timebase import SAMPLE_RATE
from .sound_files import read_sound, sounds_in

BLOCK = 16  #: samples over which a recording's energy is looked at: 1 ms
FADE_S = 0.003  #: before a recording's first knock
AUDIBLE_DB = -20.0  #: of a recording's loudest millisecond: there the first knock begins


@dataclass(frozen=True)
class KeyUp:
    """How a piano's keys come up."""

    level_db: float = -np.inf  #: of a release's loudest 50 ms against the piece's own level
    spread_db: float = 4.0  #: standard deviation from note to note
    delay_s: float = 0.0  #: of the first knock after the release
    spread_s: float = 0.006  #: standard deviation from note to note
    seed: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator, chance: float) -> KeyUp:
        """Any piano's and any microphone's; by ``chance`` heard at all."""
        level_db, delay_s = float(rng.uniform(-36, -12)), float(rng.uniform(-0.02, 0.04))
        spread_db, seed = float(rng.uniform(2, 6)), int(rng.integers(2**31))
        level_db = level_db if rng.random() < chance else -np.inf
        return cls(level_db, spread_db, delay_s, seed=seed)


def with_releases(samples: np.ndarray, notes: Iterable[Note], folder: Path, how: KeyUp) -> np.ndarray:
    """Samples [n] at 16 kHz with the noise of each note's key release; ``notes`` end with their keys.

    Raises ValueError as :func:`recorded_releases` does.
    """
    if how.level_db == -np.inf:
        return samples
    sounds = recorded_releases(folder)
    keys = np.array(sorted(sounds))
    rng = np.random.default_rng(how.seed)
    level = float(np.sqrt(np.mean(samples**2))) + 1e-9
    out = samples.astype(np.float32, copy=True)
    for note in notes:
        sound = sounds[int(keys[np.abs(keys - note.pitch).argmin()])]
        gain = level * 10 ** ((how.level_db + how.spread_db * rng.standard_normal()) / 20)
        at_s = note.offset_s + how.delay_s + how.spread_s * rng.standard_normal() - FADE_S
        first = max(0, round(at_s * SAMPLE_RATE))
        place = out[first : first + len(sound)]
        place += (gain * sound[: len(place)]).astype(np.float32)
    return out


def files_by_key(folder: Path) -> dict[int, Path]:
    """The recordings of a folder, KEY.flac (or .wav ...), by MIDI key.

    Raises ValueError, naming what is wrong, for a folder without sounds and a name that is no key.
    """
    found = {}
    for path in sounds_in(folder):
        if not path.stem.isdigit() or not int(path.stem) < 128:
            raise ValueError(f"{path}: expected a MIDI key as the name, such as 060{path.suffix}")
        found[int(path.stem)] = path
    return found


@lru_cache(maxsize=2)
def recorded_releases(folder: Path) -> dict[int, np.ndarray]:
    """Key releases by MIDI key, each from shortly before its first knock on, its loudest 50 ms of unit power.

    Raises ValueError as :func:`files_by_key` does, and for what is no sound.
    """
    return {key: _from_its_knock(read_sound(path)) for key, path in files_by_key(folder).items()}


def _from_its_knock(sound: np.ndarray) -> np.ndarray:
    energy = np.square(sound[: len(sound) // BLOCK * BLOCK], dtype=np.float64).reshape(-1, BLOCK).mean(1)
    loud = int(np.argmax(energy > energy.max() * 10 ** (AUDIBLE_DB / 10))) * BLOCK
    fade = int(FADE_S * SAMPLE_RATE)
    cut = np.pad(sound, (fade, 0))[loud:].copy()  # begins FADE_S before the knock
    cut[:fade] *= np.linspace(0, 1, fade)
    window = int(0.05 * SAMPLE_RATE)
    power = np.convolve(np.square(cut, dtype=np.float64), np.ones(window) / window)
    return np.asarray(cut / np.sqrt(power.max() + 1e-12), dtype=np.float32)
