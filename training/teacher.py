"""A trained network that says what the features of an excerpt should be.

The network that learns receives the excerpt in a room, with noise and clipped; the teacher as it was before.
That the features come out alike is asked for beside the notes: each of them, not only those that notes
depend on, is told what it should be (feature distillation after Romero et al., "FitNets", ICLR 2015, with
the same sound cleaner for the teacher). What else was learned on these features, like the pedal's head,
stays valid.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..model.config import NetworkConfig
from ..model.frontend import normal
from ..model.network import HPPNet
from ..model.timebase import KEYS
from .run import network_of


def teacher(path: Path, taught: NetworkConfig) -> HPPNet:
    """The network of a checkpoint, frozen. Raises ValueError where its features are of another size."""
    network = network_of(path, "teacher")
    if network.config.body_channels != taught.body_channels:
        raise ValueError(
            f"{path}: expected a teacher of {taught.body_channels} body_channels like the network that is "
            f"taught, got one of {network.config.body_channels}"
        )
    return network.requires_grad_(False).eval()


@torch.no_grad()
def features_of(network: HPPNet, plain: Tensor) -> Tensor:
    """A teacher's features [B, T, P, C] of log power [B, T, 352], by its first body."""
    features, _ = network.features(normal(plain), network.start(len(plain)).pasts)
    return by_excerpt(features[..., : network.config.body_channels])


def by_excerpt(features: Tensor) -> Tensor:
    """The network's features [T, N, C] as [B, T, P, C], in float32."""
    return features.unflatten(1, (-1, KEYS)).transpose(0, 1).float()


def moments(features: Tensor) -> Tensor:
    """Means and mean squares [2, C] of features [..., C]: their mean over processes is that of all."""
    every = features.flatten(0, -2)
    return torch.stack([every.mean(0), every.square().mean(0)])


def feature_loss(features: Tensor, wanted: Tensor, of_all: Tensor) -> Tensor:
    """Mean square distance of features [..., C] from a teacher's, in the variances that ``moments`` tell."""
    variance = (of_all[1] - of_all[0].square()).clamp_min(0) + 1e-6
    return ((features - wanted).square() / variance).mean()
