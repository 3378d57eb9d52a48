"""Labels a folder of recordings with the notes that a peer detects in them.

A network can thus learn a piano that has recordings but no MIDI (pseudo-labels: Lee, "Pseudo-Label: The
Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks", ICML 2013 workshop).
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..data.sounds import Opener, Take, resampled
from ..evaluate import peers
from ..evaluate.peers import PeerTranscriber, Prediction, ProgramLoadError
from .convert import PreparationOutcome, RecordingSource
from .pairs import FolderContents, names_of, walk

if TYPE_CHECKING:
    from ...model.notes import Press


OWN = "hppnet"
MODELS = (OWN, *peers.NAMES)


@dataclass(frozen=True)
class Labeller:
    """The peer that labels, and its weights. Raises ValueError for a combination that does not exist."""

    model: str  #: one of MODELS
    checkpoint: Path | None = None  #: weights for hppnet; None: the shipped ones

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"--model: expected one of {', '.join(MODELS)}, got {self.model!r}")
        if self.checkpoint is not None and self.model != OWN:
            raise ValueError(f"--checkpoint is for hppnet's weights, not for {self.model}: leave it out")

    def make(self) -> PeerTranscriber:
        """The peer, not loaded yet."""
        if self.model != OWN:
            return peers.make(self.model)
        return peers.OwnPeer(self.checkpoint)


@lru_cache(maxsize=1)
def loaded(labeller: Labeller) -> PeerTranscriber:
    """The loaded peer of this process. Raises ProgramLoadError, one line, if it cannot be loaded."""
    peer = labeller.make()
    try:
        peer.load()
    except Exception as error:  # a peer's code may raise anything
        said = " ".join(str(error).split())
        raise ProgramLoadError(
            f"{labeller.model} cannot be loaded: {type(error).__name__}: {said}"
        ) from error
    return peer


@dataclass(frozen=True)
class RecordingToLabel:
    """A recording and the peer that labels it."""

    name: str
    folder: Path
    sound: Path
    labeller: Labeller
    open_recording: Opener

    def take(self, note_ends: str) -> Take:
        """Transcribes the recording. Ignores ``note_ends``: the peer decides it."""
        notes, pedal = self._prediction()
        if not notes:
            raise ValueError(f"{self.labeller.model} finds no note in {self.sound}")
        return Take(notes, self._blocks(), None if pedal is None else in_order(pedal))

    def about(self) -> dict[str, object]:
        return {"sound": str(self.sound)}

    def _prediction(self) -> Prediction:
        peer = loaded(self.labeller)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "sound.wav")  # the peer may not read the recording's format
            with self.open_recording(self.sound) as recording:
                kind = {"subtype": "FLOAT", "format": "W64"}  # WAV is limited to 4 GB
                with soundfile.SoundFile(copy, "w", recording.sample_rate, 1, **kind) as file:
                    for block in recording.blocks():
                        file.write(block)
            return peer.transcribe(copy)

    def _blocks(self) -> Iterator[np.ndarray]:
        with self.open_recording(self.sound) as recording:
            yield from resampled(recording.blocks(), recording.sample_rate)


def in_order(pedal: Collection[Press]) -> list[tuple[float, float]]:
    """Presses as (down, up) in seconds, sorted. Overlapping ones are merged, empty ones are left out."""
    merged: list[tuple[float, float]] = []
    for press in sorted(pedal):
        if merged and press.down_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], press.up_s)
        elif press.up_s > press.down_s:
            merged.append((press.down_s, press.up_s))
    return merged


def find_recordings(
    folder: Path, out: Path, labeller: Labeller, open_recording: Opener, sound_suffixes: Collection[str]
) -> FolderContents:
    """All recordings of a folder, at any depth, without hidden files and prepared folders.

    Raises ValueError for a folder without recordings.
    """
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in walk(folder, out):
        if path.suffix.lower() in sound_suffixes:
            groups[path.with_suffix("")].append(path)
    if not groups:
        raise ValueError(f"{folder}: expected recordings, found none")
    names = names_of(sorted(groups), folder)
    sources: list[RecordingSource] = []
    lonely = []
    for stem, paths in sorted(groups.items()):
        if len(paths) == 1:
            sources.append(RecordingToLabel(names[stem], out, paths[0], labeller, open_recording))
        else:
            named = " and ".join(path.name for path in paths)
            lonely.append(
                PreparationOutcome(names[stem], out, why=f"expected one recording of this name, got {named}")
            )
    return FolderContents(sources, lonely)
