"""Which notes are missed and which are invented, counted by what distinguishes them.

A played note is missed, and a transcribed one invented, if it has no partner of the same key within 50 ms
(:func:`.scores.match`). Notes are put into groups in several ways:

key         one group a key
velocity    as played; of an invented note, as transcribed. Unknown ones (0) are left out
octave      an octave or two above, or below, a played note that sounds as the note begins
            (within 50 ms); a fifth or a twelfth from one; or none of these
repeated    how long ago the key was played before
chord       how many notes were played within 30 ms, itself among them

A transcribed note that is right lies in the groups of the note that it transcribes; an invented one where
it would lie had it been played.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...model.notes import Note
from ...model.timebase import KEYS, LOWEST_PITCH
from .scores import FRAMES_PER_SECOND, ONSET_TOLERANCE_S, NoteArrays, match, roll

VELOCITY_STEP = 16
REPEATED_WITHIN_S = (0.15, 0.3, 1.0)
CHORD_S = 0.03
MOST_IN_CHORD = 6  #: and more
_PITCHES = 128

#: way of grouping -> names of its groups, in order
GROUPS: dict[str, tuple[str, ...]] = {
    "key": tuple(str(pitch) for pitch in range(LOWEST_PITCH, LOWEST_PITCH + KEYS)),
    "velocity": tuple(f"{v or 1}-{v + VELOCITY_STEP - 1}" for v in range(0, 128, VELOCITY_STEP)),
    "octave": ("octave above", "octave below", "fifth", "neither"),
    "repeated": (*(f"within {s:g} s" for s in REPEATED_WITHIN_S), "later or never"),
    "chord": (*(str(n) for n in range(1, MOST_IN_CHORD)), f"{MOST_IN_CHORD}+"),
}
COUNTS = ("played", "missed", "transcribed", "invented")


def _nothing() -> dict[str, np.ndarray]:
    return {way: np.zeros((len(names), len(COUNTS)), dtype=int) for way, names in GROUPS.items()}


@dataclass(frozen=True)
class Mistakes:
    """How many notes of each group were played, missed, transcribed and invented."""

    counts: dict[str, np.ndarray] = field(default_factory=_nothing)  #: way -> [groups, 4] as in COUNTS

    @classmethod
    def total(cls, parts: Iterable[Mistakes]) -> Mistakes:
        whole = _nothing()
        for part in parts:
            for way in GROUPS:
                whole[way] += part.counts[way]
        return cls(whole)

    def as_dict(self) -> dict[str, dict[str, dict[str, int]]]:
        """way -> group -> {played, missed, transcribed, invented}."""
        return {
            way: {
                name: dict(zip(COUNTS, map(int, row), strict=True))
                for name, row in zip(names, self.counts[way], strict=True)
            }
            for way, names in GROUPS.items()
        }


def mistakes_of(reference: Sequence[Note], estimate: Sequence[Note]) -> Mistakes:
    """The mistakes of one transcription (``estimate``) of the notes that were played (``reference``)."""
    played, transcribed = NoteArrays.of(reference), NoteArrays.of(estimate)
    found = Mistakes()
    right = match(played, transcribed, ONSET_TOLERANCE_S)
    i, j = np.array(right, dtype=int).reshape(-1, 2).T
    missed = np.setdiff1d(np.arange(len(played)), i)
    invented = np.setdiff1d(np.arange(len(transcribed)), j)
    of_played, of_invented = groups(played, played), groups(transcribed.pick(invented), played)
    for way in GROUPS:
        _count(found.counts[way], "played", of_played[way])
        _count(found.counts[way], "missed", of_played[way][missed])
        _count(found.counts[way], "transcribed", of_played[way][i])
        _count(found.counts[way], "transcribed", of_invented[way])
        _count(found.counts[way], "invented", of_invented[way])
    return found


def _count(counts: np.ndarray, column: str, which: np.ndarray) -> None:
    known = which[which >= 0]
    counts[:, COUNTS.index(column)] += np.bincount(known, minlength=len(counts))


def groups(notes: NoteArrays, played: NoteArrays) -> dict[str, np.ndarray]:
    """For each way the group [n] of each of ``notes`` among what was played; -1: in none."""
    keys = notes.pitches - LOWEST_PITCH
    velocities = notes.velocities.astype(int)
    return {
        "key": np.where((keys >= 0) & (keys < KEYS), keys, -1),
        "velocity": np.where(velocities > 0, velocities // VELOCITY_STEP, -1),
        "octave": _octaves(notes, played),
        "repeated": _repeated(notes, played),
        "chord": _chords(notes, played),
    }


def _octaves(notes: NoteArrays, played: NoteArrays) -> np.ndarray:
    """Which of GROUPS["octave"]: what else sounds as each note begins, or begins within 50 ms of it."""
    onsets_s = notes.times_s[:, 0]
    end_s = max(played.times_s[:, 1].max(initial=0.0), onsets_s.max(initial=0.0)) + 2 * ONSET_TOLERANCE_S
    sounding = roll(played, int(np.ceil(end_s * FRAMES_PER_SECOND)) + 1)
    at = np.round(onsets_s * FRAMES_PER_SECOND).astype(int)
    around = sounding[at] | sounding[at + round(ONSET_TOLERANCE_S * FRAMES_PER_SECOND)]  # [n, 128]
    above = _any_at(around, notes.pitches, (-12, -24))
    below = _any_at(around, notes.pitches, (12, 24))
    fifth = _any_at(around, notes.pitches, (7, -7, 19, -19))
    return np.select([above, below, fifth], [0, 1, 2], 3)


def _any_at(sounding: np.ndarray, pitches: np.ndarray, distances: tuple[int, ...]) -> np.ndarray:
    """Whether, for each note, a pitch sounds at one of the distances from it: bool [n]."""
    found = np.zeros(len(pitches), dtype=bool)
    for distance in distances:
        other = pitches + distance
        inside = (other >= 0) & (other < _PITCHES)
        found |= inside & sounding[np.arange(len(pitches)), np.clip(other, 0, _PITCHES - 1)]
    return found


def _repeated(notes: NoteArrays, played: NoteArrays) -> np.ndarray:
    """Which of GROUPS["repeated"]: the time since the last stroke of the same key."""
    since = np.full(len(notes), np.inf)
    for pitch in np.unique(notes.pitches):
        which = np.flatnonzero(notes.pitches == pitch)
        strokes = np.sort(played.times_s[played.pitches == pitch, 0])
        onsets = notes.times_s[which, 0]
        last = np.searchsorted(strokes, onsets) - 1  # before it: a note is not its own repetition
        known = last >= 0
        since[which[known]] = onsets[known] - strokes[last[known]]
    return np.searchsorted(REPEATED_WITHIN_S, since)


def _chords(notes: NoteArrays, played: NoteArrays) -> np.ndarray:
    """Which of GROUPS["chord"]: the played notes within 30 ms, and the note itself."""
    onsets, strokes = notes.times_s[:, 0], np.sort(played.times_s[:, 0])
    near = np.searchsorted(strokes, onsets + CHORD_S, side="right") - np.searchsorted(
        strokes, onsets - CHORD_S
    )
    itself = 0 if notes is played else 1
    return np.clip(near + itself, 1, MOST_IN_CHORD) - 1
