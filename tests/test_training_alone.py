"""What is taught alone, over features that stay as they are: the pedal's head, or the keys' LSTMs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hppnet.model import checkpoint
from hppnet.model.config import HEADS, DecoderConfig, ModelConfig
from hppnet.model.network import HPPNet
from hppnet.training import loop
from hppnet.training.losses import Losses
from hppnet.training.pedal_table import write_presses
from hppnet.training.run import begin
from hppnet.training.thresholds import finish

from .training_runs import TINY, Notebook, fabric_of, make_music, short_run, trained


def test_the_pedal_alone_is_taught_over_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    """No note changes by it; weights of other sizes are refused."""
    folder = make_music(tmp_path)
    write_presses(folder / "music" / "one.pedal", [(0.1, 1.6)])
    notes = short_run(folder, "notes")
    begun = loop.train(fabric_of(notes), notes)
    network, config, about = checkpoint.load(begun)
    mine = DecoderConfig(onset=0.31, frame=0.22, offset=0.23)
    checkpoint.save(begun, network, replace(config, decoder=mine), about)
    sizes = replace(TINY, pedal_units=3)
    wanted = short_run(folder, "pedal", network=sizes, begin=str(begun), pedal_only=True, seed=2)
    before = begin(wanted)[0].network.state_dict()
    after = load_file(loop.train(fabric_of(wanted), wanted))
    changed = {name for name, weights in after.items() if not torch.equal(weights, before[name])}
    assert changed and all(name.startswith("pedal.") for name in changed)
    assert all(torch.equal(before[name], weights) for name, weights in load_file(begun).items())
    assert replace(finish(replace(wanted, held_out=2))[1], pedal=mine.pedal) == mine, "no note may change"
    other = replace(wanted, folder=str(folder / "other"), network=replace(sizes, lstm_units=1))
    with pytest.raises(ValueError, match="its lstm_units is 2, here 1; begin expects the sizes of"):
        loop.train(fabric_of(other), other)


@pytest.mark.parametrize("second", [(), ((3, 3),)], ids=["one body", "two bodies"])
def test_the_keys_lstms_alone_are_taught_over_frozen_features(
    tmp_path: Path, second: tuple[tuple[int, int], ...]
) -> None:
    """What hears the pedal, and heads that do not count, stay as they are to the last digit."""
    folder = make_music(tmp_path)
    begun = tmp_path / "begun.safetensors"
    sizes = replace(TINY, body_channels=4, pedal_units=2, velocity_units=2, second_kernels=second)
    torch.manual_seed(0)
    chosen = DecoderConfig(onset=0.31, frame=0.22, offset=0.23, pedal=0.64)
    checkpoint.save(begun, HPPNet(sizes), ModelConfig(sizes, decoder=chosen))
    how = short_run(
        folder, "keys", network=sizes, begin=str(begun), keys_only=True, losses=Losses(velocity=0, offset=0)
    )
    how = replace(how, schedule=replace(how.schedule, weight_decay=0.0))
    before, notebook = begin(how)[0].network.state_dict(), Notebook()
    after = trained(how, notebook)["network"]
    assert "pedal" not in notebook.steps[1] and notebook.steps[1]["norm"] > 0
    assert [head for head in HEADS if notebook.steps[1][head] > 0] == ["onset", "frame"]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    lstms = {f"{way}.{part}" for way in ("ahead", "back") for part in ("weight_x", "weight_h", "bias")}
    body = {name for name in before if name.startswith("second.")}
    assert moved - body == {*lstms, "weight", "bias"}
    assert {name for name in body if name.endswith("weight")} <= moved
    for head in map(HEADS.index, ("velocity", "offset")):
        assert all(torch.equal(before[name][head], after[name][head]) for name in moved - body)
    assert finish(replace(how, held_out=2))[1].pedal == chosen.pedal
