"""Tensor shapes and multiply-adds per frame of a stream, derived from the sizes of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .config import AROUND, FUTURE, NOTE_HEADS, PAST, NetworkConfig
from .timebase import BINS, FRAMES_PER_SECOND, KEYS

Shapes = dict[str, tuple[int, ...]]
ONSETS_A_SECOND = 4
CANDIDATES_AN_ONSET = 4  #: frames around an onset in which its probability is above the floor


def shapes_of(config: NetworkConfig) -> Shapes:
    """Names and shapes of all tensors, as in the PyTorch network HPPNet."""
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
    shapes |= _velocity_shapes(config)
    return shapes | (_pedal_shapes(config) if config.pedal_units else {})


def check(weights: Mapping[str, np.ndarray], config: NetworkConfig) -> None:
    """Raises ValueError, naming the first wrong tensor, if the weights do not fit the sizes."""
    wanted = shapes_of(config)
    for name in sorted({*wanted, *weights}):
        if name not in weights:
            raise ValueError(f"expected a tensor {name} of shape {list(wanted[name])}, found none")
        if name not in wanted:
            raise ValueError(f"expected only the tensors of this network, found {name} too")
        if weights[name].shape != wanted[name]:
            raise ValueError(
                f"expected {name} to have the shape {list(wanted[name])}, found {list(weights[name].shape)}"
            )


def _velocity_shapes(config: NetworkConfig) -> Shapes:
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


def _pedal_shapes(config: NetworkConfig) -> Shapes:
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


def multiply_adds(
    config: NetworkConfig, look_ahead: int, velocities: float | None = None
) -> dict[str, float]:
    """Multiply-adds per frame, by part of the network, with R = ``look_ahead``.

    Counts the matrix products and convolutions that a step executes for one frame, not the front end and
    elementwise operations. ``velocities`` is the number of velocities predicted per frame, by default that of
    four onsets per second.
    """
    heads, channels, units = len(NOTE_HEADS), config.body_channels, config.lstm_units
    if velocities is None:
        velocities = ONSETS_A_SECOND * CANDIDATES_AN_ONSET / FRAMES_PER_SECOND
    projection, recurrence = channels * 4 * units, units * 4 * units
    harmonics = len(config.harmonics_up) + len(config.harmonics_down)
    parts = {
        "stem": BINS * _stem(config),
        "harmonic dilated convolution": BINS * config.stem_channels * harmonics * config.body_channels,
        "residual blocks": KEYS * sum(_block(config, kernel) for kernel in config.block_kernels),
        "forward LSTM": heads * KEYS * (projection + recurrence),
        # Gates are projected once per frame. The first of a window's R + 1 steps needs no product.
        "backward LSTM": heads * KEYS * (projection + look_ahead * recurrence),
        "LSTM outputs": heads * KEYS * 2 * units,
        "velocity": velocities * _velocity(config, look_ahead),
    }
    if config.pedal_units:
        parts["pedal"] = _pedal(config.body_channels, config.pedal_units)
    return {name: float(count) for name, count in parts.items()}


def _stem(config: NetworkConfig) -> int:
    """Number of weights of the stem's convolutions."""
    sizes = [1, *[config.stem_channels] * (len(config.stem_kernels) - 1)]
    return sum(
        channels * config.stem_channels * frames * bins
        for channels, (frames, bins) in zip(sizes, config.stem_kernels, strict=True)
    )


def _block(config: NetworkConfig, kernel: tuple[int, int]) -> int:
    """Number of weights of a residual block's two convolutions."""
    return config.body_channels**2 * (kernel[0] * kernel[1] + len(config.block_harmonics))


def _velocity(config: NetworkConfig, look_ahead: int) -> int:
    """Multiply-adds of one velocity."""
    units = config.velocity_units
    second = max(1, units // 2)
    inputs = (PAST + 1 + min(look_ahead, FUTURE)) * (AROUND + config.body_channels) + 5
    return inputs * units + units * second + second


def _pedal(channels: int, units: int) -> int:
    pooled = BINS * units + KEYS * channels * channels + (units + 2 * channels) * units
    return pooled + units * 6 * units + units * 4 * units + 2 * units
