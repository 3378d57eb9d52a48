"""How long a step of one frame takes on this machine, and whether that is fast enough to be live."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.timebase import FRAME_S
from .clock import Clock, SystemClock
from .source import LiveModel

RATE = 48_000  #: Hz, as sound cards have it
WARM_UP_S = 0.5  #: of noise: the first steps prepare the network and are slow
MOST_STEPS = 300
FRAME_MS = 1000 * FRAME_S
#: The rest of a frame's time is left to the sound device, the MIDI port and the view.
SHARE = 0.9


@dataclass(frozen=True)
class Pace:
    """Of steps at one latency, in milliseconds."""

    latency_ms: float
    steps: int
    median_ms: float
    mean_ms: float
    p99_ms: float

    @property
    def follows(self) -> bool:
        """Whether steps take less time than the sound that they are computed from."""
        return self.mean_ms <= SHARE * FRAME_MS

    @property
    def is_steady(self) -> bool:
        """Whether 99 of 100 steps are done before the next begins; else notes are late now and then."""
        return self.follows and self.p99_ms <= FRAME_MS


def measure_pace(
    model: LiveModel, latency_ms: float, seconds: float = 1.0, clock: Clock | None = None
) -> Pace:
    """Steps one after the other, for ``seconds`` or 300 of them, at least 20."""
    clock = clock or SystemClock()
    noise = np.random.default_rng(0).normal(0, 0.01, round(WARM_UP_S * RATE)).astype(np.float32)
    stream = model.stream(latency_ms, RATE)
    stream.feed(noise)
    step = noise[: round(FRAME_S * RATE)]
    took_ms: list[float] = []
    began_s = clock.now()
    while len(took_ms) < MOST_STEPS and (len(took_ms) < 20 or clock.now() - began_s < seconds):
        before_s = clock.now()
        stream.feed(step)
        took_ms.append(1000 * (clock.now() - before_s))
    median, p99 = (float(np.percentile(took_ms, percent)) for percent in (50, 99))
    return Pace(latency_ms, len(took_ms), median, float(np.mean(took_ms)), p99)
