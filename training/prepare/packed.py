"""Packs a recipe's data as Opus into a limited size, for a machine that has no other access to data.

Recordings are re-encoded, and performances are rendered here, because that machine has neither the sound
fonts nor the time. A source's share of the size follows its weight, and each folder to validate on has a
tenth. Pieces are shuffled once, so that a random selection of them is left out. The recordings that a source
holds out come first, and are packed whole, with one piece to train on at least.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ...model.notes import Note
from ...model.timebase import SAMPLE_RATE
from ...program import NAME, program
from ..data.dataset import TrainingRecording, open_recordings
from ..data.labels import PEDAL_SUFFIX, REPORT, write_presses, write_table
from ..data.rendering_cache import Renderings, make, read
from ..data.run_files import Pair, RunFiles
from ..data.sounds import sounds_in
from ..data.sources import cache_of
from ..settings import DataSource, TrainingSettings

COMPRESSION = 0.93  #: libsndfile's compression level, 0 to 1: about 26 kbit/s
VALIDATION = 0.1  #: the share of the size of each folder in [[validation]]
PART_BYTES = 50_000_000
PART, _NUMBERED = "part-{:02d}.tar", re.compile(r"part-(\d{2,})\.tar")

Report = Callable[[int, int], None]


@dataclass
class Packed:
    """How much of one source was packed."""

    title: str
    recordings: int = 0
    seconds: float = 0.0
    bytes: int = 0
    left_out: int = 0

    def line(self) -> str:
        said = f"{self.title}: {self.recordings} recordings, {self.seconds / 3600:.2f} h"
        return f"{said}; {self.left_out} left out for want of room" if self.left_out else said


@dataclass
class Pack:
    """The written parts, and how much of each source they hold."""

    parts: list[Path] = field(default_factory=list)
    sources: list[Packed] = field(default_factory=list)


def pack(
    settings: TrainingSettings,
    files: RunFiles,
    out: Path,
    megabytes: float,
    report: Report = lambda done, total: None,
) -> Pack:
    """Writes ``out/part-01.tar`` and so on, of at most 50 MB each and ``megabytes`` MB together.

    Raises ValueError if not even what every source needs fits or the recipe has arrays, RuntimeError if
    FluidSynth is missing, FileExistsError if a part would replace a file that this program did not write.
    """
    check_parts(out)
    if any(source.arrays for source in settings.sources):
        raise ValueError("expected a recipe of sound, this one trains on arrays: copy their folders")
    work = out / ".unfinished"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        small = _copy_small(settings, work)
        room = 1e6 * megabytes - small
        if room <= 0:
            raise ValueError(f"rooms and noises alone take {small / 1e6:.0f} MB: raise --size")
        found = Pack()
        left = room * (1 - VALIDATION * len(settings.validation))
        weights = sum(source.weight for source in settings.sources)
        for number, source in enumerate(settings.sources):
            report(number, len(settings.sources))
            of_one, (_, held), share = files.trained[number], files.kept[number], source.weight / weights
            found.sources.append(_pack_source(source, of_one, held, settings, work, share * left, files))
        for source, pairs in files.kept[len(settings.sources) :]:
            found.sources.append(_pack_source(source, pairs, [], settings, work, VALIDATION * room, files))
        if (needed := sum(source.bytes for source in found.sources)) > room:
            raise ValueError(
                f"the sources need {(small + needed) / 1e6:.1f} MB at least: raise --size, or set a lower "
                "held_out_most"
            )
        found.parts = _tar(work, out)
        return found
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy_small(settings: TrainingSettings, work: Path) -> int:
    """Copies rooms and noises unchanged; returns their size in bytes."""
    size = 0
    for name in ("rooms", "noises"):
        if folder := getattr(settings.augmentation, name):
            for path in sounds_in(settings.path(folder)):
                target = work / _inside(folder) / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                size += _in_tar(path)
    return size


def _pack_source(
    source: DataSource,
    trained: list[Pair] | Renderings,
    held: list[Pair],
    settings: TrainingSettings,
    work: Path,
    room: float,
    files: RunFiles,
) -> Packed:
    """Packs a source's pieces: those held out, one to train on, then as many as fit into ``room`` bytes."""
    folder = work / _inside(source.folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT).write_text(json.dumps({"note_ends": files.note_ends}), encoding="utf-8")
    done = Packed(source.title)
    if isinstance(trained, Renderings):
        first, total = len(trained.held), len(trained.order) + len(trained.held)
        recordings = _rendered(trained)
    else:
        first, total = len(held), len(trained) + len(held)
        recordings = _recorded(source, [*held, *_shuffled(trained)], settings)
    for recording in recordings:
        paths = write(recording, work)
        size = sum(map(_in_tar, paths))
        if done.bytes + size > room and done.recordings > first:
            for path in paths:
                path.unlink()
            break
        for path in paths:
            path.replace(folder / path.name)
        done.bytes += size
        done.recordings += 1
        done.seconds += len(recording.samples) / SAMPLE_RATE
    done.left_out = total - done.recordings
    return done


