"""Scores of the sustain pedal, and of notes that end when they stop sounding.

``frame`` compares every 10 ms whether the pedal is down. ``down`` and ``up`` compare the times at which it
moves, within 200 ms, each used once. ``sounding`` scores note onset + offset, where both played and
transcribed notes end when they stop sounding. ``keys`` scores the transcribed key releases against these
played ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mir_eval.util import match_events

from ...model.notes import Note, Press, sounding
from .scores import (
    FRAMES_PER_SECOND,
    OFFSET_RATIO,
    ONSET_TOLERANCE_S,
    PRF,
    NoteArrays,
    match,
    mean_fields,
    roll,
)

EVENT_TOLERANCE_S = 0.2


@dataclass(frozen=True)
class PedalScores:
    """The scores of one file, or their mean over files; None where there was nothing to score. In percent."""

    frame: PRF | None
    down: PRF | None
    up: PRF | None
    sounding: PRF | None
    keys: PRF | None


def score_pedal(
    played: Sequence[Note],
    pressed: Sequence[Press],
    transcribed: Sequence[Note],
    transcribed_presses: Sequence[Press],
) -> PedalScores:
    """All scores of a transcription against the played notes and presses. Notes end at key releases."""
    true_ends = sounding(played, pressed)
    return PedalScores(
        _frames(pressed, transcribed_presses),
        _events([p.down_s for p in pressed], [p.down_s for p in transcribed_presses]),
        _events([p.up_s for p in pressed], [p.up_s for p in transcribed_presses]),
        _notes(true_ends, sounding(transcribed, transcribed_presses)),
        _notes(true_ends, transcribed),
    )


def _frames(pressed: Sequence[Press], transcribed: Sequence[Press]) -> PRF | None:
    end_s = max((press.up_s for press in (*pressed, *transcribed)), default=0.0)
    frames = int(np.ceil(end_s * FRAMES_PER_SECOND)) + 1
    true, guess = (_down(presses, frames) for presses in (pressed, transcribed))
    return PRF.of(int((true & guess).sum()), int(guess.sum()), int(true.sum()))


def _down(presses: Sequence[Press], frames: int) -> np.ndarray:
    """Whether the pedal is down at each instant: bool [frames]. Presses are treated as notes."""
    return roll(NoteArrays.of([Note(press.down_s, press.up_s, 0, 0) for press in presses]), frames)[:, 0]


def _events(true_s: list[float], transcribed_s: list[float]) -> PRF | None:
    right = len(match_events(true_s, transcribed_s, EVENT_TOLERANCE_S)) if true_s and transcribed_s else 0
    return PRF.of(right, len(transcribed_s), len(true_s))


def _notes(played: Sequence[Note], transcribed: Sequence[Note]) -> PRF | None:
    a, b = NoteArrays.of(played), NoteArrays.of(transcribed)
    return PRF.of(len(match(a, b, ONSET_TOLERANCE_S, OFFSET_RATIO)), len(b), len(a))


def mean_pedal(scores: Sequence[PedalScores]) -> PedalScores:
    """The mean of each score over the files that have it. Needs at least one file."""
    return PedalScores(**mean_fields(scores))
