"""How many multiply-adds a frame of a stream takes, part by part, from the network's sizes.

Counted are the matrix products and convolutions that a step executes for one frame; the front end and what
goes element by element are not.
"""

from __future__ import annotations

from .config import NOTE_HEADS, NetworkConfig
from .timebase import BINS, FRAMES_PER_SECOND, KEYS
from .velocity_inputs import AROUND, FUTURE, PAST

ONSETS_A_SECOND = 4
CANDIDATES_AN_ONSET = 4  #: frames around an onset in which its probability is above the floor


def multiply_adds(
    config: NetworkConfig, look_ahead: int, velocities: float | None = None
) -> dict[str, float]:
    """Multiply-adds a frame of each part, with R = ``look_ahead``.

    ``velocities`` is how many are predicted in a frame; by default those of four onsets a second.
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
        # Each frame's gates are projected once; a window takes R steps, its first from a zero state.
        "backward LSTM": heads * KEYS * (projection + look_ahead * recurrence),
        "LSTM outputs": heads * KEYS * 2 * units,
        "velocity": velocities * _velocity(config, look_ahead),
    }
    if config.pedal_units:
        parts["pedal"] = _pedal(config.body_channels, config.pedal_units)
    return {name: float(count) for name, count in parts.items()}


def _stem(config: NetworkConfig) -> int:
    """Weights of all its convolutions."""
    sizes = [1, *[config.stem_channels] * (len(config.stem_kernels) - 1)]
    return sum(
        channels * config.stem_channels * frames * bins
        for channels, (frames, bins) in zip(sizes, config.stem_kernels, strict=True)
    )


def _block(config: NetworkConfig, kernel: tuple[int, int]) -> int:
    """Weights of a residual block's two convolutions."""
    return config.body_channels**2 * (kernel[0] * kernel[1] + len(config.block_harmonics))


def _velocity(config: NetworkConfig, look_ahead: int) -> int:
    """Of one velocity."""
    units = config.velocity_units
    second = max(1, units // 2)
    inputs = (PAST + 1 + min(look_ahead, FUTURE)) * (AROUND + config.body_channels) + 5
    return inputs * units + units * second + second


def _pedal(channels: int, units: int) -> int:
    pooled = BINS * units + KEYS * channels * channels + (units + 2 * channels) * units
    return pooled + units * 6 * units + units * 4 * units + 2 * units
