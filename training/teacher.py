"""Feature distillation: a trained network (the teacher) sets the target for the features of an excerpt.

The student receives the excerpt with room, noise and clipping; the teacher receives it without them. A loss
beside those of the notes draws the student's features to the teacher's (after Romero et al., "FitNets", ICLR
2015, but with cleaner sound for the teacher). It acts on all features, not only on those that notes depend
on. Heads that were trained on these features, such as the pedal's, therefore stay valid.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..model.config import NetworkConfig
from ..model.frontend import normal
from ..model.network import HPPNet
from ..model.timebase import KEYS
from .settings import read_weights


def teacher(path: Path, taught: NetworkConfig) -> HPPNet:
    """The network of a checkpoint, frozen. Raises ValueError where its features are of another size."""
    network = read_weights(path, "teacher").torch_network()
    if network.config.body_channels != taught.body_channels:
        raise ValueError(
            f"{path}: expected a teacher of {taught.body_channels} body_channels like the network that is "
            f"taught, got one of {network.config.body_channels}"
        )
    return network.requires_grad_(False).eval()


@torch.no_grad()
def features_of(network: HPPNet, plain: Tensor) -> Tensor:
    """A teacher's features [B, T, P, C] of log power [B, T, 352], from its first body."""
    features, _ = network.features(normal(plain), network.start(len(plain)).pasts)
    return by_excerpt(features[..., : network.config.body_channels])


def by_excerpt(features: Tensor) -> Tensor:
    """The network's features [T, N, C] as [B, T, P, C], in float32."""
    return features.unflatten(1, (-1, KEYS)).transpose(0, 1).float()


def moments(features: Tensor) -> Tensor:
    """Means and mean squares [2, C] of features [..., C]; averaged over processes, those of all features."""
    every = features.flatten(0, -2)
    return torch.stack([every.mean(0), every.square().mean(0)])


def feature_loss(features: Tensor, wanted: Tensor, of_all: Tensor) -> Tensor:
    """Mean squared distance of features [..., C] from a teacher's, over its variances (see ``moments``)."""
    variance = (of_all[1] - of_all[0].square()).clamp_min(0) + 1e-6
    return ((features - wanted).square() / variance).mean()
