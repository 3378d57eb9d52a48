"""What a run is trained on: its folders opened, its recordings shared out, its batches in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from .array_source import ArrayExcerpts, ArrayPiece, arrays_in, open_arrays
from .dataset import Batch, Ends, Excerpts, Piece, delayed, open_recordings, recordings_in
from .prepare.rendered import Rendered
from .prepared import note_ends_of
from .renderings import Renderings, renderings
from .settings import Settings, Source
from .sound_files import sounds_in

ALL_STEPS = 2**40  #: of a run that is given minutes: it is not known yet how many they hold

One = TypeVar("One", Piece, Rendered)


@dataclass(frozen=True)
class Material:
    """The recordings of a run."""

    trained: list[list[Piece] | Renderings]  #: of each source with sound, those to train on
    note_ends: str  #: what all labels call the end of a note: keys or sounding
    digests: dict[str, str] = field(default_factory=dict)  #: of each source's files, by its title
    recorded: list[Piece] = field(default_factory=list)  #: kept back and not rendered
    arrays: list[list[ArrayPiece]] = field(default_factory=list)  #: of each source, where these hold arrays

    @property
    def kept(self) -> list[Piece]:
        """The recordings for validation and thresholds; those not rendered yet are rendered."""
        rendered = [piece for one in self.trained if isinstance(one, Renderings) for piece in one.kept()]
        return [*self.recorded, *rendered]

    @property
    def renderings(self) -> list[Renderings]:
        return [one for one in self.trained if isinstance(one, Renderings)]

    def at(self, step: int) -> list[list[Piece]]:
        """Of each source the recordings that a step draws from."""
        return [one.at(step) if isinstance(one, Renderings) else one for one in self.trained]


@lru_cache(maxsize=1)
def gather(settings: Settings) -> Material:
    """Opens all folders of a run; decodes, the first time, every recording.

    Raises ValueError, naming the folder, for one that is missing or cannot be trained on.
    """
    for name in ("rooms", "noises"):
        folder = getattr(settings.augmentation, name)
        _check_folder(settings.path(folder or "."), f"augmentation.{name}")
    ends = _note_ends([*settings.sources, *settings.validation], settings)
    trained: list[list[Piece] | Renderings] = []
    kept: list[Piece] = []
    arrays: list[list[ArrayPiece]] = []
    digests: dict[str, str] = {}
    for source in settings.sources:
        if source.arrays:
            folder = settings.path(source.folder)
            _check_folder(folder, "a source")
            arrays.append(open_arrays(folder, source.takes))
            digests[source.title] = _digest(arrays_in(folder, source.takes))
        elif renders(source, settings):
            found, digest = renderings(source, settings, ends)
            parts = split(found, source, settings)
            trained.append(Renderings(source, *parts, ends))
            digests[source.title] = _digest([r.midi for r in found], digest)
        else:
            pieces, held = split(_open(source, settings), source, settings)
            trained.append(pieces)
            kept += held
            files = [path for pair in recordings(source, settings) for path in pair]
            digests[source.title] = _digest(files)
    for source in settings.validation:
        kept += _open(source, settings)
    for name in ("rooms", "noises"):
        if folder := getattr(settings.augmentation, name):
            digests[f"augmentation.{name}"] = _digest(sounds_in(settings.path(folder)))
    return Material(trained, ends, digests, kept, arrays)


def recordings(source: Source, settings: Settings) -> list[tuple[Path, Path]]:
    """The recordings that a source takes, each with its labels. Raises ValueError where there is none."""
    folder = settings.path(source.folder)
    _check_folder(folder, "a source")
    found = [pair for pair in recordings_in(folder) if source.takes(pair[0].stem)]
    if not found:
        raise ValueError(f"{folder}: expected sound files with labels (.tsv, .mid) beside them, found none")
    return found


def renders(source: Source, settings: Settings) -> bool:
    """Whether a source is rendered here: ``hppnet prepare pack`` may have done so before."""
    if source.render is None:
        return False
    folder = settings.path(source.folder)
    _check_folder(folder, "a source")
    return not recordings_in(folder)


def split(found: list[One], source: Source, settings: Settings) -> tuple[list[One], list[One]]:
    """What to train on, and what is kept back: ``source.kept``, or every ``held_out``-th and at least one.

    The second has at most ``held_out_most``. Raises ValueError where nothing is left to train on.
    """
    every, most = settings.held_out, settings.held_out_most
    if settings.validation:
        return found, []
    if source.kept:
        held = [one for one in found if one.name in source.kept]
    elif every and len(found) > 1:
        held = found[every - 1 :: every] or found[-1:]
    else:
        held = []
    trained = [one for one in found if one not in held]
    if not trained:
        raise ValueError(f"{source.folder}: all its recordings are kept back, raise held_out or set it to 0")
    return trained, held[:most] if most else held


def _open(source: Source, settings: Settings) -> list[Piece]:
    folder = settings.path(source.folder)
    pairs = recordings(source, settings)
    pieces = open_recordings(pairs, cache_of(folder, Path(settings.cache)))
    for piece, (_, labels) in zip(pieces, pairs, strict=True):
        if not len(piece.notes):
            raise ValueError(f"{labels}: expected notes, found none; leave the recording out")
    return [delayed(piece, source.delay_ms / 1000) for piece in pieces] if source.delay_ms else pieces


def cache_of(folder: Path, cache: Path) -> Path:
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


def _digest(files: Iterable[Path], *more: str) -> str:
    """SHA-256 over names, sizes and, of labels and performances, contents."""
    hasher = hashlib.sha256("\n".join(more).encode())
    for path in sorted(files, key=lambda path: path.name):
        content = b"" if path.suffix.lower() not in (".tsv", ".mid", ".midi", ".pedal") else path.read_bytes()
        hasher.update(f"{path.name}\t{path.stat().st_size}\t{hashlib.sha256(content).hexdigest()}\n".encode())
    return hasher.hexdigest()


def _check_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder ({what}), found none")


def _note_ends(sources: Sequence[Source], settings: Settings) -> str:
    said = {source.folder: note_ends_of(settings.path(source.folder)) for source in sources}
    if len(set(said.values())) > 1:
        each = ", ".join(f"{folder}: {ends}" for folder, ends in said.items())
        raise ValueError(f"expected labels whose notes end alike (hppnet prepare --note-ends), got {each}")
    return next(iter(said.values()))


class Steps(Dataset[Batch]):
    """A step's number to the part of its batch that this process draws: the given share of its places."""

    def __init__(self, settings: Settings, rank: int = 0, processes: int = 1) -> None:
        self._settings, self._rank, self._processes = settings, rank, processes
        self._excerpts: tuple[object, Excerpts | ArrayExcerpts] | None = None

    def __getitem__(self, step: int) -> Batch:
        how = self._settings.at(step)
        return self._drawn_by(how, step).batch(how.seed, step, share(how.batch, self._rank, self._processes))

    def _drawn_by(self, how: Settings, step: int) -> Excerpts | ArrayExcerpts:
        """The same for as long as neither the phase nor the number of renderings changes."""
        material = gather(self._settings)
        counts = tuple(one.count(step) for one in material.renderings)
        known = (how, counts)
        if self._excerpts is None or self._excerpts[0] != known:
            self._excerpts = known, _excerpts(how, self._settings, material, step)
        return self._excerpts[1]


