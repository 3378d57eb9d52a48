"""Augmentation: simulates other pianos, rooms and microphones, in the sound and in the features.

After Kusaka and Maezawa, "Mobile-AMT" (EUSIPCO 2024): rooms, noise, detuning, the microphone's response and
clipping together let a model trained on close microphones work with a phone on the lid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...model.notes import Note, without_overlaps
from .microphones import coded, gain_controlled
from .rooms_and_noises import (
    FIRST_ARRIVAL,
    in_room,
    made_noise,
    made_room,
    recorded_noise,
    reverberation_s,
    shortened,
)
from .sounds import read_sound, sounds_in

LOUDNESS_DB = -20.0  #: level of ``levelled`` recordings; see ``TrainingRecording.loudness_db``


@dataclass(frozen=True)
class Augmentation:
    """How far a training excerpt is varied. Zero switches a variation off."""

    clean: float = 0.2  #: chance of an excerpt as recorded, but for its key, tuning and level
    keys: int = 3  #: transposition, in keys either way
    cents: float = 25.0  #: detuning either way
    levelled: bool = False  #: whether recordings are made equally loud first, to hide their own level
    gain_db: tuple[float, float] = (-14.0, 12.0)
    eq_db: float = 5.0  #: standard deviation of a smooth curve over the bins
    uneven_db: float = 3.0  #: largest standard deviation from tone to tone: another soundboard
    band_limit: float = 0.15  #: chance that a small microphone cuts lows, or highs
    resonances_db: float = 4.0  #: standard deviation of a microphone's resonances
    room: float = 0.5  #: chance of a room
    t60_s: tuple[float, float] = (0.2, 1.6)  #: range of reverberation times; measured rooms may be shorter
    made_room: float = 0.3  #: share of synthetic rooms; without a folder of measured rooms, all
    fully_wet: float = 0.5  #: share of rooms whose sound replaces the dry recording entirely
    noise: float = 0.5  #: chance of noise
    made_noise: float = 0.4  #: share of synthetic noise; without a folder of recorded noise, all
    snr_db: tuple[float, float] = (5.0, 45.0)  #: how far noise lies below the sound
    noise_in_room: float = 0.7  #: chance that the noise is in the room too, if there is a room
    gain_control: float = 0.1  #: chance of a microphone with automatic gain control
    clip: float = 0.05  #: chance of clipping
    codec: float = 0.1  #: chance of a codec at a low bit rate
    sudden: float = 0.1  #: chance of silence before the first frame, as in a stream started amid sound
    sudden_noise: float = 0.4  #: the chance of ``sudden`` in an excerpt without piano
    mix: float = 0.15  #: chance of two excerpts at once: soft notes under loud ones, thick textures
    no_piano: float = 0.1  #: chance of noise or speech alone, with no notes to predict
    rooms: str = ""  #: folder of impulse responses
    noises: str = ""  #: folder of background noises

    def __post_init__(self) -> None:
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name):g}")
        for name in ("gain_db", "snr_db", "t60_s"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be two numbers in order, got {low:g}, {high:g}")
        if self.t60_s[0] <= 0:
            raise ValueError(f"t60_s must be above 0, got {self.t60_s[0]:g}")

    def drawn(self, rng: np.random.Generator) -> Augmentation:
        """The settings for one excerpt: these or, with probability ``clean``, with ``UNCLEAN`` set to 0."""
        nothing: dict[str, Any] = dict.fromkeys(UNCLEAN, 0)
        return self if rng.random() >= self.clean else replace(self, **nothing)


#: Settings that are chances or shares.
SHARES = (
    *("clean", "band_limit", "room", "made_room", "fully_wet", "noise", "made_noise", "noise_in_room"),
    *("gain_control", "clip", "codec", "sudden", "sudden_noise", "mix", "no_piano"),
)
#: Settings that are 0 for a clean excerpt.
UNCLEAN = (
    *("eq_db", "uneven_db", "band_limit", "resonances_db", "room", "noise", "gain_control", "clip", "codec"),
    *("mix", "no_piano"),
)


def at_another_level(
    samples: np.ndarray, how: Augmentation, rng: np.random.Generator, loudness_db: float | None = None
) -> np.ndarray:
    """Samples [n] at a random level, independent of the recording's ``loudness_db`` where it is levelled."""
    gain_db = rng.uniform(*how.gain_db)
    if how.levelled and loudness_db is not None:
        gain_db += LOUDNESS_DB - loudness_db
    return (samples * 10 ** (gain_db / 20)).astype(np.float32)


