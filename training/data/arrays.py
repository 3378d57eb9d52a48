"""A source whose spectra and targets lie there as arrays (``hppnet prepare --arrays``): the paper's way.

Nothing of the sound is varied, nor can be: an excerpt is cut out of the arrays as they are. It depends only
on (seed, step, place in the batch), as those that :mod:`.dataset` draws from sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..model.frontend import FLOOR_DB
from ..model.timebase import FRAME_S
from .dataset import Batch
from .labels import pedal_target
from .pedal_table import PEDAL_SUFFIX, read_presses
from .prepare.arrays import KINDS, check_front_end

SPECTRA, *TARGETS = KINDS
#: The targets in the order of the heads.
HEADS_OF = ("targets_onset", "targets_frame", "targets_offset", "targets_velocity")


@dataclass(frozen=True)
class ArrayPiece:
    """One recording as arrays on disk, memory-mapped."""

    name: str
    spectra: np.ndarray  #: log power in dB [T, 352], float16
    targets: tuple[np.ndarray, ...]  #: [T, 88] each, in the order of the heads
    pedal: np.ndarray | None = None  #: [n, 2]: presses, down and up (s); None: not known


def open_arrays(folder: Path, takes: Callable[[str], bool]) -> list[ArrayPiece]:
    """The recordings, of the names that ``takes`` takes, of a folder that ``prepare --arrays`` has made.

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
    """The files of spectra, sorted by name."""
    return sorted(path for path in (folder / SPECTRA).glob("*.npy") if takes(path.stem))


def _open(folder: Path, name: str) -> ArrayPiece:
    spectra = _load(folder / SPECTRA / f"{name}.npy", SPECTRA)
    wanted = []
    for kind in HEADS_OF:
        path = folder / kind / f"{name}.npy"
        wanted.append(_load(path, kind))
        if len(wanted[-1]) != len(spectra):
            raise ValueError(
                f"{path}: expected {len(spectra)} frames, as many as in {SPECTRA}, found {len(wanted[-1])}"
            )
    return ArrayPiece(name, spectra, tuple(wanted), read_presses((folder / name).with_suffix(PEDAL_SUFFIX)))


def _load(path: Path, kind: str) -> np.ndarray:
    """An array [T, width] of a kind. Raises ValueError, naming it, for what is none."""
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
    """Cuts excerpts of ``frames`` frames out of several sources, each as likely as its weight says.

    ``taught``: a teacher is to be given the same spectra.
    """

    def __init__(
        self, sources: Sequence[Sequence[ArrayPiece]], weights: Sequence[float], frames: int, taught: bool
    ) -> None:
        self.sources, self.frames, self.taught = sources, frames, taught
        self._odds = np.asarray(weights) / np.sum(weights)
        lengths = [np.array([len(p.spectra) for p in pieces], dtype=float) for pieces in sources]
        self._lengths = [each / each.sum() for each in lengths]

    def batch(self, seed: int, step: int, places: range) -> Batch:
        """The given places of a step's batch."""
        drawn = [self.draw(np.random.default_rng([seed, step, place])) for place in places]
        return Batch(*(torch.stack(parts) for parts in zip(*drawn, strict=True)))

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """One excerpt, the parts of a :class:`.dataset.Batch` without its first dimension.

        After a recording's end come silence and no notes.
        """
        source = int(rng.choice(len(self.sources), p=self._odds))
        lengths = self._lengths[source]
        piece = self.sources[source][rng.choice(len(lengths), p=lengths)]
        start = int(rng.integers(max(1, len(piece.spectra) - self.frames + 1)))
        spectra = _cut(piece.spectra, start, self.frames, FLOOR_DB)
        wanted = torch.stack([_cut(array, start, self.frames, 0.0) for array in piece.targets], dim=-1)
        presses = None if piece.pedal is None else piece.pedal - start * FRAME_S
        pedal = torch.from_numpy(pedal_target(presses, self.frames))
        return (
            spectra,
            wanted,
            pedal,
            spectra if self.taught else spectra.new_zeros(0),
            torch.ones(self.frames),
        )


def _cut(array: np.ndarray, start: int, frames: int, fill: float) -> Tensor:
    """Rows of [T, n] as float32 [frames, n]; ``fill`` after its end."""
    inside = np.asarray(array[start : start + frames], dtype=np.float32)
    return torch.from_numpy(np.pad(inside, ((0, frames - len(inside)), (0, 0)), constant_values=fill))
