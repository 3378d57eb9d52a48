"""Short bursts of sound whose onsets are known, and files made of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from hppnet.offline.reading import open_recording

RATE = 16_000
ONSETS_S = [0.3, 0.8, 1.2]
LENGTH_S = 1.6
TOLERANCE_S = 0.005


def bursts(rate: int = RATE, onsets_s: list[float] = ONSETS_S) -> np.ndarray:
    """Decaying tones, samples [n]; quiet noise between them."""
    t = np.arange(round(LENGTH_S * rate)) / rate
    out = 1e-4 * np.random.default_rng(3).standard_normal(len(t))
    for onset_s in onsets_s:
        since = np.maximum(0, t - onset_s)
        out += np.where(t >= onset_s, 0.5 * np.exp(-25 * since) * np.sin(2 * np.pi * 880 * since), 0)
    return out.astype(np.float32)


def onsets(samples: np.ndarray, rate: int) -> list[float]:
    """Where the level rises above a fifth of full scale after 0.1 s below it, in seconds."""
    loud = np.flatnonzero(np.abs(samples) > 0.15) / rate
    return [float(s) for n, s in enumerate(loud) if n == 0 or s - loud[n - 1] > 0.1]


def read(path: Path, **options: object) -> tuple[list[float], list[str]]:
    """The onsets of a file, and what was said of it."""
    with open_recording(path, **options) as recording:  # type: ignore[arg-type]
        samples = np.concatenate(list(recording.blocks()))
    return onsets(samples, recording.sample_rate), recording.warnings


def plain_onsets() -> list[float]:
    return onsets(bursts(), RATE)


def assert_onsets(found: list[float], expected: list[float], tolerance_s: float = TOLERANCE_S) -> None:
    assert len(found) == len(expected), (found, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance_s)


def ffmpeg(*arguments: object) -> None:
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL
    )
