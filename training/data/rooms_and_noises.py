"""What may sound beside a piano: recorded noise, faster and slower, and made-up noise, knocks and voices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.timebase import SAMPLE_RATE
from .spectral_shapes import random_shape, shaped_in_time

#: How often each: wind and hum; traffic and rustling; typing, dishes and steps; somebody's voice.
KINDS = {"steady": 0.25, "swelling": 0.25, "knocks": 0.2, "voice": 0.3}
FORMANTS = ((250.0, 900.0), (800.0, 2400.0), (2200.0, 3400.0))  #: Hz, where a vowel's three resonances lie


def recorded_noise(n: int, sounds: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A piece [n] of one of ``sounds``, at up to 1.4 times its speed or a 1.4th of it."""
    sound = sounds[int(rng.integers(len(sounds)))]
    speed = 2 ** rng.uniform(-0.5, 0.5)
    wanted = int(np.ceil(n * speed)) + 1
    start = rng.integers(max(1, len(sound) - wanted))
    piece = np.resize(sound[start : start + wanted], wanted)
    return np.interp(np.arange(n) * speed, np.arange(wanted), piece)


def made_noise(n: int, rng: np.random.Generator, kind: str = "") -> np.ndarray:
    """Noise [n] that no one has recorded: of a ``kind``, or of any."""
    kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "voice":
        return _voice(n, rng)
    if kind == "knocks":
        return _knocks(n, rng)
    level_db = random_shape(rng, step=5.0, tilt=rng.uniform(-6.0, 1.0))
    noise = shaped_in_time(rng, n, lambda _: 10 ** (level_db[:, None] / 20))
    return noise * _swell(n, rng) if kind == "swelling" else noise


def _swell(n: int, rng: np.random.Generator) -> np.ndarray:
    """A level [n] that comes and goes, up to eight times a second, by some 10 dB."""
    knots = max(4, int(n / SAMPLE_RATE * rng.uniform(0.5, 8)))
    level_db = rng.normal(0, rng.uniform(2, 12), knots)
    return np.asarray(10 ** (np.interp(np.linspace(0, knots - 1, n), np.arange(knots), level_db) / 20))


def _knocks(n: int, rng: np.random.Generator) -> np.ndarray:
    """Typing, dishes, steps: short noises [n], each of its own colour, one to eight a second."""
    sound = np.zeros(n)
    for start in rng.integers(0, n, size=max(1, int(n / SAMPLE_RATE * rng.uniform(1, 8)))):
        knock = _knock(min(n - start, int(SAMPLE_RATE * 0.3)), rng)
        sound[start : start + len(knock)] += knock
    return sound


def _knock(n: int, rng: np.random.Generator) -> np.ndarray:
    level_db = random_shape(rng, step=5.0, tilt=rng.uniform(-4.0, 2.0)) + rng.normal(0, 6)
    fall = 3 / rng.uniform(0.01, 0.25)
    return shaped_in_time(rng, n, lambda t: 10 ** (level_db[:, None] / 20 - fall * t[None]))


def _voice(n: int, rng: np.random.Generator) -> np.ndarray:
    """Something like speech or singing [n]: partials that glide, vowels, syllables and pauses.

    What tells a voice from a piano is that its pitch moves and its notes do not die away.
    """
    seconds = n / SAMPLE_RATE
    syllables = max(2, int(seconds * rng.uniform(1, 6)))
    place = np.linspace(0, syllables - 1, n)
    middle = np.exp(rng.uniform(np.log(80), np.log(500)))
    octaves = np.interp(place, np.arange(syllables), rng.normal(0, rng.uniform(0.05, 0.3), syllables))
    trembling = rng.uniform(0, 0.03) * np.sin(2 * np.pi * rng.uniform(4, 7) * np.arange(n) / SAMPLE_RATE)
    pitch_hz = middle * 2 ** (octaves + trembling)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE
    speaking = np.interp(place, np.arange(syllables), (rng.random(syllables) < 0.75) * rng.random(syllables))
    vowels = [
        np.interp(place, np.arange(syllables), rng.uniform(low, high, syllables)) for low, high in FORMANTS
    ]
    sound = np.zeros(n)
    for partial in range(1, int(min(24, 4000 / middle)) + 1):
        hz = partial * pitch_hz
        loud = sum(1 / (1 + ((hz - vowel) / 120) ** 2) for vowel in vowels) + 0.03
        sound += loud / partial**0.5 * np.sin(partial * phase + rng.uniform(0, 2 * np.pi))
    return sound * speaking
