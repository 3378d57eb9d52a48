"""Features and targets of a piece as ``.npy`` files, one folder a kind, that can be memory-mapped.

``inputs_hcqt``: log power [T, 352] in dB of our front end (floor -110), float16 (0.06 dB at most between
two values). ``targets_onset``, ``targets_offset``, ``targets_velocity`` (counts where the onset target is
above zero; velocity / 127): [T, 88], float16. ``targets_frame``: [T, 88], uint8. Fifty frames a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from ...model.notes import Note
from ...model.timebase import BINS, FRAME_S, KEYS, SAMPLE_RATE, frames_in
from ..labels import TRIANGLE_FRAMES, targets

#: The folders, and what is in them.
KINDS = {
    "inputs_hcqt": (np.float16, BINS),
    "targets_onset": (np.float16, KEYS),
    "targets_offset": (np.float16, KEYS),
    "targets_frame": (np.uint8, KEYS),
    "targets_velocity": (np.float16, KEYS),
}
_BLOCK = 30 * SAMPLE_RATE
_REACH_S = (TRIANGLE_FRAMES + 1) * FRAME_S  #: how far a note's targets lie outside it


def write_arrays(sound: Path, notes: Sequence[Note], paths: Sequence[Path]) -> None:
    """Writes an array to each of ``paths`` (as KINDS), of a 16 kHz mono sound file and its notes."""
    table = np.array([(n.onset_s, n.offset_s, n.pitch, n.velocity) for n in notes]).reshape(-1, 4)
    frames = frames_in(soundfile.info(sound).frames)
    arrays = [
        np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(frames, width))
        for path, (dtype, width) in zip(paths, KINDS.values(), strict=True)
    ]
    start = 0
    for spectra in _spectra(sound):
        stop = start + len(spectra)
        now = table - [start * FRAME_S, start * FRAME_S, 0, 0]
        near = (now[:, 1] > -_REACH_S) & (now[:, 0] < (stop - start) * FRAME_S + _REACH_S)
        wanted = targets(now[near], stop - start)
        of_kind = (spectra, wanted.onset, wanted.offset, wanted.frame, wanted.velocity)
        for array, values in zip(arrays, of_kind, strict=True):
            array[start:stop] = values
        start = stop
    for array in arrays:
        array.flush()


def _spectra(sound: Path) -> Iterator[np.ndarray]:
    """Log power [T, 352] as it comes."""
    from ...model.frontend import FrontEndConfig, front_end_of
    from ...model.spectra import Spectra

    spectra = Spectra(front_end_of(FrontEndConfig()), SAMPLE_RATE)
    for block in soundfile.blocks(sound, blocksize=_BLOCK, dtype="float32"):
        yield spectra.feed(block)[0].numpy()
    yield spectra.flush()[0].numpy()
