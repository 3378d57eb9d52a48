"""How sure a mean over files is: the percentile bootstrap (Efron and Tibshirani 1993, chapter 13)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .scores import F1_FIELDS, Scores

RESAMPLES = 2000
CONFIDENCE_PERCENT = 95
SEED = 0  #: the same files give the same interval

Interval = tuple[float, float]


def intervals(scores: Sequence[Scores]) -> dict[str, Interval | None]:
    """For each F1 of :class:`Scores` where 95 of 100 means over files so drawn lie: (lowest, highest).

    None where fewer than two files have the score: one file tells nothing of others.
    """
    files = {name: [getattr(one, name) for one in scores] for name in F1_FIELDS}
    return {
        name: interval([score.f1 for score in column if score is not None]) for name, column in files.items()
    }


def interval(values: Sequence[float]) -> Interval | None:
    """Of the mean of ``values``; None for fewer than two."""
    if len(values) < 2:
        return None
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(values), size=(RESAMPLES, len(values)))
    means = np.asarray(values, dtype=float)[drawn].mean(axis=1)
    tail = (100 - CONFIDENCE_PERCENT) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
