"""What low bit rates leave of a recording: Opus itself, and the marks of transform coders (AAC, MP3).

Both keep the timing: libsndfile's Opus decodes at the exact length and place of the source, and the imitation
works in overlapping windows around where things sound. What a transform coder does is rounded coarsely in
bands of the spectrum, so that soft partials vanish and what begins is smeared over a window, also before it.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
import soundfile

from ..model.timebase import SAMPLE_RATE

OPUS = 0.3  #: how often it is Opus itself, which takes ten times as long
OPUS_KBIT = (10.0, 40.0)
#: Of libsndfile's Opus for one channel, at compression levels 1 and 0.
_LEAST_KBIT, _MOST_KBIT = 6.0, 256.0
BANDS = 24
WINDOWS = (512, 1024)  #: samples


def coded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples [n] as a codec at a low rate leaves them; the timing stays."""
    if len(samples) < WINDOWS[-1]:
        return samples
    if rng.random() < OPUS:
        return by_opus(samples, float(rng.uniform(*OPUS_KBIT)))
    window = int(rng.choice(WINDOWS))
    return by_transform(samples, window, float(rng.uniform(4, 16)), float(rng.uniform(3500, 8000)))


def by_opus(samples: np.ndarray, kbit: float) -> np.ndarray:
    """Samples [n] through Opus at so many kbit/s."""
    file = io.BytesIO()
    peak = max(1.0, float(np.abs(samples).max()))  # nothing is cut off
    level = (_MOST_KBIT - kbit) / (_MOST_KBIT - _LEAST_KBIT)
    with soundfile.SoundFile(
        file, "w", SAMPLE_RATE, 1, format="OGG", subtype="OPUS", compression_level=level
    ) as out:
        out.write(samples / peak)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return np.asarray(peak * decoded)


def by_transform(samples: np.ndarray, window: int, snr_db: float, highest_hz: float) -> np.ndarray:
    """Samples [n], their spectrum rounded in bands to a signal-to-noise ratio that falls with frequency."""
    hop = window // 2
    count = -(-len(samples) // hop) + 1
    padded = np.pad(samples, (hop, (count + 1) * hop - len(samples) - hop))
    shape = np.sin(np.pi * (np.arange(window) + 0.5) / window)  # its squares overlap to 1
    spectra = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, window)[::hop] * shape, axis=1)
    starts, band = _bands(window)
    power = np.add.reduceat(np.abs(spectra) ** 2, starts, axis=1) / np.diff([*starts, spectra.shape[1]])
    # The noise of rounding to a step is its square over 12, twice for a complex number.
    falling = 10 ** (-(snr_db - np.linspace(0, 6, len(starts))) / 20)
    steps = np.sqrt(6 * power) * falling + 1e-9
    # What lies far below the loudest band of its window is masked: it is not sent.
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
    """Where each band begins, and the band of each bin [window / 2 + 1]."""
    starts = np.unique(np.round(np.geomspace(2, window // 2, BANDS)).astype(int))[:-1]
    starts = np.concatenate([[0], starts])
    return starts, np.searchsorted(starts, np.arange(window // 2 + 1), side="right") - 1
