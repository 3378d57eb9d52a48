"""Predicts where the notes of a recording end, once the sound and the notes after them are known.

A key's LSTMs know no other key. But a key that is released under the pedal is hardly heard: what the other
keys play tells more. Here a small network reads, for each note, its key's frame and offset probabilities
after the onset, when the decoder ends it, and the notes around it; and predicts the probabilities of lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .timebase import FRAMES_PER_SECOND, LOWEST_PITCH

PREFIX = "releases."  #: of the weights' names in a checkpoint
LAYERS = 3
#: Lengths of notes in seconds: the classes that are predicted, and their limits.
LIMITS_S = np.geomspace(0.03, 6.0, 65)
LENGTHS_S = np.sqrt(LIMITS_S[1:] * LIMITS_S[:-1])
#: Limits of the cells in which the other notes are counted: seconds from the onset, semitones from the key.
AROUND_S = np.array([
    -1.5, -1.0, -0.7, -0.5, -0.35, -0.25, -0.17, -0.1, -0.06, -0.03,
    0.03, 0.06, 0.1, 0.15, 0.2, 0.27, 0.35, 0.45, 0.57, 0.72, 0.9, 1.15, 1.5, 2.0, 2.7, 3.6,
])  # fmt: skip
INTERVALS = np.array([-48, -24, -12, -11, -7, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 8, 12, 13, 25, 49])
CELLS = (len(AROUND_S) - 1, len(INTERVALS) - 1)
MOST_IN_CELL = 3
FACTS = 4  #: of the note itself: its next stroke, velocity, key, and the decoder's end
INPUTS = CELLS[0] * CELLS[1] + FACTS + 2 * len(LENGTHS_S)
LONGEST_S = float(LIMITS_S[-1])  #: what lies farther from an onset does not matter
OFFSET_SHARE, OFFSET_TOLERANCE_S = 0.2, 0.05  #: an end is right within the larger one, as in mir_eval
MARGIN = 0.2  #: the decoder's end stays unless another is better by so much


@dataclass(frozen=True)
class NoteTable:
    """Notes sorted by their onsets [n]."""

    onset_s: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    end_s: np.ndarray  #: where the decoder ends them


@dataclass(frozen=True)
class Releases:
    """The weights: LAYERS pairs of a matrix [out, in] and a bias [out]."""

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray]) -> Releases:
        """From the arrays of ``weights``. Raises ValueError where they do not fit."""
        wanted = {f"{PREFIX}{n}.{part}" for n in range(LAYERS) for part in ("weight", "bias")}
        if set(weights) != wanted:
            raise ValueError(f"expected {', '.join(sorted(wanted))}, found {', '.join(sorted(weights))}")
        layers = tuple((weights[f"{PREFIX}{n}.weight"], weights[f"{PREFIX}{n}.bias"]) for n in range(LAYERS))
        sizes = [INPUTS, *(len(bias) for _, bias in layers)]
        shapes = [weight.shape for weight, _ in layers]
        if sizes[-1] != len(LENGTHS_S) or shapes != list(zip(sizes[1:], sizes[:-1], strict=True)):
            raise ValueError(
                f"{PREFIX}: expected {INPUTS} inputs and {len(LENGTHS_S)} outputs, found {shapes}"
            )
        return cls(layers)

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The arrays by their names in a checkpoint."""
        pairs = enumerate(self.layers)
        return {
            f"{PREFIX}{n}.{part}": x
            for n, pair in pairs
            for part, x in zip(("weight", "bias"), pair, strict=True)
        }

    def ends(self, notes: NoteTable, which: np.ndarray, keys: np.ndarray, first_frame: int) -> np.ndarray:
        """Where the notes of the numbers ``which`` end, in seconds [m]. ``keys`` as for ``inputs``.

        The length of the highest expected WORTH is chosen; the decoder's end stays, since it is more exact,
        unless another is worth more by MARGIN.
        """
        likely = self.probabilities(inputs(notes, which, keys, first_frame))
        worth = np.einsum("nt,tc->nc", likely, WORTH)
        found_s = notes.end_s[which] - notes.onset_s[which]
        found, best, row = length_class(found_s), worth.argmax(axis=1), np.arange(len(which))
        better = worth[row, best] - worth[row, found] >= MARGIN
        return np.where(better, notes.onset_s[which] + LENGTHS_S[best], notes.end_s[which])

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """The probabilities of LENGTHS_S [m, 64], from inputs [m, INPUTS]."""
        x = inputs
        for number, (weight, bias) in enumerate(self.layers):
            # Not @: the threads of BLAS would keep every core busy, and round by the number of notes.
            x = np.einsum("ni,oi->no", np.maximum(x, 0) if number else x, weight) + bias
        likely = np.exp(x - x.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)


