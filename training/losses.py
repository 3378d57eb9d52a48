"""The losses: one for each head, per note, and the weight of each head.

bce
    Binary cross-entropy; ``positive`` is the weight of positive targets.
focal
    Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), in the form that also takes
    targets between 0 and 1 (Li et al., "Generalized Focal Loss", NeurIPS 2020, section 3.2): the
    cross-entropy times |target - probability| ** gamma, positive targets times alpha and negative ones
    times 1 - alpha.
combo
    Taghanaki et al., "Combo Loss" (Computerized Medical Imaging and Graphics 75, 2019): a share of
    cross-entropy, the rest Dice. The Dice loss of each excerpt is multiplied by the sum of its targets, so
    that excerpts add up.

The loss of velocity is a squared error, where the onset target is above zero and the velocity is known.

With ``balance = "uncertainty"`` the weights follow the losses, so that no head dominates: uncertainty
weighting (Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018) in
the closed form of Kirchdorfer et al., "Analytical uncertainty-based loss weighting in multi-task learning"
(GCPR 2024, section 3.2): at the optimum of the learned variances, the weight of a loss is its reciprocal.
Here it is the reciprocal of the loss's running mean, which is smoother than a single batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.config import HEADS, NOTE_HEADS
from ..model.network import Logits

KINDS = ("bce", "focal", "combo")
NEAR_FRAMES = 10  #: frames on each side of a pedal change that count more: 0.2 s
BALANCES = ("fixed", "uncertainty")


@dataclass(frozen=True)
class Losses:
    """The kind and the weight of each head's loss."""

    onset: float = 1.0
    frame: float = 0.15
    offset: float = 0.4
    velocity: float = 1.0
    pedal: float = 1.0  #: weight of the pedal head, whose gradient reaches no other part
    features: float = 8.0  #: weight of the distance from a teacher's features
    onset_kind: str = "bce"
    frame_kind: str = "bce"
    offset_kind: str = "bce"
    positive: float = 1.0  #: weight of positive targets in the cross-entropy
    onset_positive: float = 0.0  #: replaces ``positive`` for onsets, unless 0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    combo_share: float = 0.5  #: share of cross-entropy; the rest is Dice
    balance: str = "fixed"  #: "fixed" or "uncertainty"

    def __post_init__(self) -> None:
        for head in NOTE_HEADS:
            if (kind := getattr(self, f"{head}_kind")) not in KINDS:
                raise ValueError(f"{head}_kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if self.balance not in BALANCES:
            raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {self.balance!r}")
        if min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ValueError("weights of losses must not be negative, and at least one must be above 0")
        for name in ("pedal", "features"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"weights of losses must not be negative, got {getattr(self, name):g} for {name}"
                )
        if self.positive <= 0 or min(self.focal_gamma, self.onset_positive) < 0:
            raise ValueError("positive must be above 0, focal_gamma and onset_positive at least 0")
        if not (0 <= self.focal_alpha <= 1 and 0 <= self.combo_share <= 1):
            raise ValueError("focal_alpha and combo_share must lie between 0 and 1")

    @property
    def weights(self) -> dict[str, float]:
        return {head: getattr(self, head) for head in HEADS}

    def of(self, head: str) -> Losses:
        """These settings for one head, with its own ``positive``."""
        return replace(self, positive=self.onset_positive or self.positive) if head == "onset" else self


def count_notes(wanted: Tensor) -> Tensor:
    """How many notes begin in targets [B, T, 88, 4]: an onset's triangle adds up to 2."""
    return wanted[..., 0].sum() / 2


def head_losses(
    logits: Logits, wanted: Tensor, how: Losses, notes: Tensor, ends: Tensor | None = None
) -> dict[str, Tensor]:
    """Each head's loss, from the network's logits and targets [B, T, 88, 4].

    Each loss is a sum divided by ``notes``, the number of notes in the whole batch: a note counts as much
    in a dense passage as in a sparse one, and parts of a batch add up. ``ends`` [B, T] are weights of the
    frame and offset losses, lower where the labels of note ends are less reliable.
    """
    notes = notes.clamp_min(1.0)
    parts = {}
    for k, head in enumerate(NOTE_HEADS):
        share = None if ends is None or head == "onset" else ends[..., None]
        kind = getattr(how, f"{head}_kind")
        parts[head] = _loss(logits.notes[..., k], wanted[..., k], kind, how.of(head), share) / notes
    onset, velocity = wanted[..., 0], wanted[..., 3]
    known = onset * (velocity > 0)
    parts["velocity"] = (known * (logits.velocity - velocity).square()).sum() / notes
    return parts


def pedal_loss(logits: Tensor, wanted: Tensor, frames: Tensor) -> Tensor:
    """Mean cross-entropy per frame of the pedal's logits [B, T], where the target is known (not -1).

    Frames near a change count three times: most lifts of the pedal last only a few frames.
    ``frames`` is the number of known frames in the whole batch, so that its parts add up.
    """
    known = (wanted >= 0).to(logits.dtype)
    changes = F.pad((wanted[:, 1:] != wanted[:, :-1]).to(logits.dtype), (1, 0))
    near = F.max_pool1d(changes[:, None], 2 * NEAR_FRAMES + 1, 1, NEAR_FRAMES)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted.clamp_min(0), reduction="none")
    return (entropy * known * (1 + 2 * near)).sum() / frames.clamp_min(1.0)


