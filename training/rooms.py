"""Rooms around a recording: measured impulse responses, and made-up ones, of which there is no end."""

from __future__ import annotations

import numpy as np

from ..model.timebase import SAMPLE_RATE
from .spectral_shapes import random_shape, shaped_in_time

FIRST_ARRIVAL = 16  #: samples before the direct sound in a room's response
LONGEST_S = 2.0  #: of a made-up response: what comes later is too soft to matter


def in_room(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Samples [n] heard through a room's impulse response [m]; the direct sound keeps its time."""
    from scipy.signal import oaconvolve  # here, since it takes long to import

    if not len(samples):
        return samples
    return np.asarray(oaconvolve(samples, response)[FIRST_ARRIVAL : FIRST_ARRIVAL + len(samples)])


def reverberation_s(response: np.ndarray) -> float:
    """T60 of an impulse response [n]: three times what its energy takes from -5 to -25 dB (ISO 3382, T20).

    At most what a response of its length can hold; 0 for silence.
    """
    left = np.cumsum(np.square(response, dtype=np.float64)[::-1])[::-1]
    if not len(left) or left[0] <= 0:
        return 0.0
    first, last = (int(np.argmax(left <= left[0] * 10 ** (db / 10))) for db in (-5, -25))
    last = last if last > first else len(left)
    return 3 * (last - first) / SAMPLE_RATE


def shortened(response: np.ndarray, time_s: float, wanted_s: float) -> np.ndarray:
    """A response [n] of reverberation time ``time_s`` with the shorter ``wanted_s``: as behind curtains."""
    t = np.maximum(0, np.arange(len(response)) - FIRST_ARRIVAL) / SAMPLE_RATE
    return np.asarray(response * 10 ** (-3 * t * (1 / wanted_s - 1 / time_s)), dtype=np.float32)


def made_room(rng: np.random.Generator, times_s: tuple[float, float] = (0.2, 1.6)) -> np.ndarray:
    """A room's response [n]: the direct sound, reflections ever closer, a tail that dies away.

    Its reverberation time (until 60 dB softer) is drawn from ``times_s``.

    From a padded cell to a stairwell, from a hand's breadth before the microphone to the far end of a
    hall. Polack's model of reverberation (1988), noise under an exponential, with a time of its own at
    each frequency; its beginning thinned out to single reflections.
    """
    time_s = float(np.exp(rng.uniform(*np.log(times_s))))
    n = int(min(LONGEST_S, time_s) * SAMPLE_RATE)
    tail = _tail(n, time_s, rng) * _thinning(n, rng)
    direct_db = rng.uniform(-14, 12)  # against all the rest
    tail *= 10 ** (-direct_db / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    gap = int(rng.uniform(0.001, 0.03) * SAMPLE_RATE)  # between the direct sound and the first reflection
    response = np.zeros(FIRST_ARRIVAL + gap + n, dtype=np.float32)
    response[FIRST_ARRIVAL + gap :] = tail
    if rng.random() < 0.4:  # the lid or the table that the microphone lies on
        response[FIRST_ARRIVAL + int(rng.uniform(0.0002, 0.005) * SAMPLE_RATE)] += rng.uniform(-0.8, 0.8)
    response = np.clip(response, -0.9, 0.9)  # nothing is louder than the direct sound
    response[FIRST_ARRIVAL] = 1
    return response


def _tail(n: int, time_s: float, rng: np.random.Generator) -> np.ndarray:
    """Noise [n] whose frequencies die away each in its own time: highs sooner, as air and curtains do."""
    times_s = time_s * 2 ** random_shape(rng, step=0.35, tilt=-rng.uniform(0.0, 0.35))
    level_db = random_shape(rng, step=3.0, tilt=rng.uniform(-3.0, 1.0))
    return shaped_in_time(
        rng, n, lambda t: 10 ** ((level_db[:, None] / 20) - 3 * t[None] / np.maximum(times_s[:, None], 0.02))
    )


def _thinning(n: int, rng: np.random.Generator) -> np.ndarray:
    """Reflections come ever closer, as the square of time, until they can no longer be told apart: [n]."""
    together = rng.uniform(0.005, 0.12) * SAMPLE_RATE  # from when on there is one at every sample
    density = np.clip((np.arange(n) + 1) / together, 0.01, 1) ** 2
    return (rng.random(n) < density) / np.sqrt(density)
