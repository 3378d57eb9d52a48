"""Counts missed and invented notes, by properties of the notes.

A played note is missed, and a transcribed note is invented, if it has no counterpart of the same key within
50 ms (:func:`.scores.match`). Notes are grouped in several ways:

key         one group per key
velocity    as played, or for an invented note as transcribed; unknown velocities (0) are left out
octave      one or two octaves above, or below, a played note that sounds at the onset (within 50 ms);
            a fifth or a twelfth from such a note; or none of these
repeated    time since the key was last played
chord       number of notes played within 30 ms, including the note itself

A correct transcribed note counts in the groups of the played note. An invented note counts in the groups
that it would have if it had been played.
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
MOST_IN_CHORD = 6  #: larger chords included
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
    """For each way of grouping, the group [n] of each note, given all ``played`` notes; -1: no group."""
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
    """Index [n] into GROUPS["octave"], by the played notes that sound at each onset or 50 ms later."""
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
    """Index [n] into GROUPS["repeated"], by the time since the key was last played."""
    since = np.full(len(notes), np.inf)
    for pitch in np.unique(notes.pitches):
        which = np.flatnonzero(notes.pitches == pitch)
        strokes = np.sort(played.times_s[played.pitches == pitch, 0])
        onsets = notes.times_s[which, 0]
        last = np.searchsorted(strokes, onsets) - 1  # strictly earlier: a note is not its own repetition
        known = last >= 0
        since[which[known]] = onsets[known] - strokes[last[known]]
    return np.searchsorted(REPEATED_WITHIN_S, since)


def _chords(notes: NoteArrays, played: NoteArrays) -> np.ndarray:
    """Index [n] into GROUPS["chord"], by the played notes within 30 ms and the note itself."""
    onsets, strokes = notes.times_s[:, 0], np.sort(played.times_s[:, 0])
    near = np.searchsorted(strokes, onsets + CHORD_S, side="right") - np.searchsorted(
        strokes, onsets - CHORD_S
    )
    itself = 0 if notes is played else 1
    return np.clip(near + itself, 1, MOST_IN_CHORD) - 1
