"""Beginnings amid noise: a stream that is begun while something sounds, many times over.

Before its first sample a stream heard silence, so whatever sounds there begins all at once, and may be taken
for onsets. Each beginning is a file of its own, cut out of a recording at a place that a seed decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from ..model.timebase import SAMPLE_RATE
from .hearing import Opener, Pair
from .prepare.recorded import resampled

START_S = 2.0  #: for so long each is heard
SEED = 0


def cut_starts(pairs: Sequence[Pair], count: int, folder: Path, open_recording: Opener) -> list[Pair]:
    """``count`` beginnings in recordings without piano, cut into ``folder``: each START_S long, at a random
    place in all the recordings' time, every part of which is as likely.

    Raises ValueError, naming the recording, for one that cannot be read, and where none is long enough.
    """
    sounds = [_samples(pair, open_recording) for pair in pairs]
    n = round(START_S * SAMPLE_RATE)
    ends = np.cumsum([max(0, len(sound) - n + 1) for sound in sounds])
    if not len(ends) or not ends[-1]:
        raise ValueError(
            f"expected recordings without piano of {START_S:g} s at least, found shorter ones only"
        )
    found: list[Pair] = []
    for place in sorted(np.random.default_rng(SEED).integers(ends[-1], size=count).tolist()):
        which = int(np.searchsorted(ends, place, side="right"))
        first = int(place - (ends[which - 1] if which else 0))
        name = f"{pairs[which].name} from {first / SAMPLE_RATE:.3f} s"
        path = folder / f"{len(found):04d}.wav"
        soundfile.write(path, sounds[which][first : first + n], SAMPLE_RATE, subtype="FLOAT")
        found.append(Pair(name, path, None))
    return found


def _samples(pair: Pair, open_recording: Opener) -> np.ndarray:
    try:
        with open_recording(pair.recording) as opened:
            blocks = list(resampled(opened.blocks(), opened.sample_rate))
    except Exception as error:  # readers have many for a broken file
        said = " ".join(str(error).split())
        raise ValueError(said if str(pair.recording) in said else f"{pair.recording}: {said}") from error
    return np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
