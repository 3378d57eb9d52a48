"""Microphones and codecs: frequency responses over the bins, gain control, artefacts of low bit rates.

Both codecs keep the timing: libsndfile's Opus decodes to the exact length and position of the source, and the
simulated transform coder (AAC, MP3) works in overlapping windows, which leave sounds in place. A transform
coder quantises bands of the spectrum coarsely: soft partials vanish, and an onset is smeared over a window,
also before it.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ...model.timebase import BINS, SAMPLE_RATE

if TYPE_CHECKING:
    from .augmentation import Augmentation


UNEVEN_BINS = 4  #: bins on each side in which a soundboard responds alike
BLOCK = 160  #: samples between two gains: 10 ms
QUIETEST_DB = -70.0  #: level below which a gain control no longer follows


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
    for _ in range(int(rng.integers(4))):  # resonances of a capsule and its case
        width = np.exp(rng.uniform(np.log(0.01), np.log(0.08)))
        height = how.resonances_db * rng.standard_normal()
        curve = curve + height * np.exp(-(((x - rng.uniform(0.1, 1)) / width) ** 2))
    curve = curve + rng.uniform(0, how.uneven_db) * _uneven(rng)
    return np.asarray(curve, dtype=np.float32)


def _uneven(rng: np.random.Generator) -> np.ndarray:
    """Noise [BINS] of unit power, correlated within about a semitone."""
    around = np.hanning(2 * UNEVEN_BINS + 1)
    return np.convolve(rng.standard_normal(BINS + 2 * UNEVEN_BINS), around / np.linalg.norm(around), "valid")


def gain_controlled(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] after the automatic gain control of a phone or a computer.

    It is causal: the gain falls within 5 to 80 ms after a loud onset and rises again within 0.2 to 3 s.
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


OPUS = 0.3  #: chance of Opus, which takes ten times as long as the simulated coder
OPUS_KBIT = (10.0, 40.0)
#: Bit rates of libsndfile's Opus for one channel, at compression levels 1 and 0.
_LEAST_KBIT, _MOST_KBIT = 6.0, 256.0
BANDS = 24
WINDOWS = (512, 1024)  #: samples


def coded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] after a codec at a low bit rate; the timing is kept."""
    if len(samples) < WINDOWS[-1]:
        return samples
    if rng.random() < OPUS:
        return by_opus(samples, float(rng.uniform(*OPUS_KBIT)))
    window = int(rng.choice(WINDOWS))
    return by_transform(samples, window, float(rng.uniform(4, 16)), float(rng.uniform(3500, 8000)))


def by_opus(samples: np.ndarray, kbit: float) -> np.ndarray:
    """Samples [n] after Opus at ``kbit`` kbit/s."""
    file = io.BytesIO()
    peak = max(1.0, float(np.abs(samples).max()))  # avoids clipping
    level = (_MOST_KBIT - kbit) / (_MOST_KBIT - _LEAST_KBIT)
    with soundfile.SoundFile(
        file, "w", SAMPLE_RATE, 1, format="OGG", subtype="OPUS", compression_level=level
    ) as out:
        out.write(samples / peak)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(peak * decoded)


def by_transform(samples: np.ndarray, window: int, snr_db: float, highest_hz: float) -> np.ndarray:
    """Samples [n] with their spectrum quantised in bands; the signal-to-noise ratio falls with frequency."""
    hop = window // 2
    count = -(-len(samples) // hop) + 1
    padded = np.pad(samples, (hop, (count + 1) * hop - len(samples) - hop))
    shape = np.sin(np.pi * (np.arange(window) + 0.5) / window)  # its overlapping squares add up to 1
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * shape, axis=1)
    starts, band = _bands(window)
    power = np.add.reduceat(np.abs(spectra) ** 2, starts, axis=1) / np.diff([*starts, spectra.shape[1]])
    # The noise of rounding has the power step ** 2 / 12, twice that for a complex number.
    falling = 10 ** (-(snr_db - np.linspace(0, 6, len(starts))) / 20)
    steps = np.sqrt(6 * power) * falling + 1e-9
    # Bands far below the loudest band of their window are masked, and not sent.
    steps[power < 1e-5 * power.max(axis=1, keepdims=True)] = np.inf
    step = steps[:, band]
    with np.errstate(invalid="ignore"):
        spectra = np.where(
            np.isinf(step), 0, (np.round(spectra.real / step) + 1j * np.round(spectra.imag / step)) * step
        )
    spectra[:, int(highest_hz / SAMPLE_RATE * window) + 1 :] = 0
    blocks = np.fft.irfft(spectra, axis=1) * shape
    out = np.zeros((count + 1) * hop)
    out[: count * hop] = blocks[:, :hop].ravel()
    out[hop:] += blocks[:, hop:].ravel()
    return out[hop : hop + len(samples)].astype(np.float32)


@lru_cache(maxsize=len(WINDOWS))
def _bands(window: int) -> tuple[np.ndarray, np.ndarray]:
    """The first bin of each band, and the band of each bin [window / 2 + 1]."""
    starts = np.unique(np.round(np.geomspace(2, window // 2, BANDS)).astype(int))[:-1]
    starts = np.concatenate([[0], starts])
    return starts, np.searchsorted(starts, np.arange(window // 2 + 1), side="right") - 1
