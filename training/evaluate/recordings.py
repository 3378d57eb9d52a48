"""Finds the recordings to score and their labels, in all supported layouts.

A plain folder has recordings and labels of the same name; so do the folders that ``hppnet prepare`` writes.
MAPS and MAESTRO are read as distributed, limited to the parts that papers report figures on: MAPS's music on
the Disklavier (``ENSTDkAm`` and ``ENSTDkCl``), MAESTRO's test split.

Recordings without piano are transcribed whole, or excerpts are cut out of them. A stream treats the time
before its first sample as silence, so all sound in an excerpt begins at once and may be mistaken for onsets.
Each excerpt is written to a file of its own; a seed decides its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ...model.notes import Note, Press
from ...model.timebase import SAMPLE_RATE
from ..data.labels import PEDAL_SUFFIX, REPORT, note_ends_of, read_presses
from ..data.performances import pedal_of
from ..data.sounds import Opener, resampled
from ..prepare.maestro import contents, find_maestro
from ..prepare.maps import LABEL_SUFFIXES, read_maps
from ..prepare.pairs import Recorded


@dataclass(frozen=True)
class Pair:
    """A recording and the notes played in it; None: there is no piano."""

    name: str
    recording: Path
    played: list[Note] | None
    pedal: list[Press] | None = None  #: presses of the sustain pedal; None: not known


MAPS_REAL_PIANOS = ("ENSTDkAm", "ENSTDkCl")
TEST_FOLDERS = ("test", "dev", "validation")  #: folders of prepared data; the first that exists is used


@dataclass(frozen=True)
class LabelledRecording:
    """A recording and its label files, the best first."""

    name: str
    recording: Path
    labels: tuple[Path, ...]
    note_ends: str = "keys"  #: how MIDI files are read; a table says it itself

    def read(self, note_ends: str | None = None) -> Pair:
        """Reads the notes and the pedal. ``note_ends`` (keys, sounding) overrides how MIDI files are read.

        Raises ValueError, in one line, for labels that are broken or hold no note.
        """
        if note_ends is not None and self.labels[0].suffix.lower() == ".tsv":
            raise ValueError(f"{self.labels[0]}: a table says where notes end; --note-ends is for MIDI files")
        notes = read_maps(self.labels, note_ends or self.note_ends)
        if not notes:
            raise ValueError(
                f"{self.labels[0]}: expected notes, found none; a recording without piano goes to --no-piano"
            )
        return Pair(self.name, self.recording, sorted(notes, key=_order), self._pedal())

    def _pedal(self) -> list[Press] | None:
        """Presses of the sustain pedal, from a table beside the recording or from a MIDI file of labels."""
        table = read_presses(self.recording.with_suffix(PEDAL_SUFFIX))
        presses = pedal_of(self.labels) if table is None else table
        return None if presses is None else [Press(float(down_s), float(up_s)) for down_s, up_s in presses]


@dataclass(frozen=True)
class EvaluationData:
    """The contents of a folder."""

    labelled: list[LabelledRecording]
    note_ends: str  #: what its labels call an offset: key releases (keys) or sounding ends (sounding)
    failures: dict[str, str] = field(default_factory=dict)  #: name -> why it cannot be scored


def _order(note: Note) -> tuple[float, int]:
    return note.onset_s, note.pitch


def find_evaluation_data(
    folder: Path, recording_suffixes: Collection[str], open_recording: Opener
) -> EvaluationData:
    """Everything in ``folder`` that can be scored. ``recording_suffixes`` are lower case with their dot.

    Raises ValueError, in one line, for a folder in which there is nothing to score.
    """
    if contents(folder) is not None:
        sources = find_maestro(folder, Path(), open_recording).sources
        tests = [s for s in sources if isinstance(s, Recorded) and s.folder.name == "test"]
        return EvaluationData(
            [LabelledRecording(s.name, s.sound, s.labels, "sounding") for s in tests], "sounding"
        )
    labelled: list[LabelledRecording] = []
    failures: dict[str, str] = {}
    places = _places(folder)
    for place in places:
        found, lonely = find_labelled(place, recording_suffixes)
        labelled += found
        failures |= lonely
    if not labelled and not failures:
        kinds = ", ".join(LABEL_SUFFIXES)
        raise ValueError(f"{folder}: expected recordings with labels of the same name ({kinds}), found none")
    return EvaluationData(labelled, note_ends_of(places[0]), failures)


def _places(folder: Path) -> list[Path]:
    """The folders that hold the files: this one, or its subfolders for testing."""
    pianos = [folder / name / "MUS" for name in MAPS_REAL_PIANOS] + [folder / "MUS"]
    maps = [place for place in pianos if place.is_dir()]
    if maps:
        return maps
    prepared = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    return prepared[:1] if prepared and (folder / REPORT).exists() else [folder]


def find_labelled(
    folder: Path, recording_suffixes: Collection[str]
) -> tuple[list[LabelledRecording], dict[str, str]]:
    """The recordings of a folder with labels of the same name; for other names, why they have none.

    Hidden files and files of other kinds are ignored. MIDI files without a recording are ignored too, because
    they need not be labels.
    """
    sounds: dict[str, list[Path]] = {}
    labels: dict[str, list[Path]] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() in LABEL_SUFFIXES and not _is_prose(path):
            labels.setdefault(path.stem, []).append(path)
        elif path.suffix.lower() in recording_suffixes:
            sounds.setdefault(path.stem, []).append(path)
    found, lonely = [], {}
    for name in sorted(sounds | labels):
        tables = sorted(labels.get(name, []), key=lambda path: LABEL_SUFFIXES.index(path.suffix.lower()))
        recordings = sounds.get(name, [])
        if len(recordings) == 1 and tables:
            found.append(LabelledRecording(name, recordings[0], tuple(tables)))
        elif why := _why_none(name, recordings, tables):
            lonely[name] = why
    return found, lonely


def _is_prose(path: Path) -> bool:
    """Whether a file is a ``.txt`` but no table of MAPS, such as a readme."""
    if path.suffix.lower() != ".txt":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return "MidiPitch" not in file.readline(1000).split()


def _why_none(name: str, recordings: list[Path], tables: list[Path]) -> str | None:
    if len(recordings) > 1:
        return f"expected one recording of this name, got {' and '.join(path.name for path in recordings)}"
    if recordings:
        return f"{recordings[0].name} has no labels ({name} with {' or '.join(LABEL_SUFFIXES)})"
    table = next((path for path in tables if path.suffix.lower() == ".tsv"), None)
    return f"{table.name} has no recording of the same name" if table else None


def without_piano(paths: Iterable[Path], recording_suffixes: Collection[str]) -> list[Pair]:
    """Recordings without piano, from files and folders.

    Raises ValueError for a folder without recordings.
    """
    pairs = []
    for path in paths:
        files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file())
        found = [p for p in files if p.suffix.lower() in recording_suffixes and not p.name.startswith(".")]
        if not found:
            raise ValueError(f"{path}: expected recordings without piano, found none")
        pairs += [Pair(p.stem, p, None) for p in found]
    return pairs


START_S = 2.0  #: length of each excerpt
SEED = 0


def cut_starts(pairs: Sequence[Pair], count: int, folder: Path, open_recording: Opener) -> list[Pair]:
    """Writes ``count`` excerpts of START_S seconds of recordings without piano to ``folder``.

    Their places are random and equally likely anywhere in the recordings. Raises ValueError, naming the
    recording, for one that cannot be read, and if none is long enough.
    """
    sounds = [_samples(pair, open_recording) for pair in pairs]
    n = round(START_S * SAMPLE_RATE)
    ends = np.cumsum([max(0, len(sound) - n + 1) for sound in sounds])
    if not len(ends) or not ends[-1]:
        raise ValueError(
            f"expected recordings without piano of {START_S:g} s at least, found shorter ones only"
        )
    found: list[Pair] = []
    for place in sorted(np.random.default_rng(SEED).integers(ends[-1], size=count).tolist()):
        which = int(np.searchsorted(ends, place, side="right"))
        first = int(place - (ends[which - 1] if which else 0))
        name = f"{pairs[which].name} from {first / SAMPLE_RATE:.3f} s"
        path = folder / f"{len(found):04d}.wav"
        soundfile.write(path, sounds[which][first : first + n], SAMPLE_RATE, subtype="FLOAT")
        found.append(Pair(name, path, None))
    return found


def _samples(pair: Pair, open_recording: Opener) -> np.ndarray:
    try:
        with open_recording(pair.recording) as opened:
            blocks = list(resampled(opened.blocks(), opened.sample_rate))
    except Exception as error:  # readers raise many kinds for a broken file
        said = " ".join(str(error).split())
        raise ValueError(said if str(pair.recording) in said else f"{pair.recording}: {said}") from error
    return np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
