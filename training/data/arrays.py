"""Spectra and targets of recordings as memory-mapped ``.npy`` files, one folder for each kind.

``hppnet prepare --arrays`` writes them, as in the paper:

``inputs_hcqt``: log power [T, 352] in dB of our front end (floor -110), float16 (steps of 0.06 dB at most).
``targets_onset``, ``targets_offset``, ``targets_velocity`` (velocity / 127, valid where the onset target is
above zero): [T, 88], float16. ``targets_frame``: [T, 88], uint8. Fifty frames a second.
``inputs_hcqt/front_end.json`` describes the front end that made the spectra.

Training cuts excerpts out of the arrays, without augmentation. An excerpt depends only on (seed, step, place
in the batch), as in :mod:`.dataset`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from ...model.files import replacing
from ...model.frontend import FLOOR_DB
from ...model.notes import Note
from ...model.timebase import BINS, FRAME_S, HOP, KEYS, SAMPLE_RATE, frames_in
from .dataset import Batch
from .labels import PEDAL_SUFFIX, TRIANGLE_FRAMES, pedal_target, read_presses, targets

#: The folders, with the type and the width of their arrays.
KINDS = {
    "inputs_hcqt": (np.float16, BINS),
    "targets_onset": (np.float16, KEYS),
    "targets_offset": (np.float16, KEYS),
    "targets_frame": (np.uint8, KEYS),
    "targets_velocity": (np.float16, KEYS),
}
FRONT_END = "front_end.json"
_BLOCK = 30 * SAMPLE_RATE
_REACH_S = (TRIANGLE_FRAMES + 1) * FRAME_S  #: how far a note's targets extend beyond the note


def write_arrays(sound: Path, notes: Sequence[Note], paths: Sequence[Path]) -> None:
    """Writes the arrays of a 16 kHz mono sound file and its notes to ``paths``, in the order of KINDS."""
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
    """Yields log power [T, 352] of one block after another."""
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
            f"{path}: expected a description of the front end that made the arrays, found none; {again}"
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
    """Writes a description of this version's front end beside the arrays in ``folder``.

    Raises ValueError where another front end has made the existing arrays.
    """
    path = folder / next(iter(KINDS)) / FRONT_END
    if path.exists() or any(path.parent.glob("*.npy")):
        return check_front_end(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:  # several processes may write it at once
        part.write_text(json.dumps(_front_end(), indent=1) + "\n", encoding="utf-8")


def _front_end() -> dict[str, object]:
    """All settings that a spectrum depends on."""
    from ...model.frontend import FLOOR_DB, FrontEndConfig

    return {**asdict(FrontEndConfig()), "sample_rate": SAMPLE_RATE, "hop": HOP, "floor_db": FLOOR_DB}


SPECTRA, *TARGETS = KINDS
#: The targets in the order of the heads.
HEADS_OF = ("targets_onset", "targets_frame", "targets_offset", "targets_velocity")


@dataclass(frozen=True)
class ArrayRecording:
    """One recording as arrays on disk, memory-mapped."""

    name: str
    spectra: np.ndarray  #: log power in dB [T, 352], float16
    targets: tuple[np.ndarray, ...]  #: [T, 88] each, in the order of the heads
    pedal: np.ndarray | None = None  #: [n, 2]: presses, down and up (s); None: not known


def open_arrays(folder: Path, takes: Callable[[str], bool]) -> list[ArrayRecording]:
    """The recordings in a folder made by ``prepare --arrays`` whose names ``takes`` accepts.

    Raises ValueError, naming the file, for a folder without arrays, arrays of another front end, and arrays
    that are missing, broken or of different lengths.
    """
    if not (folder / SPECTRA).is_dir():
        raise ValueError(
            f"{folder}: expected arrays ({SPECTRA} and {', '.join(TARGETS)}), found none; "
            "run hppnet prepare with --arrays, or set arrays = false"
        )
    check_front_end(folder)
    paths = arrays_in(folder, takes)
    if not paths:
        raise ValueError(f"{folder / SPECTRA}: expected arrays (.npy) of the names wanted, found none")
    return [_open(folder, path.stem) for path in paths]


def arrays_in(folder: Path, takes: Callable[[str], bool]) -> list[Path]:
    """The files of spectra whose names ``takes`` accepts, sorted by name."""
    return sorted(path for path in (folder / SPECTRA).glob("*.npy") if takes(path.stem))


def _open(folder: Path, name: str) -> ArrayRecording:
    spectra = _load(folder / SPECTRA / f"{name}.npy", SPECTRA)
    wanted = []
    for kind in HEADS_OF:
        path = folder / kind / f"{name}.npy"
        wanted.append(_load(path, kind))
        if len(wanted[-1]) != len(spectra):
            raise ValueError(
                f"{path}: expected {len(spectra)} frames, as many as in {SPECTRA}, found {len(wanted[-1])}"
            )
    return ArrayRecording(name, spectra, tuple(wanted), read_presses(folder / f"{name}{PEDAL_SUFFIX}"))


def _load(path: Path, kind: str) -> np.ndarray:
    """An array [T, width] of a kind. Raises ValueError, naming the file, for any other file."""
    dtype, width = KINDS[kind]
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        said = "there is none" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise ValueError(f"{path}: expected an array ({said}); run hppnet prepare --arrays again") from error
    if array.dtype != dtype or array.ndim != 2 or array.shape[1] != width or not len(array):
        raise ValueError(
            f"{path}: expected {np.dtype(dtype).name} [frames, {width}], got {array.dtype.name} {array.shape}"
        )
    return array


class ArrayExcerpts:
    """Draws excerpts of ``frames`` frames from several sources, in proportion to their weights.

    With ``taught``, batches hold the same spectra for a teacher.
    """

    def __init__(
        self, sources: Sequence[Sequence[ArrayRecording]], weights: Sequence[float], frames: int, taught: bool
    ) -> None:
        self.sources, self.frames, self.taught = sources, frames, taught
        self._odds = np.asarray(weights) / np.sum(weights)
        lengths = [np.array([len(p.spectra) for p in recordings], dtype=float) for recordings in sources]
        self._lengths = [each / each.sum() for each in lengths]

    def batch(self, seed: int, step: int, places: range) -> Batch:
        """The excerpts at the given places of a step's batch."""
        drawn = [self.draw(np.random.default_rng([seed, step, place])) for place in places]
        return Batch(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draws one excerpt: the fields of a :class:`.dataset.Batch` without their first dimension.

        After the recording's end, the excerpt holds silence and no notes.
        """
        source = int(rng.choice(len(self.sources), p=self._odds))
        lengths = self._lengths[source]
        recording = self.sources[source][rng.choice(len(lengths), p=lengths)]
        start = int(rng.integers(max(1, len(recording.spectra) - self.frames + 1)))
        spectra = _cut(recording.spectra, start, self.frames, FLOOR_DB)
        wanted = torch.stack([_cut(array, start, self.frames, 0.0) for array in recording.targets], dim=-1)
        presses = None if recording.pedal is None else recording.pedal - start * FRAME_S
        pedal = torch.from_numpy(pedal_target(presses, self.frames))
        return (
            spectra,
            wanted,
            pedal,
            spectra if self.taught else spectra.new_zeros(0),
            torch.ones(self.frames),
        )


def _cut(array: np.ndarray, start: int, frames: int, fill: float) -> Tensor:
    """Rows of an array [T, n] as float32 [frames, n], with ``fill`` after its end."""
    inside = np.asarray(array[start : start + frames], dtype=np.float32)
    return torch.from_numpy(np.pad(inside, ((0, frames - len(inside)), (0, 0)), constant_values=fill))
