"""Other pianos, rooms and microphones than the recordings', in sound and in features.

After Kusaka and Maezawa, "Mobile-AMT" (EUSIPCO 2024): rooms, noise, detuning, the microphone's response
and clipping together are what carries a model from close microphones to a phone on the lid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..model.notes import Note, without_overlaps
from ..model.timebase import BINS
from .noises import made_noise, recorded
from .rooms import in_room, made_room
from .sound_files import read_sound, sounds_in

UNEVEN_BINS = 4  #: over so many bins either way a soundboard answers alike


@dataclass(frozen=True)
class Augmentation:
    """How far a training excerpt is varied. Zero switches a part off."""

    keys: int = 3  #: transposition, in keys either way
    cents: float = 25.0  #: detuning either way
    gain_db: tuple[float, float] = (-14.0, 12.0)
    eq_db: float = 5.0  #: standard deviation of a smooth curve over the bins
    uneven_db: float = 3.0  #: largest standard deviation from tone to tone: another soundboard
    band_limit: float = 0.15  #: how often a small microphone cuts lows or highs
    room: float = 0.5  #: how often a room
    made_room: float = 0.3  #: how many of these rooms are made up; without a folder of measured ones, all
    fully_wet: float = 0.5  #: how many of them leave nothing of the direct recording beside their sound
    noise: float = 0.5  #: how often noise
    made_noise: float = 0.4  #: how much of it is made up; without a folder of recorded noise, all
    snr_db: tuple[float, float] = (5.0, 45.0)  #: how far noise lies below the sound
    clip: float = 0.05  #: how often overdriven
    sudden: float = 0.1  #: how often nothing was heard before the first frame: a stream begun amid the sound
    mix: float = 0.15  #: how often two excerpts sound at once: soft notes under loud ones, thick textures
    no_piano: float = 0.1  #: how often noise or speech alone, to which nothing is to be written
    rooms: str = ""  #: folder of impulse responses
    noises: str = ""  #: folder of background noises


def at_another_level(samples: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Samples [n], softer or louder."""
    return (samples * 10 ** (rng.uniform(*how.gain_db) / 20)).astype(np.float32)


def in_the_world(samples: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] in a room, with noise, perhaps clipped; the timing and the level stay."""
    level = float(np.sqrt(np.mean(samples**2))) + 1e-6
    if rng.random() < how.room:
        wet, dry = rng.uniform(0.3, 1.0), 0.0 if rng.random() < how.fully_wet else rng.uniform(0.0, 0.7)
        samples = wet * in_room(samples, _room(how, rng)) + dry * samples
        samples *= level / (float(np.sqrt(np.mean(samples**2))) + 1e-6)
    if rng.random() < how.noise:
        samples = samples + _noise(len(samples), how, rng) * level * 10 ** (-rng.uniform(*how.snr_db) / 20)
    if rng.random() < how.clip:
        limit = float(np.abs(samples).max()) * rng.uniform(0.3, 0.9)
        samples = np.clip(samples, -limit, limit)
    return samples.astype(np.float32)


def mixed(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two excerpts at once, each samples [n] and notes [k, 4], the other up to 12 dB softer.

    What was struck how hard is no longer to be heard: velocities become 0, unknown.
    """
    levels = [float(np.sqrt(np.mean(samples**2))) + 1e-4 for samples, _ in (one, other)]
    gain = levels[0] / levels[1] * 10 ** (-rng.uniform(0, 12) / 20)
    notes = np.concatenate([one[1], other[1]])
    struck = [Note(on, off, int(pitch), 0) for on, off, pitch, _ in notes[np.argsort(notes[:, 0])]]
    left = [(n.onset_s, n.offset_s, n.pitch, 0) for n in without_overlaps(struck)]
    return one[0] + gain * other[0], np.array(left, dtype=float).reshape(-1, 4)


def without_piano(n: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Noise or speech [n] alone, as loud as music may be."""
    return (_noise(n, how, rng) * 10 ** (rng.uniform(-50, -20) / 20)).astype(np.float32)


def _room(how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    if not how.rooms or rng.random() < how.made_room:
        return made_room(rng)
    rooms = _sounds(how.rooms)
    return rooms[rng.integers(len(rooms))]


def _noise(n: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Noise [n] of unit power: recorded where there is any, or made up; now and then two at once."""
    noise = np.zeros(n)
    for _ in range(2 if rng.random() < 0.3 else 1):
        if how.noises and rng.random() >= how.made_noise:
            one = recorded(n, _sounds(how.noises), rng)
        else:
            one = made_noise(n, rng)
        noise += one * 10 ** (rng.uniform(-10, 0) / 20) / (np.sqrt(np.mean(one**2)) + 1e-9)
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-9)


@lru_cache(maxsize=8)
def _sounds(folder: str) -> tuple[np.ndarray, ...]:
    return tuple(read_sound(path) for path in sounds_in(Path(folder)))


def equaliser_db(how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """A curve [BINS] in dB to add to the log spectrum: another microphone, lid, hammer or soundboard."""
    x = np.linspace(0, 1, BINS)
    curve = sum(
        rng.normal(0, how.eq_db / (k + 1)) * np.cos(np.pi * k * x + rng.uniform(0, np.pi))
        for k in range(1, 6)
    )
    if rng.random() < how.band_limit:
        edge, slope = rng.uniform(0.1, 0.35), rng.uniform(40, 200)
        curve = curve - slope * np.maximum(0, edge - x)
    if rng.random() < how.band_limit:
        edge, slope = rng.uniform(0.6, 0.9), rng.uniform(40, 120)
        curve = curve - slope * np.maximum(0, x - edge)
    curve = curve + rng.uniform(0, how.uneven_db) * _uneven(rng)
    return np.asarray(curve, dtype=np.float32)


def _uneven(rng: np.random.Generator) -> np.ndarray:
    """Noise [BINS] of unit power, alike within a semitone or so."""
    around = np.hanning(2 * UNEVEN_BINS + 1)
    return np.convolve(rng.standard_normal(BINS + 2 * UNEVEN_BINS), around / np.linalg.norm(around), "valid")
