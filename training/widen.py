"""A trained network in a larger one that computes the very same at first, and has room to learn.

New blocks add nothing to what passes by them: their last normalisation is zero. A second body begins as a
copy of the first, and the onsets' LSTM hears it in place of that. New LSTM units run from their random
beginning, but nothing listens to them yet: the weights that would are zero, and take the first steps (after
Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016, which doubles units where this adds silent ones).
"""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor

from ..model.config import HEADS, NetworkConfig
from ..model.network import HPPNet

GATES = 4
ONSET = HEADS.index("onset")


def differences(small: NetworkConfig, large: NetworkConfig) -> list[str]:
    """What keeps one from being widened to the other: all but blocks, LSTM units, heads of their own."""
    added = {
        "name": True,
        "block_kernels": large.block_kernels[: len(small.block_kernels)] == small.block_kernels,
        "second_kernels": small.second_kernels in ((), large.second_kernels),
        "lstm_units": small.lstm_units <= large.lstm_units,
        "pedal_units": small.pedal_units in (0, large.pedal_units),
        "velocity_units": small.velocity_units in (0, large.velocity_units),
    }
    if large.second_kernels not in ((), large.block_kernels) and not small.second_kernels:
        wanted = large.block_kernels
        return [f"a second body of {large.second_kernels} cannot begin as the first, expected {wanted}"]
    pairs = {f.name: (getattr(small, f.name), getattr(large, f.name)) for f in fields(small)}
    return [f"its {name} is {a}, here {b}" for name, (a, b) in pairs.items() if not added.get(name, a == b)]


@torch.no_grad()
def widen(small: HPPNet, large: HPPNet) -> None:
    """Writes the weights of ``small`` into ``large``. Raises ValueError where there are differences."""
    if differs := differences(small.config, large.config):
        raise ValueError(", ".join(differs))
    old, new = small.config.lstm_units, large.config.lstm_units
    wide = large.state_dict()
    for name, weights in small.state_dict().items():
        if name.startswith(("ahead.", "back.")):
            gates = _gates(wide[name], old, new)
            if name.endswith("weight_h"):
                gates.zero_()  # the old units do not hear the new ones
            gates[:, : weights.shape[1]] = _gates(weights, old, old)
        elif name == "weight":
            halves = wide[name].zero_().unflatten(1, (2, new))
            halves[:, :, :old] = weights.unflatten(1, (2, old))
        else:
            wide[name].copy_(weights)
    for block in range(len(small.config.block_kernels), len(large.config.block_kernels)):
        last = "second_norm" if large.config.block_harmonics else "norm"
        for part in ("weight", "bias"):
            wide[f"blocks.{block}.{last}.{part}"].zero_()
    if large.config.second_kernels and not small.config.second_kernels:
        _double(large)


def _double(network: HPPNet) -> None:
    """A second body like the first, which onsets hear in its place and the other heads not yet."""
    network.second.load_state_dict(network.blocks.state_dict())
    for lstm in (network.ahead, network.back):
        first, second = lstm.weight_x.chunk(2, dim=1)
        second.zero_()[ONSET] = first[ONSET]
        first[ONSET] = 0


def _gates(weights: Tensor, old: int, units: int) -> Tensor:
    """A view of weights [H, rows, 4 U]: the gates of the first ``old`` units [H, rows, 4, old]."""
    return weights.unflatten(2, (GATES, units))[..., :old]
