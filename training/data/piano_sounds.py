"""What the sustain pedal adds to a sampled piano: undamped strings that ring along, and the dampers' noise.

A sound font only lets its notes ring on. On a piano every string is free while the pedal is down and answers
to its own partials in what sounds; here that is a convolution with the sum of all strings' partials
(Lehtonen, Penttinen, Rauhala and Välimäki, "Analysis and modeling of piano sustain-pedal effects", JASA 122,
2007, hear it as that: more energy between the partials, longer decay). The dampers leave the strings and fall
back on them with a soft noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..model.timebase import KEYS, LOWEST_PITCH, SAMPLE_RATE

RESPONSE_S = 1.6  #: of the strings; later it is cut with a fade
PARTIALS = 8
FALL_S = 0.04  #: time constant of the strings once the dampers lie on them
TAIL_S = 0.2
NOISE_S = 0.35  #: of one movement of the dampers
PIANOS = 8  #: different sets of strings

PressTimes = tuple[float, float]  #: the pedal goes down and comes up, in seconds


@dataclass(frozen=True)
class PedalSound:
    """How a piano's pedal sounds. Levels in dB against the piece's own; -inf is silence."""

    strings: int = 0  #: which set of strings, 0 to ``PIANOS`` - 1
    resonance_db: float = -22.0
    down_db: float = -35.0  #: of the noise when the dampers leave
    up_db: float = -32.0  #: and when they fall back
    noise_hz: float = 600.0  #: above this the noise falls off
    seed: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator) -> PedalSound:
        """Any piano's; a quarter of them have silent dampers."""
        noisy = rng.random() < 0.75
        down, up = (float(rng.uniform(-48, -26)) if noisy else -np.inf for _ in range(2))
        return cls(
            int(rng.integers(PIANOS)),
            float(rng.uniform(-32, -14)),
            down,
            up,
            float(np.exp(rng.uniform(np.log(150), np.log(2500)))),
            int(rng.integers(2**31)),
        )


def with_pedal(samples: np.ndarray, presses: Sequence[PressTimes], how: PedalSound) -> np.ndarray:
    """Samples [n] at 16 kHz with what the pedal adds; the timing and the notes' own level stay."""
    level = float(np.sqrt(np.mean(samples**2))) + 1e-9
    ringing = resonance(samples, presses, how.strings)
    loud = float(np.sqrt(np.mean(ringing**2))) + 1e-9
    out = samples + ringing * (level / loud * 10 ** (how.resonance_db / 20))
    rng = np.random.default_rng(how.seed)
    for press in presses:
        for at_s, gain_db in zip(press, (how.down_db, how.up_db), strict=True):
            gain = level * 10 ** ((gain_db + rng.normal(0, 4)) / 20)
            _add(out, at_s, gain * _dampers(how.noise_hz, rng))
    return out.astype(np.float32)


def resonance(samples: np.ndarray, presses: Sequence[PressTimes], strings: int = 0) -> np.ndarray:
    """What free strings answer [n], of any level: each press begins with silent ones."""
    from scipy.signal import oaconvolve

    out = np.zeros(len(samples), dtype=np.float64)
    response = string_response(strings)
    tail = int(TAIL_S * SAMPLE_RATE)
    for down_s, up_s in presses:
        first, last = (max(0, round(at * SAMPLE_RATE)) for at in (down_s, up_s))
        heard = samples[first:last]
        if not len(heard):
            continue
        wet = oaconvolve(heard, response)[: len(heard) + tail]
        wet[len(heard) :] *= np.exp(-np.arange(len(wet) - len(heard)) / (FALL_S * SAMPLE_RATE))
        room = out[first : first + len(wet)]
        room += wet[: len(room)]
    return out


@lru_cache(maxsize=PIANOS)
def string_response(strings: int) -> np.ndarray:
    """What all strings together answer to a click [n]: partials of every key, each decaying."""
    rng = np.random.default_rng(strings)
    t = np.arange(int(RESPONSE_S * SAMPLE_RATE)) / SAMPLE_RATE
    out = np.zeros(len(t))
    for key in range(KEYS):
        fundamental = 440 * 2 ** ((key + LOWEST_PITCH - 69 + rng.normal(0, 0.04)) / 12)
        for partial in range(1, PARTIALS + 1):
            hz = fundamental * partial * (1 + 2e-4 * partial**2)  # a stiff string's are too wide
            if hz > 0.45 * SAMPLE_RATE:
                break
            decay_s = 4.0 / (1 + hz / 400) * np.exp(rng.normal(0, 0.3))
            wave = np.sin(2 * np.pi * hz * t + rng.uniform(0, 2 * np.pi))
            out += wave * np.exp(-t / decay_s) * (rng.uniform(0.3, 1) / partial)
    return out * np.minimum(1, (RESPONSE_S - t) / 0.2)


def _dampers(noise_hz: float, rng: np.random.Generator) -> np.ndarray:
    """One movement of all dampers [n]: noise that swells and dies away, of unit power at its loudest."""
    t = np.arange(int(NOISE_S * SAMPLE_RATE)) / SAMPLE_RATE
    spectrum = np.fft.rfft(rng.standard_normal(len(t)))
    hz = np.fft.rfftfreq(len(t), 1 / SAMPLE_RATE)
    noise = np.fft.irfft(spectrum / (1 + (hz / noise_hz) ** 2), len(t))
    noise /= np.sqrt(np.mean(noise**2)) + 1e-9
    return noise * np.minimum(1, t / rng.uniform(0.005, 0.04)) * np.exp(-t / rng.uniform(0.03, 0.12))


def _add(out: np.ndarray, at_s: float, sound: np.ndarray) -> None:
    first = max(0, round(at_s * SAMPLE_RATE))
    room = out[first : first + len(sound)]
    room += sound[: len(room)]