def in_the_world(samples: np.ndarray, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] with a room, noise, a microphone and a codec; timing and level are kept."""
    level, room = _rms(samples), None
    if rng.random() < how.room:
        room = _room(how, rng)
        wet, dry = rng.uniform(0.3, 1.0), 0.0 if rng.random() < how.fully_wet else rng.uniform(0.0, 0.7)
        samples = _at_level(wet * in_room(samples, room) + dry * samples, level)
    if rng.random() < how.noise:
        noise = _noise(len(samples), how, rng)
        if room is not None and rng.random() < how.noise_in_room:
            noise = in_room(noise, _elsewhere(room, rng))
        samples = samples + _at_level(noise, level * 10 ** (-rng.uniform(*how.snr_db) / 20))
    if rng.random() < how.gain_control:
        samples = _at_level(gain_controlled(samples, rng), level)
    if rng.random() < how.clip:
        limit = float(np.abs(samples).max()) * rng.uniform(0.3, 0.9)
        samples = np.clip(samples, -limit, limit)
    if rng.random() < how.codec:
        samples = coded(samples, rng)
    return samples.astype(np.float32)


def _rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) + 1e-6


def _at_level(samples: np.ndarray, level: float) -> np.ndarray:
    return samples * (level / _rms(samples))


def mixed(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two excerpts, each samples [n] and notes [k, 4], the second up to 12 dB softer.

    Velocities become 0 (unknown): the loudness of each note can no longer be determined.
    """
    levels = [float(np.sqrt(np.mean(samples**2))) + 1e-4 for samples, _ in (one, other)]
    gain = levels[0] / levels[1] * 10 ** (-rng.uniform(0, 12) / 20)
    notes = np.concatenate([one[1], other[1]])
    played = [Note(on, off, int(pitch), 0) for on, off, pitch, _ in notes[np.argsort(notes[:, 0])]]
    left = [(n.onset_s, n.offset_s, n.pitch, 0) for n in without_overlaps(played)]
    return one[0] + gain * other[0], np.array(left, dtype=float).reshape(-1, 4)


def without_piano(n: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Noise or speech [n] alone, as loud as music may be."""
    return (_noise(n, how, rng) * 10 ** (rng.uniform(-50, -20) / 20)).astype(np.float32)


def _room(how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    if not how.rooms or rng.random() < how.made_room:
        return made_room(rng, how.t60_s)
    response, time_s = _measured(how.rooms)[rng.integers(len(_measured(how.rooms)))]
    shortest_s, longest_s = how.t60_s
    if time_s > longest_s or (time_s > shortest_s and rng.random() < 0.5):
        return shortened(response, time_s, float(rng.uniform(shortest_s, min(time_s, longest_s))))
    return response


def _elsewhere(room: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A room's response to a source in another place, mostly further away."""
    response = room.copy()
    response[: FIRST_ARRIVAL + 16] *= rng.uniform(0.0, 1.2)  # the direct sound, up to 1 ms after it
    return response


def _noise(n: int, how: Augmentation, rng: np.random.Generator) -> np.ndarray:
    """Noise [n] of unit power, recorded (where available) or synthetic; sometimes two noises at once."""
    noise = np.zeros(n)
    for _ in range(2 if rng.random() < 0.3 else 1):
        if how.noises and rng.random() >= how.made_noise:
            one = recorded_noise(n, _sounds(how.noises), rng)
        else:
            one = made_noise(n, rng)
        noise += one * 10 ** (rng.uniform(-10, 0) / 20) / (np.sqrt(np.mean(one**2)) + 1e-9)
    return noise / (np.sqrt(np.mean(noise**2)) + 1e-9)


@lru_cache(maxsize=8)
def _sounds(folder: str) -> tuple[np.ndarray, ...]:
    return tuple(read_sound(path) for path in sounds_in(Path(folder)))


@lru_cache(maxsize=4)
def _measured(folder: str) -> tuple[tuple[np.ndarray, float], ...]:
    """The rooms of a folder with their reverberation times in seconds."""
    return tuple((response, reverberation_s(response)) for response in _sounds(folder))
