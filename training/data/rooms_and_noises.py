"""Rooms and noises around a piano: measured or recorded, and an unlimited number of synthetic ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from ...model.timebase import SAMPLE_RATE

FIRST_ARRIVAL = 16  #: samples before the direct sound in a room's response
LONGEST_S = 2.0  #: longest synthetic response: anything later is too soft to matter


def in_room(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Samples [n] convolved with a room's impulse response [m]; the direct sound keeps its time."""
    from scipy.signal import oaconvolve  # here, since it takes long to import

    if not len(samples):
        return samples
    return np.asarray(oaconvolve(samples, response)[FIRST_ARRIVAL : FIRST_ARRIVAL + len(samples)])


def reverberation_s(response: np.ndarray) -> float:
    """T60 of an impulse response [n]: three times its energy's decay from -5 to -25 dB (ISO 3382, T20).

    In seconds, limited by the length of the response; 0 for silence.
    """
    left = np.cumsum(np.square(response, dtype=np.float64)[::-1])[::-1]
    if not len(left) or left[0] <= 0:
        return 0.0
    first, last = (int(np.argmax(left <= left[0] * 10 ** (db / 10))) for db in (-5, -25))
    last = last if last > first else len(left)
    return 3 * (last - first) / SAMPLE_RATE


def shortened(response: np.ndarray, time_s: float, wanted_s: float) -> np.ndarray:
    """A response [n] of reverberation time ``time_s``, damped to the shorter ``wanted_s``."""
    t = np.maximum(0, np.arange(len(response)) - FIRST_ARRIVAL) / SAMPLE_RATE
    return np.asarray(response * 10 ** (-3 * t * (1 / wanted_s - 1 / time_s)), dtype=np.float32)


