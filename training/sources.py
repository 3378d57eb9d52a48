"""What a run is taught from: its folders opened, its recordings shared out, its batches in order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from .dataset import Batch, Excerpts, Piece, delayed, open_folder
from .prepared import note_ends_of
from .settings import Settings, Source

ALL_STEPS = 2**40  #: of a run that is given minutes: it is not known yet how many they hold


@dataclass(frozen=True)
class Material:
    """The recordings of a run."""

    trained: list[list[Piece]]  #: of each source, those to train on
    kept: list[Piece]  #: those for validation and thresholds
    note_ends: str  #: what all labels call the end of a note: keys or sounding


@lru_cache(maxsize=1)
def gather(settings: Settings) -> Material:
    """Opens all folders of a run; decodes, the first time, every recording.

    Raises ValueError, naming the folder, for one that is missing or cannot be trained on.
    """
    for name in ("rooms", "noises"):
        _check_folder(getattr(settings.augmentation, name) or ".", f"augmentation.{name}")
    ends = _note_ends([*settings.sources, *settings.validation])
    opened = [_open(source, settings) for source in settings.sources]
    if settings.validation:
        kept = [piece for source in settings.validation for piece in _open(source, settings)]
        return Material(opened, kept, ends)
    parts = [split(pieces, settings.held_out) for pieces in opened]
    for (trained, _), source in zip(parts, settings.sources, strict=True):
        if not trained:
            raise ValueError(
                f"{source.folder}: all its recordings are kept back, raise held_out or set it to 0"
            )
    return Material([trained for trained, _ in parts], [piece for _, kept in parts for piece in kept], ends)


def split(pieces: list[Piece], held_out: int) -> tuple[list[Piece], list[Piece]]:
    """Pieces to train on, and every ``held_out``-th, kept back (none with 0)."""
    if not held_out:
        return pieces, []
    kept = [n % held_out == held_out - 1 for n in range(len(pieces))]
    trained = [piece for piece, k in zip(pieces, kept, strict=True) if not k]
    return trained, [piece for piece, k in zip(pieces, kept, strict=True) if k]


def _open(source: Source, settings: Settings) -> list[Piece]:
    folder = Path(source.folder)
    _check_folder(source.folder, "a source")
    pieces = open_folder(folder, _cache_of(folder, Path(settings.cache)))
    for piece in pieces:
        if not len(piece.notes):
            raise ValueError(
                f"{folder / piece.name}.tsv: expected notes, found none; leave the recording out"
            )
    return [delayed(piece, source.delay_ms / 1000) for piece in pieces] if source.delay_ms else pieces


def _cache_of(folder: Path, cache: Path) -> Path:
    """Where a folder's decoded sound is kept: under its name, unless another folder has taken that."""
    name = str(folder.resolve())
    place = cache / folder.name
    origin = place / "origin.txt"
    if origin.exists() and origin.read_text(encoding="utf-8") != name:
        place = cache / f"{folder.name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        origin = place / "origin.txt"
    place.mkdir(parents=True, exist_ok=True)
    origin.write_text(name, encoding="utf-8")
    return place


def _check_folder(folder: str, what: str) -> None:
    if not Path(folder).is_dir():
        raise ValueError(f"{folder}: expected a folder ({what}), found none")


def _note_ends(sources: Sequence[Source]) -> str:
    said = {source.folder: note_ends_of(Path(source.folder)) for source in sources}
    if len(set(said.values())) > 1:
        each = ", ".join(f"{folder}: {ends}" for folder, ends in said.items())
        raise ValueError(f"expected labels whose notes end alike (hppnet prepare --note-ends), got {each}")
    return next(iter(said.values()))


class Steps(Dataset[Batch]):
    """A step's number to what this process is taught in it: the given places of the batch."""

    def __init__(self, settings: Settings, places: range) -> None:
        self._settings, self._places = settings, places
        self._excerpts: Excerpts | None = None

    def __getitem__(self, step: int) -> Batch:
        if self._excerpts is None:
            self._excerpts = _excerpts(self._settings)
        return self._excerpts.batch(self._settings.seed, step, self._places)


def _excerpts(settings: Settings) -> Excerpts:
    weights = [source.weight for source in settings.sources]
    trained = gather(settings).trained
    return Excerpts(trained, weights, settings.frames, settings.augmentation, bool(settings.teacher))


def batches(settings: Settings, places: range, first: int, pin: bool) -> DataLoader[Batch]:
    """The batches of all steps from ``first`` on, in order; ``workers`` processes draw them ahead.

    Only settings and places go to a worker: it opens the folders itself, or has them from a fork.
    """
    return DataLoader(
        Steps(settings, places),
        batch_size=None,
        sampler=range(first, ALL_STEPS if settings.minutes else settings.schedule.steps),
        num_workers=settings.workers,
        pin_memory=pin,
        worker_init_fn=_one_core,
    )


def _one_core(_: int) -> None:
    torch.set_num_threads(1)
