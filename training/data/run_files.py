"""Finds the files of a run and splits them into training and held-out files; decodes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from ...model.checkpoint import identity
from ..settings import WEIGHTS, DataSource, TrainingSettings, read_weights, weights_of
from .arrays import arrays_in
from .dataset import recordings_in
from .labels import note_ends_of
from .rendering_cache import Renderings, renderings
from .sounds import sounds_in

Pair = tuple[Path, Path]  #: a recording and its labels


@dataclass(frozen=True)
class RunFiles:
    """The files of a run."""

    trained: list[list[Pair] | Renderings]  #: recordings with labels, or MIDI, for each source
    kept: list[tuple[DataSource, list[Pair]]]  #: held out of each source, then each folder to validate on
    note_ends: str
    digests: dict[str, str]  #: of each source's files, by its title, and of all else that steps depend on


def find_run_files(settings: TrainingSettings) -> RunFiles:
    """Finds the files of a run. Raises ValueError, naming a folder or checkpoint that cannot be used."""
    for name in ("rooms", "noises"):
        check_folder(settings.path(getattr(settings.augmentation, name) or "."), f"augmentation.{name}")
    ends = _note_ends([*settings.sources, *settings.validation], settings)
    trained: list[list[Pair] | Renderings] = []
    kept: list[tuple[DataSource, list[Pair]]] = []
    digests: dict[str, str] = {}
    for source in settings.sources:
        of_one, held, files = _of(source, settings, ends)
        trained.append(of_one)
        kept.append((source, held))
        digests[source.title] = files
    kept += [(source, recordings(source, settings)) for source in settings.validation]
    for name in ("rooms", "noises"):
        if folder := getattr(settings.augmentation, name):
            digests[f"augmentation.{name}"] = _digest(sounds_in(settings.path(folder)))
    for name in WEIGHTS:
        if given := getattr(settings, name):
            digests[name] = identity(read_weights(weights_of(given), name).path)
    return RunFiles(trained, kept, ends, digests)


def _of(
    source: DataSource, settings: TrainingSettings, ends: str
) -> tuple[list[Pair] | Renderings, list[Pair], str]:
    """A source's files to train on, its held-out recordings, and a digest of both."""
    folder = settings.path(source.folder)
    check_folder(folder, "a source")
    if source.arrays:
        return [], [], _digest(arrays_in(folder, source.takes))
    if renders(source, settings):
        found, how = renderings(source, settings, ends)
        trained, held = split([one.name for one in found], source, settings)
        parts = [list(compress(found, part)) for part in (trained, held)]
        return Renderings(source, parts[0], parts[1], ends), [], _digest([one.midi for one in found], how)
    pairs = recordings(source, settings)
    trained, held = split([sound.stem for sound, _ in pairs], source, settings)
    files = [path for pair in pairs for path in pair]
    return list(compress(pairs, trained)), list(compress(pairs, held)), _digest(files)


def recordings(source: DataSource, settings: TrainingSettings) -> list[Pair]:
    """The recordings that a source takes, each with its labels. Raises ValueError where there is none."""
    folder = settings.path(source.folder)
    check_folder(folder, "a source")
    found = [pair for pair in recordings_in(folder) if source.takes(pair[0].stem)]
    if not found:
        raise ValueError(f"{folder}: expected sound files with labels (.tsv, .mid) beside them, found none")
    return found


def renders(source: DataSource, settings: TrainingSettings) -> bool:
    """Whether a source is still to be rendered: ``hppnet prepare pack`` may have rendered it."""
    if source.render is None:
        return False
    return not recordings_in(settings.path(source.folder))


def split(names: list[str], source: DataSource, settings: TrainingSettings) -> tuple[list[bool], list[bool]]:
    """Which names to train on, and which to hold out and use: two lists, an entry for each name.

    Held out are ``source.kept``, or every ``held_out``-th name and at least one. At most ``held_out_most`` of
    them are used. Raises ValueError where nothing is left to train on, or a name in ``kept`` is missing.
    """
    every, most = settings.held_out, settings.held_out_most
    held = [False] * len(names)
    if settings.validation:
        pass
    elif source.kept:
        if unknown := [name for name in source.kept if name not in names]:
            raise ValueError(
                f"{source.folder}: expected recordings of the names in kept, found no {', '.join(unknown)}"
            )
        held = [name in source.kept for name in names]
    elif every and len(names) > 1:
        held = [n % every == every - 1 for n in range(len(names))]
        held[-1] |= not any(held)
    if all(held):
        raise ValueError(f"{source.folder}: all its recordings are kept back, raise held_out or set it to 0")
    used = [is_held and (not most or sum(held[:n]) < most) for n, is_held in enumerate(held)]
    return [not one for one in held], used


def _digest(files: Iterable[Path], *more: str) -> str:
    """SHA-256 over names and sizes, and over the contents of labels and performances."""
    hasher = hashlib.sha256("\n".join(more).encode())
    for path in sorted(files, key=lambda path: path.name):
        content = b"" if path.suffix.lower() not in (".tsv", ".mid", ".midi", ".pedal") else path.read_bytes()
        hasher.update(f"{path.name}\t{path.stat().st_size}\t{hashlib.sha256(content).hexdigest()}\n".encode())
    return hasher.hexdigest()


def check_folder(folder: Path, what: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder ({what}), found none")


def _note_ends(sources: Sequence[DataSource], settings: TrainingSettings) -> str:
    said = {source.folder: note_ends_of(settings.path(source.folder)) for source in sources}
    if len(set(said.values())) > 1:
        each = ", ".join(f"{folder}: {ends}" for folder, ends in said.items())
        raise ValueError(
            f"expected the same note ends in all folders (hppnet prepare --note-ends), got {each}"
        )
    return next(iter(said.values()))