def _loss(logits: Tensor, wanted: Tensor, kind: str, how: Losses, share: Tensor | None) -> Tensor:
    """The summed loss of one head's logits and targets [B, T, 88], weighted by ``share`` [B, T, 1]."""
    if kind == "focal":
        return _focal(logits, wanted, how.focal_alpha, how.focal_gamma, share)
    if kind == "combo":
        entropy = _bce(logits, wanted, how.positive, share)
        return how.combo_share * entropy + (1 - how.combo_share) * _dice(logits, wanted, share)
    return _bce(logits, wanted, how.positive, share)


def _bce(logits: Tensor, wanted: Tensor, positive: float, share: Tensor | None) -> Tensor:
    weight = None if positive == 1 else logits.new_tensor(positive)
    return F.binary_cross_entropy_with_logits(logits, wanted, share, reduction="sum", pos_weight=weight)


def _focal(logits: Tensor, wanted: Tensor, alpha: float, gamma: float, share: Tensor | None) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, share, reduction="none")
    balance = alpha * wanted + (1 - alpha) * (1 - wanted)
    # Not quite zero: the power's derivative at zero may be infinite.
    distance = (torch.sigmoid(logits) - wanted).abs().clamp_min(1e-6)
    return (balance * distance**gamma * entropy).sum()


def _dice(logits: Tensor, wanted: Tensor, share: Tensor | None) -> Tensor:
    guess = torch.sigmoid(logits)
    if share is not None:
        guess, wanted = guess * share, wanted * share
    guess, wanted = guess.flatten(1), wanted.flatten(1)
    frames = wanted.sum(1)
    overlap = (2 * (guess * wanted).sum(1) + 1) / (guess.sum(1) + frames + 1)
    return ((1 - overlap) * frames).sum()


MEMORY = 0.98  #: share of a running mean that stays at each step
MOST = 100.0  #: largest factor by which balancing raises a weight


class Balance:
    """The running means of the heads' losses, which are part of a run's state."""

    def __init__(self, means: dict[str, float] | None = None) -> None:
        self.means = dict(means or {})

    def weights(self, how: Losses) -> dict[str, float]:
        """The factor of each head's loss.

        With ``uncertainty`` all heads of weight above zero contribute equally, times their weights.
        """
        heads = [head for head, weight in how.weights.items() if weight]
        if how.balance == "fixed" or not self.means:
            return how.weights
        level = sum(self.means[head] for head in heads) / len(heads)
        floor = max(level / MOST, 1e-12)
        return {head: w * level / max(self.means[head], floor) for head, w in how.weights.items()}

    def update(self, parts: dict[str, float]) -> None:
        """Adds a step's losses to the means, except those that are not finite."""
        for head, part in parts.items():
            if math.isfinite(part):
                self.means[head] = MEMORY * self.means.get(head, part) + (1 - MEMORY) * part
