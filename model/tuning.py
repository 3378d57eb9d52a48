"""A piano's deviation from A = 440 Hz: parses the user's setting, or estimates it from the partials."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .frames import Resampler
from .timebase import SAMPLE_RATE

MOST_CENTS = 200.0  #: largest deviation from A = 440 Hz, up or down
#: The limits of "auto", for messages.
AUTO_LIMIT = (
    "tuning auto covers -50 to 50 cents; farther off, notes come out a semitone wrong: "
    "give the tuning in cents, or as 415Hz"
)
DRIFT_CENTS = 25.0  #: tolerance between stretches: a bin of the front end, and the detuning in training

_NUMBER = r"(?P<number>[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+))"
_HZ = re.compile(rf"(?:a4?\s*=\s*{_NUMBER}\s*(?:hz)?|{_NUMBER.replace('number', 'plain')}\s*hz)", re.I)
_CENTS = re.compile(rf"{_NUMBER}\s*(?:c|ct|cents?)?", re.I)


def parse_tuning(text: str) -> float | str:
    """Cents from ``-30``, ``415Hz`` or ``A=415``, or "auto". Raises ValueError for anything else."""
    said = text.strip().replace("\N{MINUS SIGN}", "-")
    if said.lower() == "auto":
        return "auto"
    if found := _HZ.fullmatch(said):
        hz = float((found["number"] or found["plain"]).replace(",", "."))
        cents = 1200 * math.log2(hz / 440) if hz > 0 else math.nan
        if not abs(cents) <= MOST_CENTS:
            lowest, highest = (440 * 2 ** (cents / 1200) for cents in (-MOST_CENTS, MOST_CENTS))
            raise ValueError(f"the tuning's A must lie between {lowest:.1f} and {highest:.1f} Hz, got {text}")
        return cents
    if found := _CENTS.fullmatch(said):
        return check_cents(float(found["number"].replace(",", ".")))
    raise ValueError(
        f"expected a tuning in cents (-200 to 200), as a frequency of A (415Hz), or auto, got {text!r}"
    )


def check_cents(cents: float) -> float:
    """``cents`` as a float. Raises ValueError for a tuning that is out of range."""
    if not abs(cents) <= MOST_CENTS:
        hint = f"; for a frequency of A write {cents:g}Hz" if 390 <= cents <= 495 else ""
        raise ValueError(f"the tuning must be -200 to 200 cents, got {cents:g}{hint}")
    return float(cents)


def check_tuning(tuning: float | str | None) -> None:
    """Raises ValueError unless ``tuning`` is cents in range, "auto" or None (the checkpoint's)."""
    if isinstance(tuning, str) and tuning != "auto":
        raise ValueError(f"the tuning must be cents or auto, got {tuning!r}")
    if isinstance(tuning, (int, float)):
        check_cents(tuning)


@dataclass(frozen=True)
class Tuning:
    """A recording's deviation from A = 440 Hz, in cents."""

    cents: float  #: deviation of the whole recording, -50 to 50
    lowest: float  #: lowest among its stretches; like ``highest`` at most 50 from ``cents``
    highest: float

    @property
    def warning(self) -> str | None:
        """A line of text if one tuning does not fit the whole recording, else None."""
        if self.highest - self.lowest <= DRIFT_CENTS:
            return None
        return (
            f"the tuning drifts from {self.lowest:+.0f} to {self.highest:+.0f} cents, and {self.cents:+.0f} "
            "was used throughout: to do better, cut the recording where the tuning changes"
        )


WINDOW = 8192  #: samples: 2 Hz a bin before interpolation
LOWEST_HZ, HIGHEST_HZ = 200.0, 1200.0  #: above, stiff strings' partials are sharp; below, bins are coarse
STRETCH_S = 30.0  #: length of the stretches that are compared to detect a drift
#: Share of a stretch's votes that must agree: out-of-tune chords, speech and noise agree less.
AGREEMENT = 0.3


def estimate_tuning(blocks: Iterable[np.ndarray], sample_rate: int) -> Tuning:
    """Estimates the tuning of mono blocks [n]; 0 if nothing sounds.

    Spectral peaks vote, with their magnitude, for their distance to the nearest tempered pitch; the circular
    mean of the votes is the tuning. Tunings a semitone apart cannot be distinguished. The estimate uses the
    whole recording and compares stretches of it.
    """
    stretches = _stretches(blocks, sample_rate)
    total = sum(votes for votes, _ in stretches)
    if abs(total) < 1e-6:
        return Tuning(0.0, 0.0, 0.0)
    cents = _cents(total)
    clear = [votes for votes, weight in stretches if abs(votes) > AGREEMENT * weight]
    apart = [_cents(votes * np.conj(total)) for votes in clear] or [0.0]
    return Tuning(cents, cents + min(apart), cents + max(apart))


def _stretches(blocks: Iterable[np.ndarray], sample_rate: int) -> list[tuple[complex, float]]:
    """The sum of votes and of their weights over each stretch of a recording."""
    resampler, buffer = Resampler(sample_rate), np.zeros(0, dtype=np.float32)
    hop, in_one = WINDOW // 2, round(STRETCH_S * SAMPLE_RATE / (WINDOW // 2))
    stretches, windows = [(0j, 0.0)], 0
    for block in blocks:
        buffer = np.concatenate([buffer, resampler.feed(np.asarray(block, dtype=np.float32))])
        first = 0
        while len(buffer) - first >= WINDOW:
            votes, weight = _votes(buffer[first : first + WINDOW])
            if windows % in_one == 0 and windows:
                stretches.append((0j, 0.0))
            stretches[-1] = stretches[-1][0] + votes, stretches[-1][1] + weight
            first, windows = first + hop, windows + 1
        buffer = buffer[first:]
    return stretches


def _votes(samples: np.ndarray) -> tuple[complex, float]:
    """Sums over a window's peaks: of magnitude * exp(2 pi i * fraction of a semitone), of magnitude."""
    spectrum = np.abs(np.fft.rfft(samples * _HANN))
    first, last = (int(hz * WINDOW / SAMPLE_RATE) for hz in (LOWEST_HZ, HIGHEST_HZ))
    part = spectrum[first:last]
    if part.max(initial=0.0) < 1e-3:
        return 0j, 0.0
    inner = part[1:-1]
    peaks = (
        np.flatnonzero((inner > part[:-2]) & (inner >= part[2:]) & (inner > 0.05 * part.max())) + 1 + first
    )
    left, top, right = (np.log(spectrum[peaks + k] + 1e-12) for k in (-1, 0, 1))
    exact = peaks + (left - right) / (2 * (left - 2 * top + right) - 1e-12)  # a parabola through three points
    semitones = 12 * np.log2(exact * SAMPLE_RATE / WINDOW / 440.0)
    weights = spectrum[peaks]
    return complex(np.sum(weights * np.exp(2j * np.pi * semitones))), float(weights.sum())


def _cents(votes: complex) -> float:
    return float(np.angle(votes) / (2 * np.pi) * 100)


_HANN = np.hanning(WINDOW)
