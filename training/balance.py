"""Loss weights that follow the losses, so that no head drowns another.

Uncertainty weighting (Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh
losses", CVPR 2018) in the closed form of Kirchdorfer et al., "Analytical uncertainty-based loss
weighting in multi-task learning" (GCPR 2024, section 3.2): where the learned variances would settle,
each loss weighs one over itself. Here over its running mean, which is smoother than one batch.
"""

from __future__ import annotations

import math

from .losses import Losses

MEMORY = 0.98  #: of the running means, a step
MOST = 100.0  #: no loss is raised further above the others' mean


class Balance:
    """The running mean of each head's loss: state of a run."""

    def __init__(self, means: dict[str, float] | None = None) -> None:
        self.means = dict(means or {})

    def weights(self, how: Losses) -> dict[str, float]:
        """What each head's loss is multiplied by. With ``uncertainty`` the heads that count at all
        (weight above zero) contribute equally, times their weights."""
        heads = [head for head, weight in how.weights.items() if weight]
        if how.balance == "fixed" or not self.means:
            return how.weights
        level = sum(self.means[head] for head in heads) / len(heads)
        floor = max(level / MOST, 1e-12)
        return {head: w * level / max(self.means[head], floor) for head, w in how.weights.items()}

    def update(self, parts: dict[str, float]) -> None:
        """Takes note of a step's losses; of those that are no number, not."""
        for head, part in parts.items():
            if math.isfinite(part):
                self.means[head] = MEMORY * self.means.get(head, part) + (1 - MEMORY) * part