def _recorded(
    source: DataSource, pairs: Iterable[Pair], settings: TrainingSettings
) -> Iterator[TrainingRecording]:
    cache = cache_of(settings.path(source.folder), Path(settings.cache))
    for pair in pairs:
        yield open_recordings([pair], cache)[0]


def _rendered(renderings: Renderings) -> Iterator[TrainingRecording]:
    for one in (*renderings.held, *renderings.order):
        make(one, renderings.note_ends)
        if (recording := read(one)) is not None:
            yield recording


def _shuffled(pairs: list[Pair]) -> list[Pair]:
    return [pairs[n] for n in np.random.default_rng(0).permutation(len(pairs))]


def write(recording: TrainingRecording, folder: Path) -> list[Path]:
    """Writes a recording as Opus, with its tables; returns their paths."""
    paths = [folder / f"{recording.name}{suffix}" for suffix in (".opus", ".tsv", PEDAL_SUFFIX)]
    with soundfile.SoundFile(
        paths[0], "w", SAMPLE_RATE, 1, format="OGG", subtype="OPUS", compression_level=COMPRESSION
    ) as file:
        file.write(np.asarray(recording.samples))
    write_table(paths[1], [Note(on, off, int(pitch), int(v)) for on, off, pitch, v in recording.notes])
    if recording.pedal is not None:
        write_presses(paths[2], [(float(down_s), float(up_s)) for down_s, up_s in recording.pedal])
    return [path for path in paths if path.exists()]


def _inside(folder: str) -> Path:
    """The path in the pack of a recipe's folder. Raises ValueError for a folder outside --data."""
    path = Path(folder)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{folder}: expected a folder relative to --data, to be found in the pack again")
    return path


def parts_in(folder: Path) -> list[Path]:
    """The parts of a pack, in order."""
    numbered = ((_NUMBERED.fullmatch(path.name), path) for path in folder.glob("*.tar"))
    return [path for _, path in sorted((int(name[1]), path) for name, path in numbered if name)]


def check_parts(out: Path) -> None:
    """Raises FileExistsError for a file with a part's name that this program did not write."""
    for path in parts_in(out):
        try:
            with tarfile.open(path) as tar:
                ours = tar.pax_headers.get("comment", "").startswith(f"{NAME} ")
        except (OSError, tarfile.TarError):
            ours = False
        if not ours:
            why = "it was not written by this hppnet prepare pack; move it away, or name another folder"
            raise FileExistsError(errno.EEXIST, why, str(path))


def _in_tar(path: Path) -> int:
    """How many bytes of a tar archive a file takes."""
    return 1024 + -(-path.stat().st_size // 512) * 512


def _tar(work: Path, out: Path) -> list[Path]:
    """Writes all files to tar archives of at most PART_BYTES; first deletes those of an earlier pack."""
    for old in parts_in(out):
        old.unlink()
    parts: list[Path] = []
    size = PART_BYTES
    for path in sorted(p for p in work.rglob("*") if p.is_file()):
        needs = _in_tar(path)
        if size + needs > PART_BYTES - 20_480:  # room for the end of an archive
            parts.append(out / PART.format(len(parts) + 1))
            size = 0
        said = {} if parts[-1].exists() else {"comment": program()}
        with tarfile.open(parts[-1], "a", format=tarfile.PAX_FORMAT, pax_headers=said) as tar:
            tar.add(path, str(path.relative_to(work)))
        size += needs
    return parts


def unpack(data: Path, cache: Path) -> Path:
    """The folder of a recipe's data: ``data`` itself, or the folder that its parts are unpacked to."""
    parts = parts_in(data)
    if not parts:
        return data
    said = json.dumps([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in parts])
    place = cache / "packed" / data.resolve().name
    known = place / "parts.json"
    if not known.exists() or known.read_text(encoding="utf-8") != said:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for path in parts:
            with tarfile.open(path) as tar:
                tar.extractall(place, filter="data")
        known.write_text(said, encoding="utf-8")
    return place
