"""Adds what a sampled piano lacks: resonance of undamped strings, noise of dampers and of key releases.

While the pedal is down, a sound font only sustains its notes. On a piano every string is then free and
resonates at its partials. Here this is a convolution with the sum of all strings' partials (Lehtonen,
Penttinen, Rauhala and Välimäki, "Analysis and modeling of piano sustain-pedal effects", JASA 122, 2007: more
energy between the partials, longer decay). The dampers make a soft noise when they leave the strings and when
they fall back.

Sample libraries play recorded key releases when the pedal comes up. That is the wrong cue: a key makes its
noise when it is released, whether the pedal is down or up. Here the recordings are mixed in at each release.
On a piano recorded from further away they may be inaudible, so they are often left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...model.notes import Note
from ...model.timebase import KEYS, LOWEST_PITCH, SAMPLE_RATE
from .sounds import read_sound, sounds_in

RESPONSE_S = 1.6  #: length of the strings' response, faded out at its end
PARTIALS = 8
FALL_S = 0.04  #: time constant of the strings' decay under the dampers
TAIL_S = 0.2
NOISE_S = 0.35  #: length of the noise of one damper movement
PIANOS = 8  #: number of different sets of strings

PressTimes = tuple[float, float]  #: when the pedal goes down and comes up, in seconds


@dataclass(frozen=True)
class PedalSound:
    """The sound of a piano's pedal. Levels are in dB relative to the piece's; -inf is silence."""

    strings: int = 0  #: which set of strings, 0 to ``PIANOS`` - 1
    resonance_db: float = -22.0
    down_db: float = -35.0  #: noise of the dampers leaving the strings
    up_db: float = -32.0  #: noise of the dampers falling back
    noise_hz: float = 600.0  #: above this the noise falls off
    seed: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator) -> PedalSound:
        """A random pedal's sound; a quarter of them have silent dampers."""
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
    """Samples [n] at 16 kHz with the pedal's resonance and noise; timing and level of the notes are kept."""
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
    """The resonance of free strings [n], at any level; at each press they start silent."""
    from scipy.signal import oaconvolve

    out = np.zeros(len(samples), dtype=np.float64)
    response = string_response(strings)
    tail = int(TAIL_S * SAMPLE_RATE)
    for down_s, up_s in presses:
        first, last = (max(0, round(at * SAMPLE_RATE)) for at in (down_s, up_s))
        sounding = samples[first:last]
        if not len(sounding):
            continue
        wet = oaconvolve(sounding, response)[: len(sounding) + tail]
        wet[len(sounding) :] *= np.exp(-np.arange(len(wet) - len(sounding)) / (FALL_S * SAMPLE_RATE))
        room = out[first : first + len(wet)]
        room += wet[: len(room)]
    return out


@lru_cache(maxsize=PIANOS)
def string_response(strings: int) -> np.ndarray:
    """The impulse response [n] of all strings together: decaying partials of every key."""
    rng = np.random.default_rng(strings)
    t = np.arange(int(RESPONSE_S * SAMPLE_RATE)) / SAMPLE_RATE
    out = np.zeros(len(t))
    for key in range(KEYS):
        fundamental = 440 * 2 ** ((key + LOWEST_PITCH - 69 + rng.normal(0, 0.04)) / 12)
        for partial in range(1, PARTIALS + 1):
            hz = fundamental * partial * (1 + 2e-4 * partial**2)  # stiffness stretches the partials
            if hz > 0.45 * SAMPLE_RATE:
                break
            decay_s = 4.0 / (1 + hz / 400) * np.exp(rng.normal(0, 0.3))
            wave = np.sin(2 * np.pi * hz * t + rng.uniform(0, 2 * np.pi))
            out += wave * np.exp(-t / decay_s) * (rng.uniform(0.3, 1) / partial)
    return out * np.minimum(1, (RESPONSE_S - t) / 0.2)


def _dampers(noise_hz: float, rng: np.random.Generator) -> np.ndarray:
    """The noise [n] of one movement of all dampers: it swells and decays, with unit power at its loudest."""
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


