"""The fixed latency from an onset to its sending: what it is made of, so that nothing is late.

An onset is known once the sound up to the algorithmic latency after its frame's centre has come and has
been computed. It lies up to half a frame before that centre, the sound comes in blocks, and computing takes
its time; whatever of that turns out shorter is waited for, so that every event leaves equally late.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.timebase import FRAME_S
from .blocks import Input
from .clock import Clock
from .engine import Engine
from .settings import LiveSettings
from .source import LiveModel

WITHIN_FRAME_MS = 1000 * FRAME_S / 2
LEAST_COMPUTE_MS = 8.0  #: other programs come in between
MARGIN_MS = 4.0  #: threads wake late, the port takes its time
MOST_BLOCK_MS = 100.0
WARM_UP_S = 1.0  #: of noise: the first steps prepare PyTorch and are slow
MEASURE_S = 1.0


@dataclass(frozen=True)
class Latency:
    """In milliseconds."""

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
        """From an onset at the input to the sending of its note."""
        return self.algorithmic_ms + self.allowance_ms

    def __str__(self) -> str:
        parts = (
            f"{self.allowance_ms:.0f} allowed"
            if self.fixed_allowance_ms is not None
            else f"{self.block_ms:.0f} audio block, {WITHIN_FRAME_MS:.0f} within a frame, "
            f"{self.compute_ms:.0f} computing, {MARGIN_MS:.0f} margin"
        )
        return f"{self.total_ms:.0f} ms: {self.algorithmic_ms:.0f} algorithmic, {parts}"


def measured_latency(compute_ms: float, engine: Engine, input: Input, settings: LiveSettings) -> Latency:
    """Lets the input show how it delivers, and adds up. ``compute_ms``: of a step, at the median."""
    input.settle()
    return Latency(
        1000 * engine.latency_s,
        min(MOST_BLOCK_MS, 1000 * input.block_s),
        max(LEAST_COMPUTE_MS, 2 * compute_ms),
        settings.allowance_ms,
    )


def step_ms(model: LiveModel, latency_ms: float, clock: Clock) -> float:
    """Warms the model up; the median time of a step of one frame.

    Before the input is opened: what came meanwhile would be a backlog from the start.
    """
    sample_rate = 48_000
    stream = model.stream(latency_ms, sample_rate, None)
    noise = np.random.default_rng(0).normal(0, 0.01, round(WARM_UP_S * sample_rate)).astype(np.float32)
    stream.feed(noise)
    step = round(FRAME_S * sample_rate)
    times = []
    for _ in range(round(MEASURE_S / FRAME_S)):
        started_s = clock.now()
        stream.feed(noise[:step])
        times.append(clock.now() - started_s)
    return 1000 * float(np.median(times))
