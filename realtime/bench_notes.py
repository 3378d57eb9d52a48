"""What came back, against what was played: who belongs to whom, how late, how regular, how many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TOLERANCE_S = 0.05  #: of an onset, as everywhere in the field
LATE_S = 0.2  #: beyond the usual delay, a note without a better one may still have arrived

Onset = tuple[float, int]  #: time in s, pitch


@dataclass(frozen=True)
class Delays:
    """Arrival less onset, for the notes that both sides have."""

    delays_s: np.ndarray  #: [n]

    @property
    def median_ms(self) -> float:
        return 1000 * float(np.median(self.delays_s))

    @property
    def p99_ms(self) -> float:
        return 1000 * float(np.percentile(self.delays_s, 99))

    @property
    def jitter_ms(self) -> float:
        """Standard deviation."""
        return 1000 * float(np.std(self.delays_s))


def delays(played: Sequence[Onset], arrived: Sequence[Onset], most_s: float = 0.6) -> Delays:
    """How much later each played note arrived, at most ``most_s``. Raises ValueError if none did."""
    first = matched(played, arrived, 0.0, most_s)
    if not first:
        raise ValueError(f"none of {len(played)} notes arrived within {1000 * most_s:.0f} ms")
    usual_s = float(np.median([arrived[j][0] - played[i][0] for i, j in first]))
    pairs = matched(played, arrived, usual_s - TOLERANCE_S, usual_s + TOLERANCE_S)
    # First who is in time: in repeated notes a late one must not take its successor's place.
    rest = [[*range(len(notes))] for notes in (played, arrived)]
    for side, kept in enumerate(rest):
        used = {pair[side] for pair in pairs}
        kept[:] = [index for index in kept if index not in used]
    late = matched([played[i] for i in rest[0]], [arrived[j] for j in rest[1]], usual_s, usual_s + LATE_S)
    pairs += [(rest[0][i], rest[1][j]) for i, j in late]
    return Delays(np.array([arrived[j][0] - played[i][0] for i, j in sorted(pairs)]))


def onset_f1(played: Sequence[Onset], heard: Sequence[Onset]) -> float:
    """F1 of onsets within 50 ms, in percent; 100 if there is nothing on either side."""
    if not played and not heard:
        return 100.0
    return 200 * len(matched(played, heard, -TOLERANCE_S, TOLERANCE_S)) / (len(played) + len(heard))


def matched(
    played: Sequence[Onset], heard: Sequence[Onset], least_s: float, most_s: float
) -> list[tuple[int, int]]:
    """Pairs (i, j) of one pitch with ``least_s <= heard - played <= most_s``, each used once.

    As many as possible: with windows of one length, taking the earliest that fits is the best there is.
    """
    pairs: list[tuple[int, int]] = []
    for pitch in {pitch for _, pitch in played}:
        theirs = sorted((when, j) for j, (when, which) in enumerate(heard) if which == pitch)
        at = 0
        for onset_s, i in sorted((when, i) for i, (when, which) in enumerate(played) if which == pitch):
            while at < len(theirs) and theirs[at][0] < onset_s + least_s:
                at += 1
            if at < len(theirs) and theirs[at][0] <= onset_s + most_s:
                pairs.append((i, theirs[at][1]))
                at += 1
    return sorted(pairs)
