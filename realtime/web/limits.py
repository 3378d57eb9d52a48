"""What one connection may take, so that it costs the others nothing."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..listener import MOST_BACKLOG_S


@dataclass(frozen=True)
class Limits:
    """Of a server. Sizes in bytes, times in seconds."""

    streams: int = 8
    """Connections that are transcribed at the same time."""
    waiting: int = 32
    """Connections beyond those that may be on their way: saying hello, being refused, leaving."""
    message_bytes: int = 1 << 16
    """The longest message: 0.3 s of sound at 48 kHz."""
    text_bytes: int = 4096
    """The longest text message."""
    hello_s: float = 10.0
    """A connection must say what it wants within."""
    idle_s: float = 60.0
    """A stream without sound ends after."""
    sound_rate: float = 1.1
    """Seconds of live sound a second, in the long run."""
    sound_burst_s: float = 5.0
    """Live sound that may come at once: what a network held up."""
    messages_per_s: float = 500.0
    """In the long run; as many again may come at once."""
    file_ahead_s: float = 10.0
    """Sound of a file that waits to be computed; more is not read from the connection."""
    backlog_s: float = MOST_BACKLOG_S
    """Live sound that waits to be computed; of more than that only the end is kept."""
    unread: int = 512
    """Messages that a client may leave unread."""
    close_s: float = 2.0
    """How long a client may take to hear that it is being closed."""

    def __post_init__(self) -> None:
        if self.streams < 1:
            raise ValueError(f"expected room for at least one stream, got {self.streams}")


class Bucket:
    """Lets ``rate`` a second through in the long run, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._filled_s = burst, clock()

    def take(self, amount: float) -> bool:
        """False if that is too much; nothing is taken then."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``, a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
