"""What the network is taught by: binary cross-entropies and a masked square error, per note."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LossWeights:
    """How much each head counts."""

    onset: float = 1.0
    frame: float = 0.15
    offset: float = 0.4
    velocity: float = 1.0


def count_notes(wanted: Tensor) -> Tensor:
    """How many notes begin in targets [B, T, 88, 4]: an onset's triangle adds up to 2."""
    return wanted[..., 0].sum() / 2


def losses(
    logits: Tensor, wanted: Tensor, weights: LossWeights, notes: Tensor | None = None
) -> tuple[Tensor, dict[str, float]]:
    """The sum to minimise, and each head's part, from logits and targets [B, T, 88, 4].

    Everything is summed and divided by the number of notes, so that a dense passage counts as much a
    note as a sparse one. ``notes`` is that number where the batch is shared: the mean over processes.
    """
    onset, frame, offset, velocity = wanted.unbind(-1)
    notes = (count_notes(wanted) if notes is None else notes).clamp_min(1.0)
    known = onset * (velocity > 0)
    parts = {
        "onset": _bce(logits[..., 0], onset) / notes,
        "frame": _bce(logits[..., 1], frame) / notes,
        "offset": _bce(logits[..., 2], offset) / notes,
        "velocity": (known * (torch.sigmoid(logits[..., 3]) - velocity).square()).sum() / notes,
    }
    total = sum(getattr(weights, name) * part for name, part in parts.items())
    return total, {name: part.item() for name, part in parts.items()}


def _bce(logits: Tensor, wanted: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
