"""Finds recordings with label files of the same name, or MIDI performances alone, in folders at any depth."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...model.notes import Note
from ..data.labels import REPORT
from ..data.performances import MIDI_SUFFIXES, pedal_of, performed
from ..data.rendering import Choices, Rendered
from ..data.sounds import Take, resampled
from .convert import PreparationOutcome, RecordingSource

if TYPE_CHECKING:
    from ..data.sounds import Opener


#: Reads a piece's notes from its label files. Must be a function of a module, so that it can be pickled.
Reader = Callable[[tuple[Path, ...], str], list[Note]]


@dataclass(frozen=True)
class Recorded:
    """A recording and its label files, for ``read`` to read."""

    name: str
    folder: Path
    sound: Path
    labels: tuple[Path, ...]
    read: Reader
    open_recording: Opener

    def take(self, note_ends: str) -> Take:
        if not self.sound.is_file():
            raise ValueError(f"there is no {self.sound}")
        return Take(self.read(self.labels, note_ends), self._blocks(), pedal_of(self.labels))

    def about(self) -> dict[str, object]:
        return {"sound": str(self.sound), "labels": str(self.labels[0])}

    def _blocks(self) -> Iterator[np.ndarray]:
        with self.open_recording(self.sound) as recording:
            yield from resampled(recording.blocks(), recording.sample_rate)


@dataclass(frozen=True)
class FolderContents:
    """The pieces of a folder, and why other files make none."""

    sources: list[RecordingSource]
    lonely: list[PreparationOutcome]


def find_pairs(
    folder: Path,
    out: Path,
    open_recording: Opener,
    sound_suffixes: Collection[str],
    label_suffixes: Sequence[str] = MIDI_SUFFIXES,
    read: Reader = performed,
) -> FolderContents:
    """Pairs recordings with label files of the same name and folder. Suffixes are lower case with their dot.

    Hidden files are ignored, as are label files without a recording unless they are MIDI or ``.tsv`` (a
    ``README.txt`` is no label). Raises ValueError for a folder without any pair.
    """
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in walk(folder, out):
        if path.suffix.lower() in (*sound_suffixes, *label_suffixes):
            groups[path.with_suffix("")].append(path)
    names = names_of(sorted(groups), folder)
    sources: list[RecordingSource] = []
    lonely = []
    for stem in sorted(groups):
        sounds = [path for path in groups[stem] if path.suffix.lower() in sound_suffixes]
        labels = [path for path in groups[stem] if path not in sounds]
        labels.sort(key=lambda path: label_suffixes.index(path.suffix.lower()))
        if len(sounds) == 1 and labels:
            sources.append(Recorded(names[stem], out, sounds[0], tuple(labels), read, open_recording))
        elif why := _why_none(sounds, labels, label_suffixes):
            lonely.append(PreparationOutcome(names[stem], out, why=why))
    if not sources:
        kinds = ", ".join(label_suffixes)
        raise ValueError(f"{folder}: expected recordings with labels of the same name ({kinds}), found none")
    return FolderContents(sources, lonely)


def walk(folder: Path, out: Path) -> Iterator[Path]:
    """All files of a folder, at any depth, sorted, without hidden files and prepared folders.

    Raises ValueError if ``folder`` is no folder, or if ``out`` holds some of these files.
    """
    check_folder(folder)
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not Path(parent, name, REPORT).exists()
        )
        if files and Path(parent).resolve() == out.resolve():
            raise ValueError(f"{out}: expected another folder for the results than the sources are in")
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def check_folder(folder: Path) -> None:
    """Raises ValueError if ``folder`` is no folder."""
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: expected a folder, {'this is a file' if folder.exists() else 'there is none'}"
        )


def names_of(stems: Sequence[Path], folder: Path) -> dict[Path, str]:
    """A name for each file: its own, or its path joined by "_" if two have the same (in either case)."""
    often = Counter(stem.name.casefold() for stem in stems)
    return {
        stem: stem.name if often[stem.name.casefold()] == 1 else "_".join(stem.relative_to(folder).parts)
        for stem in stems
    }


def _why_none(sounds: list[Path], labels: list[Path], label_suffixes: Sequence[str]) -> str | None:
    if len(sounds) > 1:
        return f"expected one recording of this name, got {' and '.join(path.name for path in sounds)}"
    if sounds:
        return f"{sounds[0]} has no labels of the same name ({' or '.join(label_suffixes)})"
    named = [path for path in labels if path.suffix.lower() in (*MIDI_SUFFIXES, ".tsv")]
    return f"{named[0]} has no recording of the same name" if named else None


def find_performances(folder: Path, out: Path, choices: Choices) -> FolderContents:
    """Every MIDI file of a folder, at any depth. Raises ValueError where there is none."""
    paths = [path for path in walk(folder, out) if path.suffix.lower() in MIDI_SUFFIXES]
    if not paths:
        raise ValueError(f"{folder}: expected MIDI files (.mid, .midi), found none")
    names = names_of([path.with_suffix("") for path in paths], folder)
    return FolderContents([Rendered(names[path.with_suffix("")], out, path, choices) for path in paths], [])
