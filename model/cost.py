"""How many multiply-adds a frame of a stream takes, part by part, from the network's sizes.

Counted are the matrix products and convolutions that ``HPPNet.step`` executes for one frame; the front end
and what goes element by element are not.
"""

from __future__ import annotations

from .network import HPPNet
from .timebase import BINS, FRAMES_PER_SECOND, KEYS
from .velocity_inputs import FUTURE, PAST

ONSETS_A_SECOND = 4
CANDIDATES_AN_ONSET = 4  #: frames around an onset in which its probability is above the floor


def multiply_adds(network: HPPNet, look_ahead: int, velocities: float | None = None) -> dict[str, float]:
    """Multiply-adds a frame of each part, with R = ``look_ahead``.

    ``velocities`` is how many are predicted in a frame; by default those of four onsets a second.
    """
    config, heads, channels = network.config, network.heads, network.channels
    units = config.lstm_units
    if velocities is None:
        velocities = network.every_velocity or ONSETS_A_SECOND * CANDIDATES_AN_ONSET / FRAMES_PER_SECOND
    projection, recurrence = channels * 4 * units, units * 4 * units
    parts = {
        "stem": BINS * sum(conv.conv.weight.numel() for conv in network.stem_layers),
        "harmonic dilated convolution": BINS * network.harmonic.conv.weight.numel(),
        "residual blocks": sum(_block(network, body) for body in range(len(network.bodies))),
        "forward LSTM": heads * KEYS * (projection + recurrence),
        # Each frame's gates are projected once; a window takes R steps, its first from a zero state.
        "backward LSTM": heads * KEYS * (projection + look_ahead * recurrence),
        "LSTM outputs": heads * KEYS * 2 * units,
        "velocity": velocities * _velocity(network, look_ahead),
    }
    if config.pedal_units:
        parts["pedal"] = _pedal(config.body_channels, config.pedal_units)
    return {name: float(count) for name, count in parts.items()}


def _block(network: HPPNet, body: int) -> int:
    """Of all blocks of a body."""
    weights = 0
    for block in network.bodies[body]:
        weights += block.conv.conv.weight.numel()
        weights += block.harmonic.conv.weight.numel() if block.harmonic is not None else 0
    return KEYS * weights


def _velocity(network: HPPNet, look_ahead: int) -> int:
    """Of one velocity."""
    head = network.velocity
    units, second = network.velocity.second.in_features, network.velocity.second.out_features
    inputs = (PAST + 1 + min(look_ahead, FUTURE)) * head.inputs + head.loudness.in_features
    return inputs * units + units * second + second


def _pedal(channels: int, units: int) -> int:
    pooled = BINS * units + KEYS * channels * channels + (units + 2 * channels) * units
    return pooled + units * 6 * units + units * 4 * units + 2 * units
