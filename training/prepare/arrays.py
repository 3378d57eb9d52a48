"""Features and targets of a piece as ``.npy`` files, one folder a kind, that can be memory-mapped.

``inputs_hcqt``: log power [T, 352] in dB of our front end (floor -110), float16 (0.06 dB at most between
two values). ``targets_onset``, ``targets_offset``, ``targets_velocity`` (counts where the onset target is
above zero; velocity / 127): [T, 88], float16. ``targets_frame``: [T, 88], uint8. Fifty frames a second.
``inputs_hcqt/front_end.json`` says which front end made the spectra.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile

from ...model.notes import Note
from ...model.timebase import BINS, FRAME_S, HOP, KEYS, SAMPLE_RATE, frames_in
from ..labels import TRIANGLE_FRAMES, targets

#: The folders, and what is in them.
KINDS = {
    "inputs_hcqt": (np.float16, BINS),
    "targets_onset": (np.float16, KEYS),
    "targets_offset": (np.float16, KEYS),
    "targets_frame": (np.uint8, KEYS),
    "targets_velocity": (np.float16, KEYS),
}
FRONT_END = "front_end.json"
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
    from ...model.frontend import FrontEndConfig
    from ...model.spectrum import Spectra

    spectra = Spectra(FrontEndConfig(), SAMPLE_RATE)
    for block in soundfile.blocks(sound, blocksize=_BLOCK, dtype="float32"):
        yield spectra.feed(block)[0].numpy()
    yield spectra.flush()[0].numpy()


def check_front_end(folder: Path) -> None:
    """Raises ValueError where the arrays in ``folder`` were made by another front end than this version's."""
    path = folder / next(iter(KINDS)) / FRONT_END
    again = f"delete the folders of arrays in {folder} and run hppnet prepare --arrays again"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path}: expected it to say which front end made the arrays, there is none; {again}"
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}); {again}") from error
    ours = _front_end()
    found = found if isinstance(found, dict) else {}
    for name in {**ours, **found}:
        if ours.get(name) != found.get(name):
            raise ValueError(
                f"{path}: arrays made with {name} = {found.get(name)}, "
                f"this version's front end has {ours.get(name)}; {again}"
            )


def say_front_end(folder: Path) -> None:
    """Writes beside the arrays in ``folder`` which front end makes them.

    Raises ValueError where another one has made those that are there.
    """
    path = folder / next(iter(KINDS)) / FRONT_END
    if path.exists() or any(path.parent.glob("*.npy")):
        return check_front_end(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{FRONT_END}.{os.getpid()}.part")  # several processes may come here at once
    part.write_text(json.dumps(_front_end(), indent=1) + "\n", encoding="utf-8")
    os.replace(part, path)


def _front_end() -> dict[str, object]:
    """All that decides what a spectrum holds."""
    from ...model.frontend import FLOOR_DB, FrontEndConfig

    return {**asdict(FrontEndConfig()), "sample_rate": SAMPLE_RATE, "hop": HOP, "floor_db": FLOOR_DB}
