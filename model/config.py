"""Named sizes of the network, and the settings of the decoder."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, replace

from .frontend import FLOOR_DB, FrontEndConfig
from .timebase import FRAMES_PER_SECOND, frames_for_latency

HEADS = ("onset", "frame", "offset", "velocity")
NOTE_HEADS = HEADS[:3]  #: heads with LSTMs; velocities are predicted at onset candidates only
#: Velocities are predicted where the onset probability is at least this; no onset threshold may be lower.
ONSET_FLOOR = 0.05
SURE_LOOK_AHEAD = 4  #: frames of look-ahead (132 ms) from which on the threshold of full context applies


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of HPPNet, which is causal except for the backward LSTM's look-ahead."""

    name: str = "default"
    stem_kernels: tuple[tuple[int, int], ...] = ((3, 7), (3, 3))  #: (frames, bins) of each convolution
    stem_channels: int = 16
    harmonics_up: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)  #: partials h above each of the 352 bins
    harmonics_down: tuple[int, ...] = (2, 3)  #: fundamentals whose h-th partial the bin may be
    body_channels: int = 32
    block_kernels: tuple[tuple[int, int], ...] = ((3, 5),) * 4  #: (frames, keys) of each residual block
    #: Harmonics of each block, as shifts over keys (Harmonica: several depths are better than one).
    block_harmonics: tuple[int, ...] = (1, 2, 3, 4, 5, -2, -3, -4)
    lstm_units: int = 32  #: units per direction and head
    pedal_units: int = 0  #: units per direction of the sustain pedal's head; 0: no such head
    velocity_units: int = 64  #: units of the velocity head

    def __post_init__(self) -> None:
        for name in ("stem_channels", "body_channels", "lstm_units", "velocity_units"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.pedal_units < 0:
            raise ValueError(f"pedal_units must be at least 0, got {self.pedal_units}")


@dataclass(frozen=True)
class DecoderConfig:
    """Thresholds on probabilities, 0 to 1."""

    onset: float = 0.45  #: a local maximum above this is an onset; at least ONSET_FLOOR
    #: Onset threshold without look-ahead (52 ms), where the network is less certain. See ``at``.
    onset_soonest: float = 0.45
    frame: float = 0.4  #: below this a note has ended
    offset: float = 0.4  #: a local maximum above this ends a note
    pedal: float = 0.5  #: the sustain pedal goes down above this, and up below (see ``PedalDecoder``)

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not 0 < value < 1:
                raise ValueError(f"the {name} threshold must lie between 0 and 1, got {value:g}")
        if (lower := min(self.onset, self.onset_soonest)) < ONSET_FLOOR:
            raise ValueError(f"the onset threshold must be at least {ONSET_FLOOR:g}, got {lower:g}")

    def at(self, look_ahead: int) -> DecoderConfig:
        """The thresholds of a stream with R frames of look-ahead.

        From R = 0 to R = 4 the onset threshold rises linearly from ``onset_soonest`` to ``onset``.
        """
        share = min(look_ahead, SURE_LOOK_AHEAD) / SURE_LOOK_AHEAD
        onset = self.onset_soonest + share * (self.onset - self.onset_soonest)
        return replace(self, onset=onset, onset_soonest=onset)

    def changed(
        self,
        onset: float | None = None,
        frame: float | None = None,
        offset: float | None = None,
        pedal: float | None = None,
    ) -> DecoderConfig:
        """A copy with other thresholds; None keeps a threshold. A given ``onset`` holds at every latency."""
        given = {"onset": onset, "onset_soonest": onset, "frame": frame, "offset": offset, "pedal": pedal}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @property
    def applied(self) -> dict[str, float]:
        """The thresholds that a decoder uses, by name: only one for onsets."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "onset_soonest"}


@dataclass(frozen=True)
class ModelConfig:
    """The configuration in a checkpoint: everything except the weights."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    note_ends: str = "keys"  #: offsets in the labels: "keys" (key releases) or "sounding" (ends of the sound)

    def decoder_at(self, latency_ms: float | None) -> DecoderConfig:
        """The decoder's settings at a latency in ms; None: with full context.

        Raises ValueError for a latency that cannot be reached; the message lists those that can.
        """
        if latency_ms is None:
            return self.decoder
        return self.decoder.at(frames_for_latency(latency_ms, self.front_end.look_ahead))

    @property
    def has_pedal(self) -> bool:
        """Whether the weights predict the sustain pedal."""
        return self.network.pedal_units > 0

    def __post_init__(self) -> None:
        if self.note_ends not in ("keys", "sounding"):
            raise ValueError(f"note_ends must be keys or sounding, got {self.note_ends!r}")


_DEFAULT = NetworkConfig(pedal_units=64)

_PAPER = NetworkConfig(
    name="hppnet-tiny",
    stem_kernels=((7, 7), (7, 7), (7, 7)),
    harmonics_up=(1, 2, 3, 4, 5, 6, 7, 8, 9),
    harmonics_down=(2, 3, 4, 5, 6, 7, 8, 9),
    body_channels=64,
    block_kernels=((5, 1), (5, 1), (5, 1)),
    block_harmonics=(),
    lstm_units=32,
)

#: name -> sizes. ``default`` is the network that ships; ``hppnet-*`` follow the paper (Wei et al., ISMIR
#: 2022) as far as a causal network can.
CONFIGS: dict[str, NetworkConfig] = {
    "default": _DEFAULT,
    "hppnet-tiny": _PAPER,
    "hppnet-large": replace(_PAPER, name="hppnet-large", body_channels=128, lstm_units=64),
}


PAST, FUTURE = 3, 4  #: frames before and after the onset; a shorter look-ahead gives fewer after it
BELOW, ABOVE = 12, 60  #: keys below and above the played key
AROUND = BELOW + 1 + ABOVE
MEMORY = 5 * FRAMES_PER_SECOND - 1  #: earlier frames over which loudness is measured
#: Values kept of a frame besides its key levels: loudness, mean of the bins, and 1 (the frame exists).
LOUDNESS = 3
#: Offsets and scale that centre the velocity head's inputs on 0, for faster training: levels are relative to
#: -60 dB (see ``frontend.normal``), the loudest recent frame and the mean of all bins to typical values.
LEVEL, LOUDEST, MEAN, SPREAD = 0.36, 2.45, 1.14, 2.5
SILENCE = -1 - LEVEL
NEPERS = -FLOOR_DB / 3 * math.log(10) / 10  #: nepers of power per unit of level (see ``frontend.normal``)
