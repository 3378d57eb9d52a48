"""Losses of each head, and how they are balanced."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from hppnet.model.network import Logits
from hppnet.training.data.labels import targets
from hppnet.training.losses import KINDS, Balance, Losses, count_notes, head_losses


def losses_of(logits: Tensor, wanted: Tensor, how: Losses, notes: Tensor) -> dict[str, Tensor]:
    """From logits [B, T, 88, 4], of velocities too."""
    whole = Logits(logits[..., :3], torch.sigmoid(logits[..., 3]), None, logits)
    return head_losses(whole, wanted, how, notes)


@pytest.fixture
def wanted() -> Tensor:
    notes = np.array([[0.3, 0.8, 60, 64], [0.31, 0.5, 64, 100]])
    return torch.from_numpy(targets(notes, 50).stacked())[None]


def total(logits: Tensor, wanted: Tensor, how: Losses) -> float:
    parts = losses_of(logits, wanted, how, count_notes(wanted))
    return float(sum(how.weights[head] * part for head, part in parts.items()))


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_least_for_the_truth(wanted: Tensor, kind: str) -> None:
    # alpha 0.5: otherwise a target between 0 and 1 is not the best guess at itself.
    how = Losses(onset_kind=kind, frame_kind=kind, offset_kind=kind, focal_alpha=0.5)
    truth = torch.logit(wanted.clamp(1e-4, 1 - 1e-4))
    for head in range(4):
        for change in (0.5, -8.0):
            off = truth.clone()
            off[..., head] += change
            assert total(off, wanted, how) > total(truth, wanted, how), (head, change)


def test_focal_loss_is_lins_on_targets_of_0_and_1() -> None:
    logits, wanted = torch.randn(2, 7, 88, 4) * 3, torch.zeros(2, 7, 88, 4)
    wanted[0, 3:5, 40:50] = 1
    p = torch.sigmoid(logits[..., 0]).double()
    y = wanted[..., 0].double()
    # Lin et al. (2017), equation 5, written out.
    expected = -(0.3 * y * (1 - p) ** 1.5 * p.log() + 0.7 * (1 - y) * p**1.5 * (1 - p).log()).sum()
    how = Losses(onset_kind="focal", focal_alpha=0.3, focal_gamma=1.5)
    got = losses_of(logits, wanted, how, torch.tensor(10.0))["onset"]
    assert float(got) == pytest.approx(float(expected) / 10, rel=1e-4)
    even = losses_of(logits, wanted, replace(how, focal_alpha=0.5, focal_gamma=0.0), torch.tensor(10.0))
    plain = losses_of(logits, wanted, Losses(), torch.tensor(10.0))
    assert float(even["onset"]) == pytest.approx(float(plain["onset"]) / 2, rel=1e-4)


def test_focal_gradients_are_finite_where_the_guess_is_exact() -> None:
    logits = torch.full((1, 5, 88, 4), -200.0, requires_grad=True)
    how = Losses(onset_kind="focal", focal_gamma=0.5)
    losses_of(logits, torch.zeros(1, 5, 88, 4), how, torch.tensor(1.0))["onset"].backward()
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


def test_dice_counts_overlap_whatever_the_silence(wanted: Tensor) -> None:
    """With Dice alone a silent excerpt costs nothing, and a missed one all its frames."""
    how = Losses(frame_kind="combo", combo_share=0.0)
    notes = count_notes(wanted)
    frames = float(wanted[..., 1].sum() / notes)
    missed = losses_of(torch.full_like(wanted, -30.0), wanted, how, notes)["frame"]
    found = losses_of((wanted - 0.5) * 60, wanted, how, notes)["frame"]
    silent = losses_of(torch.zeros_like(wanted), torch.zeros_like(wanted), how, notes)["frame"]
    assert frames * 0.9 < float(missed) <= frames and float(found) < 1e-3 and float(silent) == 0


def test_positive_weighs_what_there_is_to_find(wanted: Tensor) -> None:
    logits = torch.zeros_like(wanted)
    notes = count_notes(wanted)
    plain, more = (float(losses_of(logits, wanted, Losses(positive=p), notes)["frame"]) for p in (1.0, 3.0))
    assert more - plain == pytest.approx(2 * math.log(2) * float(wanted[..., 1].sum() / notes), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_a_batch_add_up(kind: str) -> None:
    """What accumulation and several processes rest on."""
    torch.manual_seed(0)
    logits, wanted = torch.randn(4, 6, 88, 4), torch.rand(4, 6, 88, 4)
    how = Losses(onset_kind=kind, frame_kind=kind, offset_kind=kind)
    notes = count_notes(wanted)
    whole = losses_of(logits, wanted, how, notes)
    parts = [losses_of(a, b, how, notes) for a, b in zip(logits.split(1), wanted.split(1), strict=True)]
    for head, value in whole.items():
        assert float(value) == pytest.approx(sum(float(part[head]) for part in parts), rel=1e-5)


def test_unknown_velocities_teach_nothing(wanted: Tensor) -> None:
    wanted[..., 3] = 0
    logits = torch.randn_like(wanted)
    assert losses_of(logits, wanted, Losses(), count_notes(wanted))["velocity"] == 0


def test_the_default_is_binary_cross_entropy_a_note(wanted: Tensor) -> None:
    logits = torch.randn_like(wanted)
    parts = losses_of(logits, wanted, Losses(), count_notes(wanted))
    for k, head in enumerate(("onset", "frame", "offset")):
        entropy = F.binary_cross_entropy_with_logits(logits[..., k], wanted[..., k], reduction="sum")
        assert float(parts[head]) == pytest.approx(float(entropy) / 2, rel=1e-5)
    assert Losses().weights == {"onset": 1.0, "frame": 0.15, "offset": 0.4, "velocity": 1.0}


def test_balanced_heads_contribute_alike() -> None:
    balance = Balance()
    how = Losses(onset=1, frame=1, offset=0, velocity=2, balance="uncertainty")
    assert balance.weights(how) == how.weights  # nothing is known yet
    for _ in range(500):
        balance.update({"onset": 8.0, "frame": 2.0, "offset": 5.0, "velocity": 0.5})
    balance.update({"onset": math.nan, "frame": math.inf, "offset": 5.0, "velocity": 0.5})
    weights = balance.weights(how)
    assert weights["offset"] == 0
    assert weights["onset"] * 8 == pytest.approx(weights["frame"] * 2)
    assert weights["velocity"] * 0.5 == pytest.approx(2 * weights["onset"] * 8)
    assert Balance(balance.means).weights(how) == weights
    assert balance.weights(replace(how, balance="fixed")) == how.weights


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"onset_kind": "huber"}, "onset_kind must be one of bce, focal, combo"),
        ({"balance": "auto"}, "balance must be one of"),
        ({"frame": -1}, "weights of losses must not be negative"),
        ({"pedal": -1}, "must not be negative, got -1 for pedal"),
        ({"onset": 0, "frame": 0, "offset": 0, "velocity": 0}, "at least one"),
        ({"focal_alpha": 2}, "between 0 and 1"),
        ({"positive": 0}, "above 0"),
    ],
)
def test_losses_name_what_is_wrong(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Losses(**wrong)  # type: ignore[arg-type]
