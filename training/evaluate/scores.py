"""The scores of one transcription against the played notes, as defined by ``mir_eval``.

Notes
    A transcribed note is right if pitch and onset agree with a played note, each used once
    (``mir_eval.transcription``): onsets within 10, 20, 30 or 50 ms; for ``onset_offset`` within
    50 ms, and the offset within 20 % of the played length or 50 ms, whichever is more; for
    ``onset_offset_velocity`` the velocity too, within 0.1 of the played range after the best linear
    fit (``mir_eval.transcription_velocity``, Hawthorne et al., "Onsets and Frames", ISMIR 2018).
Frames
    Pitches sounding at the instants 0, 10, 20... ms (MIREX's multi-pitch estimation, Kong et al.
    2021), counted over the whole file; equal to ``mir_eval.multipitch`` on those instants.

All scores are in percent. A score is None if there is nothing to score: no note on either side, or
no known velocity. If only the played or only the transcribed notes are missing, it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from mir_eval import transcription

from ...model.notes import Note

ONSET_TOLERANCE_S = 0.05
OFFSET_RATIO = 0.2
VELOCITY_TOLERANCE = 0.1
FRAMES_PER_SECOND = 100
DOUBLED_WITHIN_S = 0.05
SHORTEST_S = 0.001  #: mir_eval refuses notes of length 0

Matching = list[tuple[int, int]]  #: pairs (index of the played note, index of the transcribed one)


@dataclass(frozen=True)
class PRF:
    """Precision, recall and their harmonic mean, in percent."""

    p: float
    r: float
    f1: float

    @classmethod
    def of(cls, right: int, estimated: int, reference: int) -> PRF | None:
        """The scores from counts; None if both sides have no notes."""
        if not estimated and not reference:
            return None
        p = 100 * right / estimated if estimated else 0.0
        r = 100 * right / reference if reference else 0.0
        return cls(p, r, 2 * p * r / (p + r) if right else 0.0)


@dataclass(frozen=True)
class Scores:
    """All scores of one file, or their mean over files; None where there was nothing to score."""

    onset_10ms: PRF | None
    onset_20ms: PRF | None
    onset_30ms: PRF | None
    onset_50ms: PRF | None
    onset_offset: PRF | None
    onset_offset_velocity: PRF | None
    frame: PRF | None
    velocity_mae: float | None  #: mean absolute error over notes right at 50 ms, in MIDI velocity (1 to 127)
    doubled_percent: float  #: see :func:`doubled_percent`


#: The fields of Scores that are a PRF.
F1_FIELDS = (
    *("onset_10ms", "onset_20ms", "onset_30ms", "onset_50ms"),
    *("onset_offset", "onset_offset_velocity", "frame"),
)


@dataclass(frozen=True)
class NoteArrays:
    """A list of notes as arrays, n notes each."""

    times_s: np.ndarray  #: [n, 2] onset and offset
    pitches: np.ndarray  #: [n] MIDI
    velocities: np.ndarray  #: [n] MIDI

    @classmethod
    def of(cls, notes: Sequence[Note]) -> NoteArrays:
        onsets = np.maximum([note.onset_s for note in notes], 0.0)  # mir_eval refuses times below 0
        offsets = np.maximum([note.offset_s for note in notes], onsets + SHORTEST_S)
        return cls(
            np.stack([onsets, offsets], axis=1),
            np.array([note.pitch for note in notes], dtype=int),
            np.array([note.velocity for note in notes], dtype=float),
        )

    def __len__(self) -> int:
        return len(self.pitches)

    @property
    def hz(self) -> np.ndarray:
        return 440.0 * 2.0 ** ((self.pitches - 69) / 12)

    def pick(self, which: np.ndarray) -> NoteArrays:
        return NoteArrays(self.times_s[which], self.pitches[which], self.velocities[which])


def score(reference: Sequence[Note], estimate: Sequence[Note]) -> Scores:
    """All scores of a transcription (``estimate``) against the notes that were played."""
    played, transcribed = NoteArrays.of(reference), NoteArrays.of(estimate)
    onsets = {ms: match(played, transcribed, ms / 1000) for ms in (10, 20, 30, 50)}
    whole = match(played, transcribed, ONSET_TOLERANCE_S, OFFSET_RATIO)

    def counted(matching: Matching) -> PRF | None:
        return PRF.of(len(matching), len(transcribed), len(played))

    return Scores(
        **{f"onset_{ms}ms": counted(matching) for ms, matching in onsets.items()},
        onset_offset=counted(whole),
        onset_offset_velocity=_velocity_score(played, transcribed, whole, onsets[50]),
        frame=_frame_score(played, transcribed),
        velocity_mae=_velocity_mae(played, transcribed, onsets[50]),
        doubled_percent=doubled_percent(reference, estimate),
    )


def match(
    played: NoteArrays, transcribed: NoteArrays, onset_s: float, offset_ratio: float | None = None
) -> Matching:
    """The largest set of pairs that agree in pitch, onset and (with a ratio) offset.

    Matches pitch by pitch: notes of different keys never match, and mir_eval's matrix of all pairs
    takes gigabytes for a long recording.
    """
    pairs: Matching = []
    for pitch in np.intersect1d(played.pitches, transcribed.pitches):
        i, j = np.flatnonzero(played.pitches == pitch), np.flatnonzero(transcribed.pitches == pitch)
        a, b = played.pick(i), transcribed.pick(j)
        found = transcription.match_notes(
            a.times_s, a.hz, b.times_s, b.hz, onset_tolerance=onset_s, offset_ratio=offset_ratio
        )
        pairs += [(int(i[m]), int(j[n])) for m, n in found]
    return sorted(pairs)


def _velocity_score(
    played: NoteArrays, transcribed: NoteArrays, whole: Matching, onset: Matching
) -> PRF | None:
    """``onset_offset_velocity`` over the notes whose velocity is known.

    Played notes of unknown velocity (0) and the transcribed notes whose onsets match them are left out.
    """
    known = played.velocities > 0
    if not known.any():
        return None
    if not known.all():
        kept = np.ones(len(transcribed), dtype=bool)
        kept[[j for i, j in onset if not known[i]]] = False
        played, transcribed = played.pick(known), transcribed.pick(kept)
        whole = match(played, transcribed, ONSET_TOLERANCE_S, OFFSET_RATIO)
    return PRF.of(_velocities_right(played, transcribed, whole), len(transcribed), len(played))


def _velocities_right(played: NoteArrays, transcribed: NoteArrays, matching: Matching) -> int:
    """How many matched notes agree in velocity, counted as ``mir_eval.transcription_velocity`` does."""
    if not matching:
        return 0
    i, j = np.array(matching).T
    lowest = played.velocities.min()
    true = (played.velocities[i] - lowest) / max(1.0, played.velocities.max() - lowest)
    guess = np.stack([transcribed.velocities[j], np.ones(len(j))], axis=1)
    line = np.linalg.lstsq(guess, true, rcond=None)[0]
    return int(np.sum(np.abs(guess @ line - true) < VELOCITY_TOLERANCE))


def _velocity_mae(played: NoteArrays, transcribed: NoteArrays, onset: Matching) -> float | None:
    errors = [
        abs(played.velocities[i] - transcribed.velocities[j]) for i, j in onset if played.velocities[i] > 0
    ]
    return float(np.mean(errors)) if errors else None


def _frame_score(played: NoteArrays, transcribed: NoteArrays) -> PRF | None:
    ends = np.concatenate([played.times_s[:, 1], transcribed.times_s[:, 1]])
    frames = int(np.ceil(ends.max(initial=0.0) * FRAMES_PER_SECOND)) + 1
    a, b = roll(played, frames), roll(transcribed, frames)
    return PRF.of(int(np.sum(a & b)), int(np.sum(b)), int(np.sum(a)))


def roll(notes: NoteArrays, frames: int) -> np.ndarray:
    """Which pitches sound at each instant: bool [frames, 128]; a note sounds while onset <= t < offset."""
    roll = np.zeros((frames, 128), dtype=bool)
    # A millionth of a frame: 0.29 * 100 must not become 29.000000000000004 and miss its frame.
    edges = np.ceil(notes.times_s * FRAMES_PER_SECOND - 1e-6).astype(int)
    for (first, end), pitch in zip(edges, notes.pitches, strict=True):
        roll[first:end, pitch] = True
    return roll


def doubled_percent(reference: Sequence[Note], estimate: Sequence[Note]) -> float:
    """Percent of transcribed notes that repeat a key that was played once.

    A note counts if the transcribed note of the same pitch before it began at most 50 ms earlier,
    and at most one played onset of that pitch lies from 50 ms before the earlier of the two onsets
    to 50 ms after the later one. 0 if nothing was transcribed.
    """
    played, transcribed = _onsets_by_pitch(reference), _onsets_by_pitch(estimate)
    doubled = 0
    for pitch, onsets in transcribed.items():
        true = played.get(pitch, np.zeros(0))
        first, second = onsets[:-1], onsets[1:]
        played_onsets = np.searchsorted(true, second + ONSET_TOLERANCE_S, side="right") - np.searchsorted(
            true, first - ONSET_TOLERANCE_S, side="left"
        )
        doubled += int(np.sum((second - first <= DOUBLED_WITHIN_S) & (played_onsets <= 1)))
    return 100 * doubled / len(estimate) if estimate else 0.0


def _onsets_by_pitch(notes: Sequence[Note]) -> dict[int, np.ndarray]:
    by_pitch: dict[int, list[float]] = {}
    for note in notes:
        by_pitch.setdefault(note.pitch, []).append(note.onset_s)
    return {pitch: np.sort(onsets) for pitch, onsets in by_pitch.items()}


def mean(scores: Sequence[Scores]) -> Scores:
    """The mean of each score over the files that have it. Raises ValueError without files."""
    if not scores:
        raise ValueError("expected the scores of at least one file, got none")
    return Scores(**mean_fields(scores))


def mean_fields(scores: Sequence[Any]) -> dict[str, Any]:
    """The mean of each field (numbers or PRFs) over the records in which it is not None; else None."""
    return {f.name: _mean([getattr(s, f.name) for s in scores]) for f in fields(scores[0])}


def _mean(values: list[Any]) -> Any:
    values = [value for value in values if value is not None]
    if not values:
        return None
    if isinstance(values[0], PRF):
        return PRF(*(float(np.mean([getattr(v, name) for v in values])) for name in ("p", "r", "f1")))
    return float(np.mean(values))
