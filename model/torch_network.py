"""Networks in PyTorch, filled with a checkpoint's tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from .config import FormerConfig, NetworkConfig
from .former_network import FormerNetwork, fill
from .network import HPPNet


def filled(config: NetworkConfig, weights: Mapping[str, np.ndarray]) -> HPPNet:
    """A network of the sizes, in evaluation mode. Raises RuntimeError where the tensors do not fit."""
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    network: HPPNet
    if isinstance(config, FormerConfig):
        network = former = FormerNetwork(config)
        fill(former, tensors)
    else:
        network = HPPNet(config)
        network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
