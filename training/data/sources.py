"""The data of a run: opens its folders and yields its batches in order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from ..settings import DataSource, TrainingSettings
from .arrays import ArrayExcerpts, ArrayRecording, open_arrays
from .dataset import Batch, Ends, Excerpts, TrainingRecording, delayed, open_recordings
from .rendering_cache import Renderings
from .run_files import Pair, find_run_files

ALL_STEPS = 2**40  #: limit of a run of given minutes: its number of steps is not known yet


@dataclass(frozen=True)
class TrainingData:
    """The recordings of a run."""

    trained: list[list[TrainingRecording] | Renderings]  #: recordings to train on, for each source with sound
    note_ends: str  #: where all labels end a note: keys or sounding
    digests: dict[str, str] = field(default_factory=dict)  #: digest of each source's files, by its title
    recorded: list[TrainingRecording] = field(default_factory=list)  #: held out and not rendered
    arrays: list[list[ArrayRecording]] = field(default_factory=list)  #: recordings of each source with arrays

    @property
    def kept(self) -> list[TrainingRecording]:
        """The recordings for validation and thresholds; those not rendered yet are rendered."""
        rendered = [
            recording for one in self.trained if isinstance(one, Renderings) for recording in one.kept()
        ]
        return [*self.recorded, *rendered]

    @property
    def renderings(self) -> list[Renderings]:
        return [one for one in self.trained if isinstance(one, Renderings)]

    def at(self, step: int) -> list[list[TrainingRecording]]:
        """The recordings that a step draws from, source by source."""
        return [one.at(step) if isinstance(one, Renderings) else one for one in self.trained]


@lru_cache(maxsize=1)
def gather(settings: TrainingSettings) -> TrainingData:
    """Opens all folders of a run; the first time, decodes every recording.

    Raises ValueError, naming the folder, for one that is missing or cannot be trained on.
    """
    files = find_run_files(settings)
    trained = [
        of_one if isinstance(of_one, Renderings) else _open(source, of_one, settings)
        for source, of_one in zip(settings.sources, files.trained, strict=True)
    ]
    kept = [recording for source, pairs in files.kept for recording in _open(source, pairs, settings)]
    arrays = [
        open_arrays(settings.path(source.folder), source.takes)
        for source in settings.sources
        if source.arrays
    ]
    return TrainingData(trained, files.note_ends, files.digests, kept, arrays)


def _open(source: DataSource, pairs: Sequence[Pair], settings: TrainingSettings) -> list[TrainingRecording]:
    if not pairs:
        return []
    recordings = open_recordings(pairs, cache_of(settings.path(source.folder), Path(settings.cache)))
    for recording, (_, labels) in zip(recordings, pairs, strict=True):
        if not len(recording.notes):
            raise ValueError(f"{labels}: expected notes, found none; leave the recording out")
    return (
        [delayed(recording, source.delay_ms / 1000) for recording in recordings]
        if source.delay_ms
        else recordings
    )


def cache_of(folder: Path, cache: Path) -> Path:
    """The cache folder of a folder's decoded sound: named after it, unless another folder has that name."""
    name = str(folder.resolve())
    place = cache / folder.name
    origin = place / "origin.txt"
    if origin.exists() and origin.read_text(encoding="utf-8") != name:
        place = cache / f"{folder.name}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        origin = place / "origin.txt"
    place.mkdir(parents=True, exist_ok=True)
    origin.write_text(name, encoding="utf-8")
    return place


class Steps(Dataset[Batch]):
    """Maps a step's number to this process's part of the step's batch."""

    def __init__(self, settings: TrainingSettings, rank: int = 0, processes: int = 1) -> None:
        self._settings, self._rank, self._processes = settings, rank, processes
        self._excerpts: tuple[object, Excerpts | ArrayExcerpts] | None = None

    def __getitem__(self, step: int) -> Batch:
        how = self._settings.at(step)
        return self._drawn_by(how, step).batch(how.seed, step, share(how.batch, self._rank, self._processes))

    def _drawn_by(self, how: TrainingSettings, step: int) -> Excerpts | ArrayExcerpts:
        """The excerpts of a step, reused until the phase or the number of renderings changes."""
        data = gather(self._settings)
        counts = tuple(one.count(step) for one in data.renderings)
        known = (how, counts)
        if self._excerpts is None or self._excerpts[0] != known:
            self._excerpts = known, _excerpts(how, self._settings, data, step)
        return self._excerpts[1]


def _excerpts(
    how: TrainingSettings, settings: TrainingSettings, data: TrainingData, step: int
) -> Excerpts | ArrayExcerpts:
    drawn = {source.title: source for source in how.sources}
    if data.arrays:
        all_of_them = zip(settings.sources, data.arrays, strict=True)
        weighted = [(drawn[source.title].weight, one) for source, one in all_of_them if source.title in drawn]
        return ArrayExcerpts(
            [one for _, one in weighted], [w for w, _ in weighted], how.frames, bool(how.teacher)
        )
    every = zip(settings.sources, data.at(step), strict=True)
    of_each = [(drawn[source.title], recordings) for source, recordings in every if source.title in drawn]
    said = how.augmentation
    rooms, noises = (str(settings.path(name)) if name else "" for name in (said.rooms, said.noises))
    return Excerpts(
        [recordings for _, recordings in of_each],
        [source.weight for source, _ in of_each],
        how.frames,
        replace(said, rooms=rooms, noises=noises),
        bool(how.teacher),
        [Ends(source.offset_weight, source.pedalled_weight) for source, _ in of_each],
    )


def share(batch: int, rank: int, processes: int) -> range:
    """Which places of the batch a process draws. Raises ValueError where they cannot be shared evenly."""
    if batch % processes:
        raise ValueError(f"the batch ({batch}) must be a multiple of the number of processes ({processes})")
    each = batch // processes
    return range(rank * each, (rank + 1) * each)


def most_steps(settings: TrainingSettings) -> int:
    """The largest number of steps that a run may take."""
    return ALL_STEPS if settings.minutes else settings.schedule.steps


def batches(
    settings: TrainingSettings, first: int, pin: bool = False, rank: int = 0, processes: int = 1
) -> DataLoader[Batch]:
    """The batches of all steps from ``first`` on, in order; ``workers`` processes draw them ahead.

    A worker receives the settings only and opens the folders itself, unless it was forked.
    """
    return DataLoader(
        Steps(settings, rank, processes),
        batch_size=None,
        sampler=range(first, most_steps(settings)),
        num_workers=settings.workers,
        pin_memory=pin,
        worker_init_fn=_one_core,
    )


def _one_core(_: int) -> None:
    torch.set_num_threads(1)
