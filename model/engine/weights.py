"""Which tensors a network of given sizes has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import NOTE_HEADS, NetworkConfig
from ..timebase import BINS, KEYS
from ..velocity_inputs import AROUND, FUTURE, PAST

Shapes = dict[str, tuple[int, ...]]


def shapes_of(config: NetworkConfig) -> Shapes:
    """Names and shapes of all tensors, as PyTorch's HPPNet has them."""
    stem, body, units, heads = config.stem_channels, config.body_channels, config.lstm_units, len(NOTE_HEADS)
    shapes: Shapes = {"weight": (heads, 2 * units), "bias": (heads,)}
    for number, kernel in enumerate(config.stem_kernels):
        shapes |= _layer(f"stem.{number}.conv", stem, stem if number else 1, *kernel)
    harmonics = len(config.harmonics_up) + len(config.harmonics_down)
    shapes |= _layer("harmonic.conv", body, stem * harmonics, 1, 1)
    for number, kernel in enumerate(config.block_kernels):
        name = f"blocks.{number}"
        shapes |= _layer(f"{name}.conv.conv", body, body, *kernel) | _norm(f"{name}.norm", body)
        if config.block_harmonics:
            shapes |= _layer(f"{name}.harmonic.conv", body, body * len(config.block_harmonics), 1, 1)
            shapes |= _norm(f"{name}.harmonic_norm", body)
    for name in ("forward_lstm", "backward_lstm"):
        shapes[f"{name}.weight_x"] = (heads, body, 4 * units)
        shapes[f"{name}.weight_h"] = (heads, units, 4 * units)
        shapes[f"{name}.bias"] = (heads, 1, 4 * units)
    shapes |= _velocity(config)
    return shapes | (_pedal(config) if config.pedal_units else {})


def check(weights: Mapping[str, np.ndarray], config: NetworkConfig) -> None:
    """Raises ValueError, naming the first tensor, where the weights are not those of the sizes."""
    wanted = shapes_of(config)
    for name in sorted({*wanted, *weights}):
        if name not in weights:
            raise ValueError(f"expected a tensor {name} of shape {list(wanted[name])}, found none")
        if name not in wanted:
            raise ValueError(f"expected no tensor called {name}, found one")
        if weights[name].shape != wanted[name]:
            raise ValueError(
                f"expected {name} to have the shape {list(wanted[name])}, found {list(weights[name].shape)}"
            )


def _velocity(config: NetworkConfig) -> Shapes:
    units, frames = config.velocity_units, PAST + 1 + FUTURE
    second = max(1, units // 2)
    return {
        "velocity.levels": (frames, AROUND, units),
        "velocity.features": (frames, config.body_channels, units),
        "velocity.key": (KEYS, units),
        "velocity.future": (FUTURE + 1, units),
        **_layer("velocity.loudness", units, 5),
        **_layer("velocity.second", second, units),
        **_layer("velocity.out", 1, second),
    }


def _pedal(config: NetworkConfig) -> Shapes:
    body, units = config.body_channels, config.pedal_units
    return {
        **_layer("pedal.bins", units, BINS),
        **_layer("pedal.key", body, body),
        **_layer("pedal.join", units, units + 2 * body),
        **_layer("pedal.gates", 6 * units, units),
        "pedal.recurrent.weight": (4 * units, units),
        **_layer("pedal.out", 1, 2 * units),
    }


def _layer(name: str, out: int, *inputs: int) -> Shapes:
    return {f"{name}.weight": (out, *inputs), f"{name}.bias": (out,)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
