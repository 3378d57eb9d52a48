"""Files that sounds are made with: rooms' impulse responses and background noise; and finding such files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..model.downmix import Downmix
from ..model.timebase import SAMPLE_RATE

SUFFIXES = (".flac", ".wav", ".opus", ".ogg", ".mp3")


def files_in(place: Path, suffixes: tuple[str, ...], what: str) -> tuple[Path, ...]:
    """A file, or those of a folder by their suffix, sorted by name. Raises ValueError where there is none."""
    if place.is_file():
        return (place,)
    if not place.is_dir():
        raise ValueError(f"{place}: expected {what}, there is no such file or folder")
    found = sorted(p for p in place.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))
    if not found:
        raise ValueError(f"{place}: expected {what} ({', '.join(suffixes)}), found none")
    return tuple(found)


def sounds_in(folder: Path) -> tuple[Path, ...]:
    """The sound files of a folder, sorted by name. Raises ValueError where there is none."""
    return files_in(folder, SUFFIXES, "sounds")


def read_sound(path: Path) -> np.ndarray:
    """A whole file as mono samples [n] at 16 kHz. Raises ValueError, naming it, for what is no sound."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        said = getattr(error, "error_string", error)
        raise ValueError(f"{path}: expected sound, cannot read it ({said})") from error
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError(f"{path}: expected finite samples, found none or others")
    mono = Downmix(samples.shape[1], rate).feed(samples)
    return np.asarray(soxr.resample(mono, rate, SAMPLE_RATE))