def _excerpts(how: Settings, settings: Settings, material: Material, step: int) -> Excerpts | ArrayExcerpts:
    drawn = {source.title: source for source in how.sources}
    if material.arrays:
        all_of_them = zip(settings.sources, material.arrays, strict=True)
        weighted = [(drawn[source.title].weight, one) for source, one in all_of_them if source.title in drawn]
        return ArrayExcerpts(
            [one for _, one in weighted], [w for w, _ in weighted], how.frames, bool(how.teacher)
        )
    every = zip(settings.sources, material.at(step), strict=True)
    of_each = [(drawn[source.title], pieces) for source, pieces in every if source.title in drawn]
    places = {
        name: str(settings.path(folder))
        for name in ("rooms", "noises")
        if (folder := getattr(how.augmentation, name))
    }
    return Excerpts(
        [pieces for _, pieces in of_each],
        [source.weight for source, _ in of_each],
        how.frames,
        replace(how.augmentation, **places),
        bool(how.teacher),
        [Ends(source.offset_weight, source.pedalled_weight) for source, _ in of_each],
    )


def share(batch: int, rank: int, processes: int) -> range:
    """Which places of the batch a process draws. Raises ValueError where they cannot be shared evenly."""
    if batch % processes:
        raise ValueError(f"the batch ({batch}) must divide by the number of processes ({processes})")
    each = batch // processes
    return range(rank * each, (rank + 1) * each)


def batches(
    settings: Settings, first: int, pin: bool = False, rank: int = 0, processes: int = 1
) -> DataLoader[Batch]:
    """The batches of all steps from ``first`` on, in order; ``workers`` processes draw them ahead.

    Only settings go to a worker: it opens the folders itself, or has them from a fork.
    """
    return DataLoader(
        Steps(settings, rank, processes),
        batch_size=None,
        sampler=range(first, ALL_STEPS if settings.minutes else settings.schedule.steps),
        num_workers=settings.workers,
        pin_memory=pin,
        worker_init_fn=_one_core,
    )


def _one_core(_: int) -> None:
    torch.set_num_threads(1)
