"""Validation: scores of the averaged weights on held-out recordings, offline and streaming.

The shipped :class:`~hppnet.model.transcriber.Transcriber` transcribes, so that users get the same results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.config import HEADS, ModelConfig
from ..model.network import HPPNet
from ..model.notes import Note
from ..model.timebase import FRAMES_PER_SECOND, KEYS, SAMPLE_RATE
from ..model.transcriber import DEFAULT_LATENCY_MS, transcriber_of
from .data.dataset import TrainingRecording
from .data.labels import targets
from .evaluate.scores import Scores, mean, score

MODES = {"offline": None, "streaming": DEFAULT_LATENCY_MS}  #: name -> latency in ms
SCORES = {"onset": "onset_50ms", "note": "onset_offset", "frame": "frame"}  #: name -> field of Scores
PICTURE_S = 10  #: part of the first recording in the picture
PIXELS = 3  #: width of a frame and height of a key


@dataclass(frozen=True)
class Validated:
    """The result of a validation."""

    f1: float  #: percent: the mean of the onset F1 (50 ms) of all modes; NaN where there were no notes
    values: dict[str, float]  #: "offline_onset" and so on, F1 in percent
    picture: np.ndarray  #: bytes [H, W, 3], see :func:`picture`


def validate(
    network: HPPNet,
    config: ModelConfig,
    recordings: Sequence[TrainingRecording],
    first_s: float,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Validated:
    """Transcribes and scores the first ``first_s`` seconds of each recording (at least one), in each mode."""
    transcriber = transcriber_of(network, config)
    scores: dict[str, list[Scores]] = {mode: [] for mode in MODES}
    drawn = None
    for number, recording in enumerate(recordings):
        report(number, len(recordings))
        samples, played = beginning(recording, first_s)
        for mode, latency_ms in MODES.items():
            transcribed = transcriber.transcribe_blocks(
                [samples], SAMPLE_RATE, latency_ms=latency_ms, keep_probabilities=drawn is None
            )
            scores[mode].append(score(played, transcribed.notes))
            if drawn is None:
                assert transcribed.probabilities is not None
                drawn = picture(recording.notes, transcribed.probabilities)
    assert drawn is not None, "no recordings"
    values = _values({mode: mean(found) for mode, found in scores.items()})
    return Validated(float(np.mean([values[f"{mode}_onset"] for mode in MODES])), values, drawn)


def beginning(recording: TrainingRecording, first_s: float) -> tuple[np.ndarray, list[Note]]:
    """The first seconds of a recording: samples [n], and notes with offsets cut at their end."""
    samples = np.asarray(recording.samples[: round(first_s * SAMPLE_RATE)], dtype=np.float32) / 32768
    begun = recording.notes[recording.notes[:, 0] < first_s]
    return samples, [Note(on, min(off, first_s), int(pitch), int(v)) for on, off, pitch, v in begun]


def _values(scores: dict[str, Scores]) -> dict[str, float]:
    found = {}
    for mode, of_mode in scores.items():
        for name, field in SCORES.items():
            one = getattr(of_mode, field)
            found[f"{mode}_{name}"] = math.nan if one is None else one.f1
    return found


def picture(notes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Targets against predictions as bytes [H, W, 3], high keys on top: onsets above, frames below.

    On white, correct predictions are black, missed targets orange, false predictions blue.
    ``notes`` [n, 4], ``probabilities`` [T, 88, 4].
    """
    predicted = probabilities[: PICTURE_S * FRAMES_PER_SECOND]
    wanted = targets(notes, len(predicted)).stacked()
    rolls = [_roll(wanted[..., head], predicted[..., head]) for head in map(HEADS.index, ("onset", "frame"))]
    line = np.full((1, len(predicted), 3), 0.6)
    image = np.concatenate([rolls[0], line, rolls[1]]).repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)
    return (255 * image).round().astype(np.uint8)


def _roll(wanted: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Targets and predictions [T, 88], 0 to 1, as colours [88, T, 3]."""
    assert wanted.shape[1] == KEYS
    wanted, predicted = wanted.T[::-1], predicted.T[::-1]
    # Red falls with the prediction, blue with the target.
    return np.stack([1 - predicted, 1 - (wanted + predicted) / 2, 1 - wanted], axis=-1)
