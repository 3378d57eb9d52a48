"""Where the outputs of each recording go, and what two recordings of one name become."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.notes import TRACK_NAME
from .inputs import SOUND_SUFFIXES, Found, UsageError
from .writing import FORMATS

_HEAD_BYTES = 4096  #: of a MIDI file, within which the names of the first tracks stand


@dataclass(frozen=True)
class Job:
    """One recording and the files to make of it: kind (``mid``, ``csv``, ``json``, ``png``) -> path."""

    source: Path
    outputs: dict[str, Path]
    named: bool = False  #: the user named the file, and so means it

    def check_free(self) -> None:
        """A MIDI file beside a recording may be the labels of somebody's data set: it is not overwritten.

        Raises FileExistsError for one that was not written here, unless the user named it.
        """
        midi = self.outputs.get("mid")
        if self.named or midi is None or not midi.is_file():
            return
        with midi.open("rb") as file:
            if TRACK_NAME.encode() not in file.read(_HEAD_BYTES):
                why = "it was not written by hppnet and may be labels; move it away or name a folder with -o"
                raise FileExistsError(errno.EEXIST, why, str(midi))

    @property
    def finished(self) -> bool:
        return all(path.exists() for path in self.outputs.values())


def plan_outputs(
    found: Sequence[Found], kinds: Sequence[str], output: Path | None = None
) -> tuple[list[Job], list[str]]:
    """A job for every recording, and remarks on names that had to differ from the recording's.

    ``output`` None: beside each recording; a name that ends in .mid, .midi, .csv or .json: this file (one
    recording only); else a folder, which mirrors the folders searched. Raises UsageError for several
    recordings and one file, or a file where a folder is needed.
    """
    if output is not None and output_kind(output):
        if len(found) != 1:
            raise UsageError(f"{output}: expected one recording, got {len(found)}; name a folder")
        named = output_kind(output)
        outputs = {kind: output if kind == named else output.with_suffix(f".{kind}") for kind in kinds}
        return [Job(found[0].path, outputs, named=True)], []
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"{output}: expected a folder, or a name that ends in .mid, .csv or .json")
    if output is None:
        places = [item.path for item in found]
    else:
        places = [output / item.relative for item in found]
        places = _apart_by_folder(places, [item.path for item in found], output)
    stems, remarks = _apart_by_suffix(places)
    jobs = [
        Job(item.path, {kind: stem.with_name(f"{stem.name}.{kind}") for kind in kinds})
        for item, stem in zip(found, stems, strict=True)
    ]
    return jobs, remarks


def output_kind(output: Path) -> str | None:
    """The format a name asks for; None for a folder."""
    kind = {"midi": "mid"}.get(output.suffix[1:].lower(), output.suffix[1:].lower())
    return kind if kind in FORMATS and not output.is_dir() else None


def _stem(place: Path) -> Path:
    """Without the suffix; ``Op.27 No.2`` has none."""
    is_suffix = place.suffix.lower() in SOUND_SUFFIXES or place.suffix[1:2].isalpha()
    return place.with_suffix("") if is_suffix else place


def _key(place: Path) -> str:
    """Equal for names that would be one file, on some systems in either case."""
    return str(_stem(place)).casefold()


def _clashes(places: Sequence[Path]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, place in enumerate(places):
        groups[_key(place)].append(number)
    return [group for group in groups.values() if len(group) > 1]


def _apart_by_folder(places: list[Path], sources: list[Path], output: Path) -> list[Path]:
    """``a/take.wav b/take.wav`` named one by one: under ``a`` and ``b``."""
    places = list(places)
    for group in _clashes(places):
        parents = [os.path.realpath(sources[number].parent) for number in group]
        if len(set(parents)) > 1 and len({os.path.splitdrive(parent)[0] for parent in parents}) == 1:
            common = os.path.commonpath(parents)
            for number, parent in zip(group, parents, strict=True):
                places[number] = output / os.path.relpath(parent, common) / places[number].name
    return places


def _apart_by_suffix(places: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """``take.wav`` and ``take.flac`` of one folder: ``take.wav.mid`` and ``take.flac.mid``; then numbers."""
    stems = [_stem(place) for place in places]
    remarks = []
    for group in _clashes(places):
        for number in group:
            stems[number] = places[number]
        names = ", ".join(str(places[number]) for number in group)
        remarks.append(f"{names}: one name without the suffix, so it is kept ({stems[group[0]].name}.mid)")
    taken: set[str] = set()
    for number, stem in enumerate(stems):
        count = 1
        while str(stems[number]).casefold() in taken:
            count += 1
            stems[number] = stem.with_name(f"{stem.name}-{count}")
        taken.add(str(stems[number]).casefold())
    return stems, remarks
