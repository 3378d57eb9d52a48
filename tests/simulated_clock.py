"""A clock that sleeping moves on."""

from __future__ import annotations

import threading


class SimulatedClock:
    """Sleeping moves it on at once, so that hours of live audio pass as fast as they can be computed.

    For one thread that drives everything in turn (``LiveSession.turn``).
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now_s += max(0.0, seconds)
