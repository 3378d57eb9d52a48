"""Performances (MIDI) of a source, rendered one by one into a cache when training needs them.

The performances that a step draws from depend on its number alone (:class:`~.settings.Rendering`), and each
rendering on its seed and name. A run that is interrupted, or on a slower machine, therefore trains on the
same sound. Missing renderings of a step are made before the step is taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from ...model.timebase import SAMPLE_RATE
from ...processes import alone
from ..settings import DataSource, TrainingSettings
from .dataset import TrainingRecording, delayed, notes_array
from .labels import within
from .performances import DOWN_FROM, MIDI_SUFFIXES
from .piano_sounds import files_by_key
from .rendering import Choices, Rendered
from .sounds import files_in

#: Names of evaluation's piano in a sound font's file name or content. Training must not use it.
RESERVED = (b"splendid",)
FORMAT = "2"  #: version of the cache: raise it when renderings change
WHY = "why.txt"


@dataclass
class Renderings:
    """The performances of one source, in the order in which training uses them."""

    source: DataSource
    order: list[Rendered]  #: performances to train on
    held: list[Rendered]  #: performances held out
    note_ends: str
    _opened: dict[str, TrainingRecording | None] = field(default_factory=dict)

    def count(self, step: int) -> int:
        """How many performances a step draws from."""
        assert self.source.render is not None
        return min(len(self.order), self.source.render.first + step // self.source.render.every)

    def due(self, steps: int) -> Iterator[tuple[int, Rendered]]:
        """Each performance used within the first ``steps`` steps, with the first step that uses it."""
        assert self.source.render is not None
        first, every = self.source.render.first, self.source.render.every
        for n, rendered in enumerate(self.order[: self.count(steps - 1)]):
            yield max(0, n - first + 1) * every, rendered

    def at(self, step: int) -> list[TrainingRecording]:
        """The recordings that a step draws from; missing ones are rendered.

        Raises ValueError where none of them can be rendered, RuntimeError where FluidSynth fails.
        """
        opened = self._open(self.order[: self.count(step)])
        if not opened:
            raise ValueError(f"{self.source.folder}: none of its first performances can be rendered")
        return opened

    def kept(self) -> list[TrainingRecording]:
        """The held-out recordings; missing ones are rendered."""
        return self._open(self.held)

    def _open(self, wanted: list[Rendered]) -> list[TrainingRecording]:
        for rendered in wanted:
            if rendered.name not in self._opened:
                make(rendered, self.note_ends)
                opened = read(rendered)
                moved = opened and delayed(opened, self.source.delay_ms / 1000)
                self._opened[rendered.name] = moved
        return [opened for one in wanted if (opened := self._opened[one.name]) is not None]


def renderings(source: DataSource, settings: TrainingSettings, note_ends: str) -> tuple[list[Rendered], str]:
    """All performances of a source, shuffled by its seed, and a digest of the settings of their sound.

    Raises ValueError for a folder without MIDI files, and a piano that is missing or reserved for evaluation.
    """
    how = source.render
    assert how is not None
    folder = settings.path(source.folder)
    paths = performances(source, folder)
    pianos = {settings.path(name): weight for name, weight in how.pianos}
    for piano in pianos:
        check_piano(piano)
    releases = settings.path(how.key_releases) if how.key_releases else None
    choices = Choices(
        tuple(pianos),
        tuple(pianos.values()),
        restrike_chance=how.restrike_chance,
        chord_chance=how.chord_chance,
        seed=how.seed,
        velocity_exponent=how.velocity_exponent,
        velocity_spread=how.velocity_spread,
        velocity_shift=how.velocity_shift,
        pedal_threshold=None if how.pedal_threshold == (DOWN_FROM, DOWN_FROM) else how.pedal_threshold,
        key_releases=releases,
        key_release_chance=how.key_release_chance,
    )
    said = {
        "format": FORMAT,
        "note_ends": note_ends,
        "pianos": [(piano.name, weight, piano.stat().st_size) for piano, weight in pianos.items()],
        "released": []
        if releases is None
        else sorted((key, path.stat().st_size) for key, path in files_by_key(releases).items()),
        **{name: value for name, value in asdict(how).items() if name not in ("pianos", "first", "every")},
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    rng = np.random.default_rng([how.seed, 7])
    found = []
    for n in rng.permutation(len(paths)):
        midi = hashlib.sha256(paths[n].read_bytes()).hexdigest()
        place = Path(settings.cache) / "rendered" / digest[:16] / f"{paths[n].stem}-{midi[:8]}"
        found.append(Rendered(paths[n].stem, place, paths[n], choices))
    return found, digest


def performances(source: DataSource, folder: Path) -> list[Path]:
    """The MIDI files that a source takes, sorted by name. Raises ValueError where there is none."""
    found = [p for p in files_in(folder, MIDI_SUFFIXES, "MIDI performances") if source.takes(p.stem)]
    if not found:
        raise ValueError(
            f"{folder}: expected MIDI performances whose names suit only and without, found none"
        )
    return found


@lru_cache(maxsize=16)
def check_piano(piano: Path) -> None:
    """Raises ValueError for a sound font that is missing, or whose piano is reserved for evaluation."""
    if not piano.is_file():
        raise ValueError(f"{piano}: expected a sound font, there is no such file")
    content = (piano.name.encode() + piano.read_bytes()).lower()
    if any(name in content for name in RESERVED):
        raise ValueError(
            f"{piano}: this is the Splendid Grand, which is reserved for evaluation; "
            "choose another piano to train on"
        )


def make(rendered: Rendered, note_ends: str) -> None:
    """Renders a performance into its folder in the cache, atomically, unless the folder exists.

    Where the performance itself is unusable, ``WHY`` in the folder holds the reason. Raises RuntimeError
    where FluidSynth is missing or fails, OSError where nothing can be written.
    """
    place = rendered.folder
    if place.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    # On a file system without locks, two processes may render it; one rendering is kept.
    with alone(place.with_name(f".{place.name}.lock")):
        if place.exists():
            return
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        try:
            part.mkdir()
            _render(rendered, note_ends, part)
            os.replace(part, place)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _render(rendered: Rendered, note_ends: str, part: Path) -> None:
    try:
        take = rendered.take(note_ends)
        if not take.notes:
            raise ValueError("no note on the piano's 88 keys")
        samples = np.concatenate(list(take.blocks))
        seconds = len(samples) / SAMPLE_RATE
        notes = within(take.notes, seconds)
    except ValueError as error:
        (part / WHY).write_text(" ".join(str(error).split()) + "\n", encoding="utf-8")
        return
    np.save(part / "samples.npy", np.clip(np.round(samples * 32767), -32768, 32767).astype(np.int16))
    np.save(part / "notes.npy", notes_array(notes))
    presses = [(down, min(up, seconds)) for down, up in take.presses or [] if down < seconds]
    np.save(part / "pedal.npy", np.array(presses, dtype=float).reshape(-1, 2))


def read(rendered: Rendered) -> TrainingRecording | None:
    """A rendering in the cache; None for a performance that could not be rendered."""
    place = rendered.folder
    if (place / WHY).exists():
        return None
    notes, pedal = (np.load(place / f"{name}.npy", mmap_mode="r") for name in ("notes", "pedal"))
    return TrainingRecording(
        rendered.name, np.load(place / "samples.npy", mmap_mode="r"), notes, np.asarray(pedal)
    )
