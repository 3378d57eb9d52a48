"""Sounds that are laid over recordings: rooms' impulse responses and background noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..model.timebase import SAMPLE_RATE

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")


def sounds_in(folder: Path) -> tuple[Path, ...]:
    """The sound files of a folder, sorted by name. Raises ValueError where there is none."""
    found = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES))
    if not found:
        raise ValueError(f"{folder}: expected sounds ({', '.join(SUFFIXES)}), found none")
    return found


def read_sound(path: Path) -> np.ndarray:
    """A whole file as mono samples [n] at 16 kHz. Raises ValueError, naming it, for what is no sound."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        said = getattr(error, "error_string", error)
        raise ValueError(f"{path}: expected sound, cannot read it ({said})") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found none or others")
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, SAMPLE_RATE))