def length_class(length_s: np.ndarray) -> np.ndarray:
    """The numbers of lengths in LENGTHS_S; shorter and longer ones count as the first and the last."""
    return np.clip(np.searchsorted(LIMITS_S, length_s) - 1, 0, len(LENGTHS_S) - 1)


def _worth() -> np.ndarray:
    """[true length, chosen length]: 1 where the chosen one is right, and half of how far the two overlap.

    So the middle one is chosen of several that are as surely right, and a wrong one covers the true one.
    """
    true, chosen = LENGTHS_S[:, None], LENGTHS_S
    right = np.abs(true - chosen) <= np.maximum(OFFSET_TOLERANCE_S, OFFSET_SHARE * true)
    overlap = 2 * np.minimum(true, chosen) / (true + chosen)
    return (right + overlap / 2).astype(np.float32)


WORTH = _worth()


def inputs(
    notes: NoteTable, which: np.ndarray, keys: np.ndarray | None = None, first_frame: int = 0
) -> np.ndarray:
    """The network's inputs [m, INPUTS] for the notes of the numbers ``which`` [m].

    ``keys`` are frame and offset probabilities [T, 88, 2] from frame ``first_frame`` on. None: they and the
    decoder's ends are not known.
    """
    around = _around(notes, which)
    onset_s, pitch = notes.onset_s[which], notes.pitch[which]
    facts = np.stack(
        [
            np.log(np.clip(_next_stroke_s(notes)[which] - onset_s, 0.01, LONGEST_S)),
            notes.velocity[which] / 64 - 1,
            pitch / 44 - 1.5,
            np.log(np.clip(notes.end_s[which] - onset_s, 0.02, LONGEST_S)) if keys is not None else 0 * pitch,
        ],
        axis=1,
    )
    if keys is None:
        evidence = np.zeros((len(which), 2 * len(LENGTHS_S)))
    else:
        evidence = _evidence(onset_s, pitch - LOWEST_PITCH, keys, first_frame)
    return np.concatenate([around, facts, evidence], axis=1).astype(np.float32)


def _around(notes: NoteTable, which: np.ndarray) -> np.ndarray:
    """How many other notes begin in each cell of time and interval around a note [m, cells]."""
    onset_s = notes.onset_s[which]
    first, stop = (np.searchsorted(notes.onset_s, onset_s + AROUND_S[end]) for end in (0, -1))
    count = stop - first
    row = np.repeat(np.arange(len(which)), count)
    other = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    when = np.searchsorted(AROUND_S, notes.onset_s[other] - onset_s[row], side="right") - 1
    interval = np.searchsorted(INTERVALS, notes.pitch[other] - notes.pitch[which][row], side="right") - 1
    inside = (other != which[row]) & (when >= 0) & (when < CELLS[0]) & (interval >= 0) & (interval < CELLS[1])
    cells = CELLS[0] * CELLS[1]
    cell = row[inside] * cells + when[inside] * CELLS[1] + interval[inside]
    counted = np.bincount(cell, minlength=len(which) * cells)
    return np.minimum(counted, MOST_IN_CELL).reshape(len(which), cells)


def _next_stroke_s(notes: NoteTable) -> np.ndarray:
    """When each note's key is played again [n]; infinite if it is not."""
    found = np.full(len(notes.pitch), np.inf)
    order = np.lexsort((notes.onset_s, notes.pitch))
    again = notes.pitch[order][1:] == notes.pitch[order][:-1]
    found[order[:-1][again]] = notes.onset_s[order[1:][again]]
    return found


def _evidence(onset_s: np.ndarray, key: np.ndarray, keys: np.ndarray, first_frame: int) -> np.ndarray:
    """Frame probabilities at LENGTHS_S after the onsets, highest offset probabilities near them [m, 128]."""
    last = len(keys) - 1
    column = key[:, None]
    at = (onset_s[:, None] + LENGTHS_S) * FRAMES_PER_SECOND
    below = np.floor(at).astype(int) - first_frame
    share = at % 1
    frame = keys[np.clip(below, 0, last), column, 0] * (1 - share)
    frame += keys[np.clip(below + 1, 0, last), column, 0] * share
    frame[below > last] = 0.0  # no note outlasts the sound
    limits = (onset_s[:, None] + LIMITS_S) * FRAMES_PER_SECOND
    first = np.floor(limits[:, :-1]).astype(int) - first_frame
    stop = np.ceil(limits[:, 1:]).astype(int) - first_frame
    offset = np.zeros_like(frame)
    for step in range(int((stop - first).max(initial=-1)) + 1):
        near = keys[np.clip(first + step, 0, last), column, 1]
        offset = np.maximum(offset, np.where(first + step <= stop, near, 0.0))
    return np.concatenate([frame, offset], axis=1)
