"""Microphones: their frequency responses, as curves over the spectrum's bins, and their gain control."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..model.timebase import BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from .augmentation import Augmentation

UNEVEN_BINS = 4  #: over so many bins either way a soundboard answers alike
BLOCK = 160  #: samples for which a gain is decided: 10 ms
QUIETEST_DB = -70.0  #: below it a gain control no longer follows


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
    for _ in range(int(rng.integers(4))):  # of a capsule and the case around it
        width = np.exp(rng.uniform(np.log(0.01), np.log(0.08)))
        height = how.resonances_db * rng.standard_normal()
        curve = curve + height * np.exp(-(((x - rng.uniform(0.1, 1)) / width) ** 2))
    curve = curve + rng.uniform(0, how.uneven_db) * _uneven(rng)
    return np.asarray(curve, dtype=np.float32)


def _uneven(rng: np.random.Generator) -> np.ndarray:
    """Noise [BINS] of unit power, alike within a semitone or so."""
    around = np.hanning(2 * UNEVEN_BINS + 1)
    return np.convolve(rng.standard_normal(BINS + 2 * UNEVEN_BINS), around / np.linalg.norm(around), "valid")


def gain_controlled(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] through a phone's or a computer's gain control, which follows the level by itself.

    It turns down within 5 to 80 ms of a loud onset and up again within 0.2 to 3 s, and knows no future.
    """
    ratio, most_db = rng.uniform(1.5, 6), rng.uniform(6, 20)
    attack_s, release_s = (np.exp(rng.uniform(*np.log(between))) for between in ((0.005, 0.08), (0.2, 3.0)))
    count = -(-len(samples) // BLOCK)
    blocks = np.pad(samples, (0, count * BLOCK - len(samples))).reshape(count, BLOCK)
    level_db = np.maximum(QUIETEST_DB, 10 * np.log10(np.mean(np.square(blocks, dtype=np.float64), 1) + 1e-12))
    up, down = (float(1 - np.exp(-BLOCK / SAMPLE_RATE / time_s)) for time_s in (attack_s, release_s))
    middle_db = now_db = float(np.percentile(level_db, 75))
    followed = []
    for db in level_db.tolist():
        now_db += (up if db > now_db else down) * (db - now_db)
        followed.append(now_db)
    gain_db = np.clip((1 - 1 / ratio) * (middle_db - np.array(followed)), -most_db, most_db)
    # A block's level is known at its end.
    ends = (np.arange(count) + 1) * BLOCK
    gain = np.interp(np.arange(len(samples)), ends, 10 ** (gain_db / 20))
    return np.asarray(samples * gain, dtype=np.float32)
