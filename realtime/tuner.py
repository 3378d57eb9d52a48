"""``--tuning auto``: hears the first seconds of playing, then says how far the piano is from A = 440 Hz."""

from __future__ import annotations

import threading

import numpy as np

from ..model.tuning import estimate_tuning
from .blocks import Block, clean

LISTEN_S = 12.0  #: of sound, silence not counted
AUDIBLE = 0.003  #: full scale is 1; quieter blocks are not counted
WORTH_CENTS = 3.0  #: a smaller difference changes nothing


class Tuner:
    """Give it every block; ``cents`` appears once it is known. Estimates in a thread of its own."""

    def __init__(self) -> None:
        self.cents: float | None = None
        self._heard: list[np.ndarray] | None = []
        self._heard_s = 0.0
        self._sample_rate = 0

    def hear(self, block: Block) -> None:
        if self._heard is None:
            return
        if block.sample_rate != self._sample_rate:
            self._heard, self._heard_s, self._sample_rate = [], 0.0, block.sample_rate
        samples = clean(block.samples)[0]
        if float(np.abs(samples).max(initial=0.0)) < AUDIBLE:
            return
        self._heard.append(samples)
        self._heard_s += block.duration_s
        if self._heard_s >= LISTEN_S:
            heard, self._heard = self._heard, None
            threading.Thread(target=self._estimate, args=(heard, block.sample_rate), daemon=True).start()

    def _estimate(self, heard: list[np.ndarray], sample_rate: int) -> None:
        self.cents = estimate_tuning(heard, sample_rate).cents
