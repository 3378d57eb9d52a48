"""How far two float32 results of the same computation may lie apart, from what is computed.

Two sums of the same n terms, added in any order and with or without fused multiply-adds, each differ from the
exact sum by at most L sqrt(n) u S, where u = 2^-24 is float32's unit roundoff and S the sum of the terms'
absolute values. That holds but for a chance of 2 n exp(-L^2 / 2) (Higham and Mary, "A New Approach to
Probabilistic Rounding Error Analysis", SIAM J. Sci. Comput. 41, 2019, theorem 3.1): with L = 7 one in two
hundred thousand for n = 100 000. Two results differ from each other by at most twice as much.

A network is a chain of such sums: to first order the errors of its layers add up, so n is the number of
additions along the longest way from an input to an output (``additions``), and S the size of the numbers that
are compared. None of this was measured on a processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hppnet.model.engine.network import OnnxNetwork
from hppnet.model.network import filled

UNIT_ROUNDOFF = 2.0**-24
CERTAINTY = 7.0  #: L
BINS = 352  #: the widest axis that a normalisation adds up


def tolerance(wanted: Any, additions: int) -> float:
    """The largest difference that rounding explains between ``wanted`` and the same sums in another order."""
    size = float(np.abs(_array(wanted)).max(initial=1e-30))
    return float(2 * CERTAINTY * np.sqrt(additions) * UNIT_ROUNDOFF * size)


def assert_same_sums(found: Any, wanted: Any, additions: int, message: str = "") -> None:
    """Both hold the same sums of so many terms, computed in any order; tensors or arrays of one shape."""
    assert np.shape(found) == np.shape(wanted), f"expected shape {np.shape(wanted)}, got {np.shape(found)}"
    np.testing.assert_allclose(
        _array(found), _array(wanted), atol=tolerance(wanted, additions), rtol=0, err_msg=message
    )


def additions(network: nn.Module | OnnxNetwork, steps: int) -> int:
    """Additions along the longest way through a network, whose recurrent layers run so many steps.

    A convolution or a linear layer adds up its inputs times its kernel, a normalisation two sums over the
    frequency axis, a recurrent step its inputs and its units.
    """
    if isinstance(network, OnnxNetwork):
        network = filled(network.config, network.weights)
    return sum(_additions(module, steps) for module in network.modules())


def _additions(module: nn.Module, steps: int) -> int:
    if isinstance(module, nn.Conv2d | nn.Linear):
        return module.weight[0].numel()
    own = dict(module.named_parameters(recurse=False))
    if "weight_h" in own:
        return steps * (own["weight_x"].shape[-2] + own["weight_h"].shape[-2])
    if set(own) == {"weight", "bias"} and own["weight"].dim() == 1:
        return 2 * BINS
    return sum(weights.numel() // weights.shape[-1] for weights in own.values() if weights.dim() > 1)


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
