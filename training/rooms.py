"""Rooms around a recording: measured impulse responses, and made-up ones, of which there is no end."""

from __future__ import annotations

import numpy as np

from ..model.timebase import SAMPLE_RATE

FIRST_ARRIVAL = 16  #: samples before the direct sound in a room's response
LONGEST_S = 1.5  #: of a made-up response: what comes later is too soft to matter


def in_room(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Samples [n] heard through a room's impulse response [m]; the direct sound keeps its time."""
    from scipy.signal import oaconvolve  # here, since it takes long to import

    if not len(samples):
        return samples
    return np.asarray(oaconvolve(samples, response)[FIRST_ARRIVAL : FIRST_ARRIVAL + len(samples)])


def made_room(rng: np.random.Generator) -> np.ndarray:
    """A room's response [n]: the direct sound, a few reflections, and noise that dies away.

    Highs die sooner than lows. Polack's model of reverberation (1988): noise under an exponential.
    """
    from scipy.signal import lfilter

    reverberation_s = float(np.exp(rng.uniform(np.log(0.15), np.log(2.5))))  # until 60 dB softer
    gap = int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)  # between the direct sound and the first reflection
    n = int(min(LONGEST_S, reverberation_s) * SAMPLE_RATE)
    t = np.arange(n) / SAMPLE_RATE
    lows = lfilter([1.0], [1.0, -rng.uniform(0.5, 0.95)], rng.standard_normal(n))
    lows /= np.sqrt(np.mean(lows**2))
    highs = rng.standard_normal(n) * 10 ** (-3 * t / (reverberation_s * rng.uniform(0.2, 0.8)))
    tail = highs + lows * 10 ** (-3 * t / reverberation_s)
    direct_db = rng.uniform(-8, 12)  # against the tail
    tail *= 10 ** (-direct_db / 20) / (np.sqrt(np.sum(tail**2)) + 1e-9)
    for at in rng.integers(0, min(n, int(0.08 * SAMPLE_RATE)), size=rng.integers(2, 8)):
        tail[at] += rng.uniform(-0.7, 0.7)
    response = np.zeros(FIRST_ARRIVAL + gap + n, dtype=np.float32)
    response[FIRST_ARRIVAL] = 1
    response[FIRST_ARRIVAL + gap :] += np.clip(tail, -0.9, 0.9)  # nothing is louder than the direct sound
    return response
