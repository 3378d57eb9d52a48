"""The clock, stream time, and the mapping between the two.

A sound card's quartz and the machine's clock differ by up to a hundred parts in a million: seconds a
day. A block may arrive late, but never early. So ``Timeline`` takes the *least* delay of the last seconds
as the true one, and follows it slowly, so that the rhythm is not distorted.
"""

from __future__ import annotations

import math
import time
from typing import Protocol

SLEW = 0.002  #: seconds a second by which the anchor follows
SETTLE_S = 1.0  #: until then the anchor follows at once
BUCKET_S = 5.0  #: the least delay is taken over one to two of these
JUMP_S = 0.25  #: more than any drift: the clock itself has jumped


class SteadyClock(Protocol):
    """Seconds that never run backwards, from an arbitrary start."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """``time.perf_counter``: the finest steady clock that Python offers on every system."""

    def now(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class Timeline:
    """Maps stream time to clock time. The worker feeds it; any thread may read it.

    Until the first block, stream time 0 is at ``began_s``.
    """

    def __init__(self, began_s: float = 0.0) -> None:
        self.anchor_s = began_s  #: the clock's time at stream time 0
        self.restart()

    def restart(self) -> None:
        """Lets the next block set the anchor anew, since another device has another delay."""
        self._anchored = False
        self._first_s = self._bucket_s = self._last_s = 0.0
        self._before = self._least = math.inf

    def clock_of(self, stream_s: float) -> float:
        return self.anchor_s + stream_s

    def stream_of(self, clock_s: float) -> float:
        return clock_s - self.anchor_s

    def observe(self, end_s: float, arrived_s: float) -> None:
        """Adds a block that ends at stream time ``end_s`` and arrived at clock time ``arrived_s``."""
        delay = arrived_s - end_s
        if not self._anchored:
            self._anchored, self._before = True, math.inf
            self.anchor_s = self._least = delay
            self._first_s = self._bucket_s = self._last_s = end_s
            return
        if end_s - self._bucket_s >= BUCKET_S:
            self._before, self._least, self._bucket_s = self._least, delay, end_s
        self._least = min(self._least, delay)
        self._follow(min(self._least, self._before), end_s)

    def _follow(self, target_s: float, end_s: float) -> None:
        step = target_s - self.anchor_s
        if end_s - self._first_s > SETTLE_S and abs(step) < JUMP_S:
            most = SLEW * (end_s - self._last_s)
            step = max(-most, min(most, step))
        self.anchor_s += step
        self._last_s = end_s


class GapMeter:
    """Estimates how much sound a device lost, from the arrival times of its blocks.

    A late block is no loss: the next ones catch up. Only a delay of all blocks of a window, even of the
    earliest, means lost sound.
    """

    WINDOW_S = 0.25
    UNTOLD_S = 0.02  #: least loss that counts if the device did not report one
    REPORTED_S = 0.002
    DRIFT = 0.001  #: no quartz is worse; a larger drift is lateness

    def __init__(self) -> None:
        self._usual: float | None = None
        self._least, self._blocks, self._opened_s = math.inf, 0, 0.0  # state of the current window
        self._reported = 0  # windows for which a report of the device still counts

    @property
    def usual_s(self) -> float | None:
        """Usual difference between clock and stream time at a block's end; None until it is known."""
        return self._usual if self._usual is not None else (self._least if self._blocks else None)

    def note(self, end_s: float, arrived_s: float, reported: bool) -> float:
        """Adds a block; returns the seconds lost before it, mostly 0. ``end_s`` includes earlier losses."""
        delay = arrived_s - end_s
        if reported:
            self._reported = 2  # the window may be nearly over
        if not self._blocks:
            self._opened_s = end_s
        self._least = min(self._least, delay)
        self._blocks += 1
        if end_s - self._opened_s < self.WINDOW_S or self._blocks < 3:
            return 0.0
        return self._close_window()

    def _close_window(self) -> float:
        least, self._usual = self._least, self._usual if self._usual is not None else self._least
        lost = least - self._usual
        smallest = self.REPORTED_S if self._reported else self.UNTOLD_S
        self._reported = max(0, self._reported - 1)
        self._least, self._blocks = math.inf, 0
        if lost >= smallest:
            return lost
        self._usual += min(lost, self.DRIFT * self.WINDOW_S)  # drift between the two quartzes
        return 0.0


class Backoff:
    """When to try again after a failure: soon at first, then ever less often."""

    def __init__(self, first_s: float = 0.5, most_s: float = 8.0) -> None:
        self._first_s, self._most_s = first_s, most_s
        self.succeeded()

    def succeeded(self) -> None:
        self._wait_s = self._first_s

    def failed(self, now_s: float) -> float:
        """Returns when to try again, by the clock of ``now_s``."""
        wait_s, self._wait_s = self._wait_s, min(self._most_s, 2 * self._wait_s)
        return now_s + wait_s
