"""Named sizes of the network, and the settings of the decoder: all in one place."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, replace

from .frontend import FLOOR_DB, FrontEndConfig
from .timebase import FRAMES_PER_SECOND, frames_for_latency

HEADS = ("onset", "frame", "offset", "velocity")
NOTE_HEADS = HEADS[:3]  #: those that have LSTMs; a velocity is predicted where an onset may be
#: Velocities are predicted where the onset probability is at least this; no onset threshold may be lower.
ONSET_FLOOR = 0.05
SURE_LOOK_AHEAD = 4  #: frames: from here on (132 ms) the onset threshold is that of full context


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of HPPNet, causal but for the backward LSTM's look-ahead."""

    name: str = "default"
    stem_kernels: tuple[tuple[int, int], ...] = ((3, 7), (3, 3))  #: (frames, bins) of each convolution
    stem_channels: int = 16
    harmonics_up: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)  #: h: partials above, on 352 bins
    harmonics_down: tuple[int, ...] = (2, 3)  #: h: of which this may be a partial
    body_channels: int = 32
    block_kernels: tuple[tuple[int, int], ...] = ((3, 5),) * 4  #: (frames, keys), a residual block each
    #: Harmonic shifts in keys in each block (Harmonica: at several depths is better than once).
    block_harmonics: tuple[int, ...] = (1, 2, 3, 4, 5, -2, -3, -4)
    lstm_units: int = 32  #: a direction and head
    pedal_units: int = 0  #: a direction of the sustain pedal's head; 0: it has none
    velocity_units: int = 64  #: of the velocity head

    def __post_init__(self) -> None:
        if min(self.stem_channels, self.body_channels, self.lstm_units, self.velocity_units) < 1:
            raise ValueError("channels, LSTM units and velocity units must be positive")
        if self.pedal_units < 0:
            raise ValueError("the units of the pedal must not be negative")


@dataclass(frozen=True)
class DecoderConfig:
    """Thresholds on probabilities, 0 to 1."""

    onset: float = 0.45  #: a local maximum above this is an onset; at least ONSET_FLOOR
    #: The same where the network sees no frame ahead (52 ms): it is less sure there. See ``at``.
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

        From R = 0 to R = 4 that of onsets rises in a straight line from ``onset_soonest`` to ``onset``.
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
        """With other thresholds; None keeps one. An onset threshold that is given holds at every latency."""
        given = {"onset": onset, "onset_soonest": onset, "frame": frame, "offset": offset, "pedal": pedal}
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    @property
    def applied(self) -> dict[str, float]:
        """What a decoder compares with, by name: of onsets one threshold."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "onset_soonest"}


@dataclass(frozen=True)
class ModelConfig:
    """Everything a checkpoint needs beside its weights."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    note_ends: str = "keys"  #: what the labels called an offset: key releases, or "sounding" ends

    def decoder_at(self, latency_ms: float | None) -> DecoderConfig:
        """The decoder's settings at a latency, or with full context.

        Raises ValueError, naming the latencies that can be reached, for any other.
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


PAST, FUTURE = 3, 4  #: frames around the onset; fewer of the future where the look-ahead is shorter
BELOW, ABOVE = 12, 60  #: keys around the one that is played
AROUND = BELOW + 1 + ABOVE
MEMORY = 5 * FRAMES_PER_SECOND - 1  #: earlier frames from which loudness is known
#: What is kept of a frame beside the keys' levels: its loudness, the mean of its bins, and that it was there.
LOUDNESS = 3
#: The head's inputs lie around 0, or it learns slowly: levels from -60 dB up and down (see
#: ``frontend.normal``), the loudest of the last seconds and the mean of all bins from where they mostly are.
LEVEL, LOUDEST, MEAN, SPREAD = 0.36, 2.45, 1.14, 2.5
SILENCE = -1 - LEVEL
NEPERS = -FLOOR_DB / 3 * math.log(10) / 10  #: of power, in one unit of a level as ``frontend.normal`` has it
