"""Says once what is wrong with the channels of a sound device: one silent, noisy or cancelling the other."""

from __future__ import annotations

import numpy as np

from ..model.channels import ChannelMeter
from ..model.downmix import Downmix
from .blocks import LOUDEST

CHUNK_S = 1.0  #: is measured at once
#: Seconds in which something is played: so many come before the first verdict, and before each later one.
FIRST_S, LATER_S = 5.0, 30.0


class ChannelWatch:
    """Beside the mix of an input, of whose samples it changes nothing."""

    def __init__(self, mix: Downmix, sample_rate: int) -> None:
        self.said = mix.channels < 2  #: there is nothing more to say
        self._mix, self._rate = mix, sample_rate
        self._meter = ChannelMeter(mix.channels, sample_rate)
        self._due_s = FIRST_S
        self._waiting: list[np.ndarray] = []
        self._count = 0  # of the samples that wait

    def add(self, samples: np.ndarray) -> tuple[str, ...]:
        """The next samples [n, channels], which the mix has had; lines on channels unlike the others."""
        if self.said:
            return ()
        self._waiting.append(samples)
        self._count += len(samples)
        if self._count < CHUNK_S * self._rate:
            return ()
        chunk = np.nan_to_num(np.concatenate(self._waiting))
        self._waiting.clear()
        self._count = 0
        self._meter.add(np.clip(chunk, -LOUDEST, LOUDEST))
        return self._verdict() if self._mix.signal_s >= self._due_s else ()

    def _verdict(self) -> tuple[str, ...]:
        lines = self._meter.remarks([n for n, sign in enumerate(self._mix.signs) if sign < 0])
        self.said = bool(lines)
        self._meter = ChannelMeter(self._mix.channels, self._rate)
        self._due_s = self._mix.signal_s + LATER_S
        return tuple(lines)