BLOCK = 16  #: samples over which a recording's energy is averaged: 1 ms
FADE_S = 0.003  #: fade-in before a recording's first knock
AUDIBLE_DB = -20.0  #: level at which the first knock begins, relative to the loudest millisecond


@dataclass(frozen=True)
class KeyUp:
    """The sound of a piano's key releases."""

    level_db: float = -np.inf  #: level of a release's loudest 50 ms, relative to the piece's
    spread_db: float = 4.0  #: standard deviation from note to note
    delay_s: float = 0.0  #: delay of the first knock after the release
    spread_s: float = 0.006  #: standard deviation from note to note
    seed: int = 0

    @classmethod
    def random(cls, rng: np.random.Generator, chance: float) -> KeyUp:
        """The sound with a random piano and microphone; audible with probability ``chance``."""
        level_db, delay_s = float(rng.uniform(-36, -12)), float(rng.uniform(-0.02, 0.04))
        spread_db, seed = float(rng.uniform(2, 6)), int(rng.integers(2**31))
        level_db = level_db if rng.random() < chance else -np.inf
        return cls(level_db, spread_db, delay_s, seed=seed)


def with_releases(samples: np.ndarray, notes: Iterable[Note], folder: Path, how: KeyUp) -> np.ndarray:
    """Samples [n] at 16 kHz with the noise of each note's key release; ``notes`` end with their keys.

    Raises ValueError as :func:`recorded_releases` does.
    """
    if how.level_db == -np.inf:
        return samples
    sounds = recorded_releases(folder)
    keys = np.array(sorted(sounds))
    rng = np.random.default_rng(how.seed)
    level = float(np.sqrt(np.mean(samples**2))) + 1e-9
    out = samples.astype(np.float32, copy=True)
    for note in notes:
        sound = sounds[int(keys[np.abs(keys - note.pitch).argmin()])]
        gain = level * 10 ** ((how.level_db + how.spread_db * rng.standard_normal()) / 20)
        at_s = note.offset_s + how.delay_s + how.spread_s * rng.standard_normal() - FADE_S
        first = max(0, round(at_s * SAMPLE_RATE))
        place = out[first : first + len(sound)]
        place += (gain * sound[: len(place)]).astype(np.float32)
    return out


def files_by_key(folder: Path) -> dict[int, Path]:
    """The recordings of a folder, KEY.flac (or .wav ...), by MIDI key.

    Raises ValueError, naming the folder or file, for a folder without sounds and a name that is not a key.
    """
    found = {}
    for path in sounds_in(folder):
        if not path.stem.isdigit() or not int(path.stem) < 128:
            raise ValueError(f"{path}: expected a MIDI key as the name, such as 060{path.suffix}")
        found[int(path.stem)] = path
    return found


@lru_cache(maxsize=2)
def recorded_releases(folder: Path) -> dict[int, np.ndarray]:
    """Key releases by MIDI key, cut shortly before the first knock, their loudest 50 ms of unit power.

    Raises ValueError as :func:`files_by_key` does, and for a file that is not sound.
    """
    return {key: _from_its_knock(read_sound(path)) for key, path in files_by_key(folder).items()}


def _from_its_knock(sound: np.ndarray) -> np.ndarray:
    energy = np.square(sound[: len(sound) // BLOCK * BLOCK], dtype=np.float64).reshape(-1, BLOCK).mean(1)
    loud = int(np.argmax(energy > energy.max() * 10 ** (AUDIBLE_DB / 10))) * BLOCK
    fade = int(FADE_S * SAMPLE_RATE)
    cut = np.pad(sound, (fade, 0))[loud:].copy()  # begins FADE_S before the knock
    cut[:fade] *= np.linspace(0, 1, fade)
    window = int(0.05 * SAMPLE_RATE)
    power = np.convolve(np.square(cut, dtype=np.float64), np.ones(window) / window)
    return np.asarray(cut / np.sqrt(power.max() + 1e-12), dtype=np.float32)