def made_room(rng: np.random.Generator, times_s: tuple[float, float] = (0.2, 1.6)) -> np.ndarray:
    """A synthetic room's response [n]: the direct sound, ever denser reflections, a decaying tail.

    Its reverberation time (60 dB) is drawn from ``times_s``. Rooms range from a padded cell to a stairwell,
    distances from a hand's breadth before the microphone to the far end of a hall. Polack's model of
    reverberation (1988): noise that decays exponentially, here with a different time at each frequency and
    with its beginning thinned out to single reflections.
    """
    time_s = float(np.exp(rng.uniform(*np.log(times_s))))
    n = int(min(LONGEST_S, time_s) * SAMPLE_RATE)
    tail = _tail(n, time_s, rng) * _thinning(n, rng)
    direct_db = rng.uniform(-14, 12)  # relative to the rest
    tail *= 10 ** (-direct_db / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    gap = int(rng.uniform(0.001, 0.03) * SAMPLE_RATE)  # between the direct sound and the first reflection
    response = np.zeros(FIRST_ARRIVAL + gap + n, dtype=np.float32)
    response[FIRST_ARRIVAL + gap :] = tail
    if rng.random() < 0.4:  # the lid or the table that the microphone lies on
        response[FIRST_ARRIVAL + int(rng.uniform(0.0002, 0.005) * SAMPLE_RATE)] += rng.uniform(-0.8, 0.8)
    response = np.clip(response, -0.9, 0.9)  # the direct sound is the loudest
    response[FIRST_ARRIVAL] = 1
    return response


def _tail(n: int, time_s: float, rng: np.random.Generator) -> np.ndarray:
    """Noise [n] whose frequencies decay at different rates: mostly highs sooner, as with air and curtains."""
    times_s = time_s * 2 ** random_shape(rng, step=0.35, tilt=-rng.uniform(0.0, 0.35))
    level_db = random_shape(rng, step=3.0, tilt=rng.uniform(-3.0, 1.0))
    return shaped_in_time(
        rng, n, lambda t: 10 ** ((level_db[:, None] / 20) - 3 * t[None] / np.maximum(times_s[:, None], 0.02))
    )


def _thinning(n: int, rng: np.random.Generator) -> np.ndarray:
    """Reflections [n] whose density grows with the square of time, until there is one at every sample."""
    dense_from = rng.uniform(0.005, 0.12) * SAMPLE_RATE  # from here on there is one at every sample
    density = np.clip((np.arange(n) + 1) / dense_from, 0.01, 1) ** 2
    return (rng.random(n) < density) / np.sqrt(density)


#: Probability of each kind: wind and hum; traffic and rustling; typing, dishes and steps; a voice.
KINDS = {"steady": 0.25, "swelling": 0.25, "knocks": 0.2, "voice": 0.3}
FORMANTS = ((250.0, 900.0), (800.0, 2400.0), (2200.0, 3400.0))  #: ranges of a vowel's three resonances, Hz


def recorded_noise(n: int, sounds: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A part [n] of one of ``sounds``, at 1 / 1.4 to 1.4 times its speed."""
    sound = sounds[int(rng.integers(len(sounds)))]
    speed = 2 ** rng.uniform(-0.5, 0.5)
    wanted = int(np.ceil(n * speed)) + 1
    start = rng.integers(max(1, len(sound) - wanted))
    part = np.resize(sound[start : start + wanted], wanted)
    return np.interp(np.arange(n) * speed, np.arange(wanted), part)


def made_noise(n: int, rng: np.random.Generator, kind: str = "") -> np.ndarray:
    """Synthetic noise [n] of a ``kind``, by default a random one of KINDS."""
    kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "voice":
        return _voice(n, rng)
    if kind == "knocks":
        return _knocks(n, rng)
    level_db = random_shape(rng, step=5.0, tilt=rng.uniform(-6.0, 1.0))
    noise = shaped_in_time(rng, n, lambda _: 10 ** (level_db[:, None] / 20))
    return noise * _swell(n, rng) if kind == "swelling" else noise


def _swell(n: int, rng: np.random.Generator) -> np.ndarray:
    """A gain [n] that rises and falls by some 10 dB, up to eight times a second."""
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
    """A sound [n] like speech or singing: gliding partials, vowels, syllables and pauses.

    A voice differs from a piano in that its pitch moves and its notes do not decay.
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


WINDOW = 256  #: samples: 16 ms, bins of 62.5 Hz
OCTAVES = 7  #: from the lowest bin above 0 Hz, 62.5 Hz, to 8 kHz


def random_shape(rng: np.random.Generator, step: float, tilt: float = 0.0) -> np.ndarray:
    """A curve over frequency [bins] of mean 0: a random walk of ``step`` per octave around ``tilt``."""
    knots = np.cumsum(rng.normal(tilt, step, OCTAVES + 1))
    return np.interp(_octaves(), np.arange(OCTAVES + 1), knots - knots.mean())


def shaped_in_time(rng: np.random.Generator, n: int, gains: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Noise [n] with a gain at each frequency and time: ``gains`` maps T times (s) to [bins, T or 1]."""
    hop = WINDOW // 2
    count = n // hop + 2
    size = (count, WINDOW // 2 + 1)
    spectra = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    spectra *= gains(np.maximum(0, np.arange(count) - 0.5) * hop / SAMPLE_RATE).T
    blocks = np.fft.irfft(spectra, axis=1) * _window()
    sound = np.zeros((count + 1) * hop)
    sound[: count * hop] = blocks[:, :hop].ravel()
    sound[hop:] += blocks[:, hop:].ravel()
    return sound[hop : hop + n]


@lru_cache(maxsize=1)
def _octaves() -> np.ndarray:
    """How many octaves each bin lies above the first."""
    return np.log2(np.maximum(1, np.arange(WINDOW // 2 + 1)))


@lru_cache(maxsize=1)
def _window() -> np.ndarray:
    """A window whose overlapping squares add up to 1, since neighbouring blocks are independent noise."""
    return np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW)
