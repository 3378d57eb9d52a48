"""How long to wait before the next attempt."""

from __future__ import annotations


class Backoff:
    """Soon at first, then ever more seldom."""

    def __init__(self, first_s: float = 0.5, most_s: float = 8.0) -> None:
        self._first_s, self._most_s = first_s, most_s
        self.succeeded()

    def succeeded(self) -> None:
        self._wait_s = self._first_s

    def failed(self, now_s: float) -> float:
        """When to try again, by the same clock."""
        wait_s, self._wait_s = self._wait_s, min(self._most_s, 2 * self._wait_s)
        return now_s + wait_s
