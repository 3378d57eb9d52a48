"""Widened, a network computes the very same at first and then learns; an average that forgets nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hppnet.model import checkpoint
from hppnet.model.config import NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.training import loop
from hppnet.training.run import begin
from hppnet.training.schedule import Schedule
from hppnet.training.widen import widen

from .training_runs import TINY, fabric_of, make_music, short_run

SMALL = replace(TINY, block_kernels=((3, 3),), pedal_units=3)
LARGE = replace(SMALL, name="larger", block_kernels=((3, 3), (1, 3), (3, 5)), lstm_units=5)


def random_network(config: NetworkConfig, seed: int) -> HPPNet:
    """All weights random: nothing is hidden by a beginning of zeros or ones."""
    torch.manual_seed(seed)
    network = HPPNet(config)
    with torch.no_grad():
        for weights in network.parameters():
            weights.copy_(torch.randn_like(weights) * 0.3)
    return network


@pytest.mark.parametrize("second", [LARGE.block_kernels, ()])
@pytest.mark.parametrize("harmonics", [SMALL.block_harmonics, ()])
@pytest.mark.parametrize("look_ahead", [None, 2])
def test_widened_it_says_the_same(
    second: tuple[tuple[int, int], ...], harmonics: tuple[int, ...], look_ahead: int | None
) -> None:
    small = random_network(replace(SMALL, block_harmonics=harmonics), 1)
    large = random_network(replace(LARGE, block_harmonics=harmonics, second_kernels=second), 2)
    spectrum = torch.rand(2, 40, 352) * -90
    before = large(spectrum, look_ahead).keys
    widen(small, large)
    wanted, found = small(spectrum, look_ahead), large(spectrum, look_ahead)
    torch.testing.assert_close(found.keys, wanted.keys, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.pedal, wanted.pedal, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, wanted.keys, atol=1e-2)


def test_what_is_new_learns() -> None:
    small, large = random_network(SMALL, 1), random_network(LARGE, 2)
    widen(small, large)
    large(torch.rand(1, 40, 352) * -90).keys.square().mean().backward()
    assert large.weight.grad is not None
    assert large.weight.grad.unflatten(1, (2, LARGE.lstm_units))[:, :, TINY.lstm_units :].abs().min() > 0
    last = large.blocks[2].second_norm.weight
    assert last.grad is not None and last.grad.abs().min() > 0


def test_a_second_body_learns_and_is_as_deep_as_the_first() -> None:
    small, config = random_network(SMALL, 1), replace(LARGE, second_kernels=LARGE.block_kernels)
    large, larger = random_network(config, 2), random_network(config, 3)
    widen(small, large)
    large(torch.rand(1, 40, 352) * -90).keys.square().mean().backward()
    assert all(weights.grad is not None for weights in large.second.parameters())
    assert large.second[0].norm.weight.grad.abs().min() > 0  # not hidden by zeros after it
    widen(large, larger)
    assert torch.equal(larger.second[0].conv.conv.weight, large.second[0].conv.conv.weight)
    with pytest.raises(ValueError, match=r"a second body of \(\(3, 3\),\) cannot begin"):
        widen(small, HPPNet(replace(LARGE, second_kernels=((3, 3),))))


def test_a_run_begins_with_a_smaller_network(tmp_path: Path) -> None:
    folder = make_music(tmp_path)
    notes = short_run(folder, "notes")
    begun = loop.train(fabric_of(notes), notes)
    larger = replace(TINY, lstm_units=4, block_kernels=(*TINY.block_kernels, (3, 5)))
    run, _ = begin(short_run(folder, "larger", network=larger, begin=str(begun)))
    small, _ = begin(short_run(folder, "same", begin=str(begun)))
    spectrum = torch.rand(1, 30, 352) * -90
    torch.testing.assert_close(run.network(spectrum).keys, small.network(spectrum).keys, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="its lstm_units is 2, here 1; begin expects the sizes of"):
        begin(short_run(folder, "smaller", network=replace(TINY, lstm_units=1), begin=str(begun)))
    with pytest.raises(ValueError, match="begin expects a checkpoint"):
        begin(short_run(folder, "none", begin=str(folder / "music" / "one.tsv")))


def test_a_run_goes_on_from_the_shipped_weights(tmp_path: Path) -> None:
    folder = make_music(tmp_path)
    shipped = checkpoint.load(None)[0]
    run, _ = begin(short_run(folder, "on", network=replace(shipped.config, lstm_units=34), begin="shipped"))
    assert torch.equal(run.network.pedal.bins.weight, shipped.pedal.bins.weight)
    with pytest.raises(ValueError, match="its pedal_units is 64, here 0"):
        begin(short_run(folder, "on", network=NetworkConfig(), begin="shipped"))


def test_the_average_forgets_nothing_from_a_step_on() -> None:
    """Then all that came since counts alike, and what was there before as much as 1 / (1 - ema) steps."""
    schedule = Schedule(steps=200, warm_up=0, decay=0, ema=0.9, mean_from=100)
    share = {100: 1.0}  # of what was there at step 100
    for step in range(101, 201):
        keeps = schedule.keeps(step)
        share = {since: part * keeps for since, part in share.items()} | {step: 1 - keeps}
    assert share[100] == pytest.approx(10 / 110)
    assert [share[step] for step in (101, 150, 200)] == pytest.approx([1 / 110] * 3)
    assert replace(schedule, mean_from=0).keeps(150) == pytest.approx(0.9)
    assert schedule.keeps(1) == pytest.approx(2 / 11)  # young
    with pytest.raises(ValueError, match="mean_from must lie between 0 and steps"):
        replace(schedule, mean_from=201)
