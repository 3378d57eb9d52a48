"""Scores transcriptions against the played notes, file by file and run by run.

A run is one program with one setting: hppnet at one latency, or a peer. Recordings are opened by a function
that is passed in (``hppnet.offline.reading.open_recording``): ``training`` imports no ``offline``. Scores are
those of :mod:`.scores`. The interval of a mean over files is a percentile bootstrap (Efron and Tibshirani
1993, chapter 13).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from .conditions import Listening
from .mistakes import Mistakes, mistakes_of
from .pedal_scores import PedalScores, mean_pedal, score_pedal
from .programs import Answer, ProgramOutput
from .recordings import Pair
from .scores import F1_FIELDS, Scores, mean, score


@dataclass(frozen=True)
class EvaluationOutcome:
    """The result of one file in one run: scores, or an error in one line."""

    name: str
    run: str = ""
    scores: Scores | None = None  #: None also for recordings without piano
    pedal: PedalScores | None = None  #: None unless the labels have the pedal and the program predicts it
    false_notes: int | None = None  #: number of notes detected in a recording without piano
    mistakes: Mistakes | None = None
    output: ProgramOutput | None = None  #: without its notes
    error: str | None = None


def outcomes(
    answer: Answer, listening: Listening, with_mistakes: bool = False
) -> Iterator[EvaluationOutcome]:
    """The outcomes of one recording, one for each run."""
    pair, outputs = answer
    if isinstance(outputs, str):
        yield EvaluationOutcome(pair.name, error=outputs)
        return
    for one in outputs:
        yield _outcome(pair, one, listening, with_mistakes)


def _outcome(
    pair: Pair, output: ProgramOutput, listening: Listening, with_mistakes: bool
) -> EvaluationOutcome:
    bare = replace(output, notes=[], pedal=None)
    if pair.played is None:
        return EvaluationOutcome(pair.name, output.run, false_notes=len(output.notes), output=bare)
    played = listening.notes(pair.played)
    found = mistakes_of(played, output.notes) if with_mistakes else None
    pedal = None
    if pair.pedal is not None and output.pedal is not None:
        pedal = score_pedal(played, listening.presses(pair.pedal), output.notes, output.pedal)
    return EvaluationOutcome(
        pair.name, output.run, score(played, output.notes), pedal, mistakes=found, output=bare
    )


@dataclass(frozen=True)
class EvaluationRun:
    """The results of one run over all files."""

    name: str
    files: dict[str, Scores]  #: by name, sorted
    quiet: dict[str, float]  #: false notes a minute in each recording without piano
    false_per_minute: float | None  #: false notes a minute over all of ``quiet``
    false_notes: dict[str, int]  #: number of false notes, likewise by recording
    x_realtime: float | None  #: seconds of sound for each second of computing
    peak_mib: float | None  #: peak memory of any of its processes
    mistakes: Mistakes | None  #: over all files
    pedals: dict[str, PedalScores] = field(default_factory=dict)  #: by name, sorted

    @property
    def with_false_notes(self) -> int:
        """The number of recordings without piano in which a note was detected."""
        return sum(count > 0 for count in self.false_notes.values())

    @property
    def pedal(self) -> PedalScores | None:
        """The mean of the files in which the pedal was scored."""
        return mean_pedal(list(self.pedals.values())) if self.pedals else None

    @property
    def mean(self) -> Scores | None:
        return mean(list(self.files.values())) if self.files else None

    @property
    def intervals(self) -> dict[str, Interval | None]:
        """The bootstrap intervals of the mean's F1s, see :func:`intervals`."""
        return intervals(list(self.files.values()))


def runs_of(found: Iterable[EvaluationOutcome]) -> list[EvaluationRun]:
    """The runs in the order in which their first outcomes came; failures are left out."""
    by_run: dict[str, list[EvaluationOutcome]] = defaultdict(list)
    for outcome in found:
        if outcome.error is None:
            by_run[outcome.run].append(outcome)
    return [_run(name, sorted(files, key=lambda o: o.name)) for name, files in by_run.items()]


def _run(name: str, files: Sequence[EvaluationOutcome]) -> EvaluationRun:
    outputs = [outcome.output for outcome in files if outcome.output is not None]
    wall_s = sum(one.wall_s or 0.0 for one in outputs)
    quiet = [o for o in files if o.false_notes is not None and o.output is not None]
    minutes = sum(_minutes(o) for o in quiet)
    found = [outcome.mistakes for outcome in files if outcome.mistakes is not None]
    return EvaluationRun(
        name,
        {o.name: o.scores for o in files if o.scores is not None},
        {o.name: (o.false_notes or 0) / _minutes(o) for o in quiet},
        sum(o.false_notes or 0 for o in quiet) / minutes if quiet else None,
        {o.name: o.false_notes or 0 for o in quiet},
        sum(one.sound_s for one in outputs) / wall_s if wall_s else None,
        max((one.peak_mib for one in outputs if one.peak_mib is not None), default=None),
        Mistakes.total(found) if found else None,
        {o.name: o.pedal for o in files if o.pedal is not None},
    )


def _minutes(outcome: EvaluationOutcome) -> float:
    assert outcome.output is not None
    return max(outcome.output.sound_s, 0.02) / 60


RESAMPLES = 2000
CONFIDENCE_PERCENT = 95
SEED = 0  #: the same files give the same interval

Interval = tuple[float, float]


def intervals(scores: Sequence[Scores]) -> dict[str, Interval | None]:
    """The 95 % bootstrap interval (lowest, highest) of the mean over files, for each F1 of :class:`Scores`.

    None if fewer than two files have the score.
    """
    files = {name: [getattr(one, name) for one in scores] for name in F1_FIELDS}
    return {
        name: interval([score.f1 for score in column if score is not None]) for name, column in files.items()
    }


def interval(values: Sequence[float]) -> Interval | None:
    """The bootstrap interval of the mean of ``values``; None for fewer than two."""
    if len(values) < 2:
        return None
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values, dtype=float)[drawn].mean(axis=1)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
