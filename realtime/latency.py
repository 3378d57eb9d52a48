"""The fixed latency from an onset to the sending of its note, and the parts it consists of.

An onset is detected once the sound has arrived and been computed up to the algorithmic latency after the
centre of its frame. It lies up to half a frame before that centre, sound arrives in blocks, and computing
takes time. If these take less time than allowed for, the sender waits, so that the latency of all events is
equal. ``measure_pace`` measures whether a machine computes steps fast enough for live use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.timebase import FRAME_S
from .inputs import Input
from .live_decoder import LiveDecoder, LiveModel
from .settings import LiveSettings
from .timeline import SteadyClock, SystemClock

WITHIN_FRAME_MS = 1000 * FRAME_S / 2
LEAST_COMPUTE_MS = 8.0  #: least allowance for computing, since other programs interrupt
MARGIN_MS = 4.0  #: allowance for threads that wake late and for the port
MOST_BLOCK_MS = 100.0
RATE = 48_000  #: Hz, the usual rate of sound cards
WARM_UP_S = 1.0  #: length of noise fed first: the network's first steps are slow
MEASURE_S = 1.0
PACE_WARM_UP_S = 0.5
MOST_STEPS = 300
FRAME_MS = 1000 * FRAME_S
#: Share of a frame's time that steps may take; sound device, MIDI port and view need the rest.
SHARE = 0.9


@dataclass(frozen=True)
class Latency:
    """The parts of the latency, in milliseconds."""

    algorithmic_ms: float
    block_ms: float
    compute_ms: float
    fixed_allowance_ms: float | None = None

    @property
    def allowance_ms(self) -> float:
        if self.fixed_allowance_ms is not None:
            return self.fixed_allowance_ms
        return self.block_ms + WITHIN_FRAME_MS + self.compute_ms + MARGIN_MS

    @property
    def total_ms(self) -> float:
        """Time from an onset at the input to the sending of its note."""
        return self.algorithmic_ms + self.allowance_ms

    def __str__(self) -> str:
        parts = (
            f"{self.allowance_ms:.0f} allowed"
            if self.fixed_allowance_ms is not None
            else f"{self.block_ms:.0f} audio block, {WITHIN_FRAME_MS:.0f} within a frame, "
            f"{self.compute_ms:.0f} computing, {MARGIN_MS:.0f} margin"
        )
        return f"{self.total_ms:.0f} ms: {self.algorithmic_ms:.0f} algorithmic, {parts}"


def measured_latency(
    compute_ms: float, decoder: LiveDecoder, input: Input, settings: LiveSettings
) -> Latency:
    """Lets the input measure its blocks and returns all parts. ``compute_ms``: the median time of a step."""
    input.settle()
    return Latency(
        1000 * decoder.latency_s,
        min(MOST_BLOCK_MS, 1000 * input.block_s),
        max(LEAST_COMPUTE_MS, 2 * compute_ms),
        settings.allowance_ms,
    )


def step_ms(model: LiveModel, latency_ms: float, clock: SteadyClock) -> float:
    """Warms the model up and returns the median time of a step of one frame, in ms.

    Call it before the input is opened: sound that arrives meanwhile would be a backlog.
    """
    stream = model.stream(latency_ms, RATE, None)
    noise = np.random.default_rng(0).normal(0, 0.01, round(WARM_UP_S * RATE)).astype(np.float32)
    stream.feed(noise)
    step = round(FRAME_S * RATE)
    times = []
    for _ in range(round(MEASURE_S / FRAME_S)):
        started_s = clock.now()
        stream.feed(noise[:step])
        times.append(clock.now() - started_s)
    return 1000 * float(np.median(times))


@dataclass(frozen=True)
class Pace:
    """How long steps of one frame take at one latency, in milliseconds."""

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
    model: LiveModel, latency_ms: float, seconds: float = 1.0, clock: SteadyClock | None = None
) -> Pace:
    """Times consecutive steps until ``seconds`` have passed or 300 are done; at least 20."""
    clock = clock or SystemClock()
    noise = np.random.default_rng(0).normal(0, 0.01, round(PACE_WARM_UP_S * RATE)).astype(np.float32)
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
