"""What the network is taught by: a loss for each head, counted per note, and how much each head counts.

bce
    Binary cross-entropy; ``positive`` weighs what there is to find.
focal
    Lin et al., "Focal Loss for Dense Object Detection" (ICCV 2017), in the form that also takes
    targets between 0 and 1 (Li et al., "Generalized Focal Loss", NeurIPS 2020, section 3.2): the
    cross-entropy times |target - probability| ** gamma, what there is to find times alpha and the
    rest times 1 - alpha.
combo
    Taghanaki et al., "Combo Loss" (Computerized Medical Imaging and Graphics 75, 2019): a share of
    cross-entropy, the rest Dice; Dice of each excerpt, times its frames, so that excerpts add up.

Velocity is taught by a square error where the onset target is above zero and the velocity known.

``balance = "uncertainty"`` lets the weights follow the losses, so that no head drowns another: uncertainty
weighting (Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", CVPR 2018) in
the closed form of Kirchdorfer et al., "Analytical uncertainty-based loss weighting in multi-task learning"
(GCPR 2024, section 3.2): where the learned variances would settle, each loss weighs one over itself. Here it
is one over the loss's running mean, which is smoother than one batch.
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
NEAR_FRAMES = 10  #: of a change of the pedal: 0.2 s
BALANCES = ("fixed", "uncertainty")


@dataclass(frozen=True)
class Losses:
    """How each head is taught, and how much it counts."""

    onset: float = 1.0
    frame: float = 0.15
    offset: float = 0.4
    velocity: float = 1.0
    pedal: float = 1.0  #: of a head that shares nothing with the others: it moves itself alone
    features: float = 8.0  #: how near they come to the teacher's, where there is one
    onset_kind: str = "bce"
    frame_kind: str = "bce"
    offset_kind: str = "bce"
    positive: float = 1.0  #: of a cross-entropy, where there is something to find
    onset_positive: float = 0.0  #: in its place for onsets; 0: the same
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    combo_share: float = 0.5  #: of cross-entropy; the rest is Dice
    balance: str = "fixed"  #: or "uncertainty", see :mod:`.balance`

    def __post_init__(self) -> None:
        for head in NOTE_HEADS:
            if (kind := getattr(self, f"{head}_kind")) not in KINDS:
                raise ValueError(f"{head}_kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if self.balance not in BALANCES:
            raise ValueError(f"balance must be one of {', '.join(BALANCES)}, got {self.balance!r}")
        if min(self.weights.values()) < 0 or not any(self.weights.values()):
            raise ValueError("losses must not count less than 0, and at least one must count more")
        for name in ("pedal", "features"):
            if getattr(self, name) < 0:
                raise ValueError(f"losses must not count less than 0, got {getattr(self, name):g} for {name}")
        if self.positive <= 0 or min(self.focal_gamma, self.onset_positive) < 0:
            raise ValueError("positive must be above 0, focal_gamma and onset_positive at least 0")
        if not (0 <= self.focal_alpha <= 1 and 0 <= self.combo_share <= 1):
            raise ValueError("focal_alpha and combo_share must lie between 0 and 1")

    @property
    def weights(self) -> dict[str, float]:
        return {head: getattr(self, head) for head in HEADS}

    def of(self, head: str) -> Losses:
        """How one head is taught: ``positive`` is the head's."""
        return replace(self, positive=self.onset_positive or self.positive) if head == "onset" else self


def count_notes(wanted: Tensor) -> Tensor:
    """How many notes begin in targets [B, T, 88, 4]: an onset's triangle adds up to 2."""
    return wanted[..., 0].sum() / 2


def head_losses(
    logits: Logits, wanted: Tensor, how: Losses, notes: Tensor, ends: Tensor | None = None
) -> dict[str, Tensor]:
    """Each head's loss, from the network's logits and targets [B, T, 88, 4].

    Everything is summed and divided by the number of notes, so that a dense passage counts as much a
    note as a sparse one, and parts of a batch add up: ``notes`` is the number of the whole batch.
    ``ends`` [B, T] weighs the frame and offset losses, where labels are less sure about ends.
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
    """Cross-entropy of the pedal's logits [B, T] where the target is known (not -1), a frame's mean.

    Frames near a change count three times: most lifts of the pedal last a few frames among many.
    ``frames`` is how many are known in the whole batch, so that parts of it add up.
    """
    known = (wanted >= 0).to(logits.dtype)
    changes = F.pad((wanted[:, 1:] != wanted[:, :-1]).to(logits.dtype), (1, 0))
    near = F.max_pool1d(changes[:, None], 2 * NEAR_FRAMES + 1, 1, NEAR_FRAMES)[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits, wanted.clamp_min(0), reduction="none")
    return (entropy * known * (1 + 2 * near)).sum() / frames.clamp_min(1.0)


def _loss(logits: Tensor, wanted: Tensor, kind: str, how: Losses, share: Tensor | None) -> Tensor:
    """The sum over logits and targets [B, T, 88] of one head, weighted by ``share`` [B, T, 1]."""
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
