"""The messages between page and server, as PROTOCOL.md specifies them, and the limits of a connection.

Messages are read strictly and written only here.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from ...model.frames import HIGHEST_RATE, LOWEST_RATE
from ...model.notes import Event, NoteOn, Pedal
from ...model.timebase import MAX_LOOK_AHEAD_FRAMES, frames_for_latency, latency_s
from ..listener import MOST_BACKLOG_S

VERSION = 1
LATENCIES_MS = tuple(round(1000 * latency_s(frames)) for frames in range(MAX_LOOK_AHEAD_FRAMES + 1))
FORMATS: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "s16": np.dtype("<i2")}
MODES = ("live", "file")
HELLO = ("type", "version", "sample_rate", "format", "latency_ms", "mode", "start_s", "token", "pedal")
PROGRESS = "heard"  #: type of the message that reports how far the sound is computed
MOST_S = 366 * 86_400.0  #: latest stream time

#: Close codes, beside those of WebSocket itself (1000, 1001, 1009, 1011).
BAD_MESSAGE, NOT_ALLOWED, IDLE, OTHER_VERSION = 4400, 4401, 4408, 4426
TOO_FAST, FULL, NOT_READING, BROKEN = 4429, 4503, 4498, 4500


class StreamRefused(Exception):
    """Ends a connection: a close code, and a line that names what was expected. Never quotes the client."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


@dataclass(frozen=True)
class Hello:
    """What a client asks for."""

    sample_rate: int
    format: str = "f32"
    latency_ms: int = 132
    mode: str = "live"
    start_s: float = 0.0
    token: str = ""
    pedal: bool = True


@dataclass(frozen=True)
class Gap:
    """Samples that the client did not send."""

    samples: int


@dataclass(frozen=True)
class Ping:
    id: int


@dataclass(frozen=True)
class End:
    """No more sound will come."""


def parse_hello(text: str) -> Hello:
    """Parses a hello. Raises StreamRefused for anything but a hello of this version."""
    message = _object(text)
    if message.get("type") != "hello":
        _bad("expected a hello first")
    if message.get("version") != VERSION:
        raise StreamRefused(OTHER_VERSION, f"this server speaks version {VERSION} of the protocol")
    if not set(HELLO).issuperset(message):
        _bad(f"hello: expected no fields but {', '.join(HELLO)}")
    rate = _whole(message, "sample_rate", LOWEST_RATE, HIGHEST_RATE)
    latency_ms = _number(message, "latency_ms", 0, 1000, 132)
    try:
        frames = frames_for_latency(latency_ms)
    except ValueError:
        _bad(f"latency_ms: expected one of {', '.join(map(str, LATENCIES_MS))}")
    return Hello(
        rate,
        _choice(message, "format", tuple(FORMATS)),
        LATENCIES_MS[frames],
        _choice(message, "mode", MODES),
        _number(message, "start_s", 0, MOST_S, 0.0),
        _text(message, "token"),
        _truth(message, "pedal", True),
    )


def parse_control(text: str) -> Gap | Ping | End:
    """Parses a text message after the hello. Raises StreamRefused for any other text."""
    message = _object(text)
    kind = message.get("type")
    if kind == "gap":
        return Gap(_whole(message, "samples", 0, int(HIGHEST_RATE * MOST_S)))
    if kind == "ping":
        return Ping(_whole(message, "id", 0, 2**53 - 1))
    if kind == "end":
        return End()
    _bad("expected gap, ping or end")


def parse_sound(data: bytes, format: str) -> np.ndarray:
    """Returns samples [n], float32. Raises StreamRefused if the bytes are not whole samples."""
    kind = FORMATS[format]
    if len(data) % kind.itemsize:
        _bad(f"sound: expected whole samples of {kind.itemsize} bytes")
    samples = np.frombuffer(data, dtype=kind)
    if format == "s16":
        return samples.astype(np.float32) / np.float32(32_768)
    return samples.astype(np.float32)


def ready(latency_ms: float, checkpoint: str, pedal: bool) -> str:
    """Answer to a hello. ``latency_ms``: algorithmic latency, the resampler's delay included."""
    return _line(
        "ready", version=VERSION, latency_ms=round(latency_ms, 2), checkpoint=checkpoint, pedal=pedal
    )


def events(found: Sequence[Event]) -> str:
    """Message of events; times are stream time in seconds."""
    return _line("events", events=[_event(event) for event in found])


def progress(time_s: float, backlog_s: float, dropped_blocks: int, late_blocks: int) -> str:
    return _line(
        PROGRESS,
        time_s=round(time_s, 4),
        backlog_ms=round(1000 * backlog_s, 1),
        dropped_blocks=dropped_blocks,
        late_blocks=late_blocks,
    )


def pong(id: int) -> str:
    return _line("pong", id=id)


def done(time_s: float) -> str:
    return _line("done", time_s=round(time_s, 4))


def _event(event: Event) -> dict[str, Any]:
    if isinstance(event, Pedal):
        return {"type": "pedal", "time_s": round(event.time_s, 5), "down": event.down}
    if isinstance(event, NoteOn):
        return {
            "type": "on",
            "time_s": round(event.time_s, 5),
            "pitch": event.pitch,
            "velocity": event.velocity,
        }
    return {"type": "off", "time_s": round(event.time_s, 5), "pitch": event.pitch}


def _line(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields}, separators=(",", ":"), allow_nan=False)


def _object(text: str) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        _bad("expected a JSON object")
    return message


def _number(message: dict[str, Any], name: str, least: float, most: float, default: float) -> float:
    value = message.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _bad(f"{name}: expected a number")
    if not least <= value <= most or not math.isfinite(value):  # in this order: isfinite fails for a huge int
        _bad(f"{name}: expected {least:g} to {most:g}")
    return float(value)


def _whole(message: dict[str, Any], name: str, least: int, most: int) -> int:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _bad(f"{name}: expected a whole number from {least} to {most}")
    return value


def _choice(message: dict[str, Any], name: str, choices: tuple[str, ...]) -> str:
    value = message.get(name, choices[0])
    if value not in choices:
        _bad(f"{name}: expected one of {', '.join(choices)}")
    return str(value)


def _truth(message: dict[str, Any], name: str, default: bool) -> bool:
    value = message.get(name, default)
    if not isinstance(value, bool):
        _bad(f"{name}: expected true or false")
    return value


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name, "")
    if not isinstance(value, str):
        _bad(f"{name}: expected text")
    return value


def _bad(reason: str) -> NoReturn:
    raise StreamRefused(BAD_MESSAGE, reason)


@dataclass(frozen=True)
class Limits:
    """Limits that keep one connection from slowing down the others. Sizes in bytes, times in seconds."""

    streams: int = 8
    """Connections that are transcribed at the same time."""
    waiting: int = 32
    """Connections beyond ``streams`` that may be open: not yet accepted, being refused, closing."""
    message_bytes: int = 1 << 16
    """The longest message: 0.3 s of sound at 48 kHz."""
    text_bytes: int = 4096
    """The longest text message."""
    hello_s: float = 10.0
    """Time within which a connection must send its hello."""
    idle_s: float = 60.0
    """Time after which a stream without sound is ended."""
    sound_rate: float = 1.1
    """Seconds of live sound that a connection may send in a second, in the long run."""
    sound_burst_s: float = 5.0
    """Live sound that may come at once, after a network delayed it."""
    messages_per_s: float = 500.0
    """Messages that a connection may send in a second, in the long run; as many may come at once."""
    file_ahead_s: float = 10.0
    """Sound of a file that may wait to be computed; while more waits, the connection is not read."""
    backlog_s: float = MOST_BACKLOG_S
    """Live sound that may wait to be computed; if more waits, only the end is kept."""
    unread: int = 512
    """Messages that a client may leave unread."""
    close_s: float = 2.0
    """Time that a client may take to answer when its connection is closed."""

    @property
    def connections(self) -> int:
        """All connections: a browser opens six to load the page, and one for its stream."""
        return 7 * self.streams + 2 * self.waiting

    def __post_init__(self) -> None:
        if self.streams < 1:
            raise ValueError(f"expected room for at least one stream, got {self.streams}")


class Bucket:
    """Token bucket: allows ``rate`` per second in the long run, and ``burst`` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._filled_s = burst, clock()

    def take(self, amount: float) -> bool:
        """Takes ``amount``; if that is too much, takes nothing and returns False."""
        now_s = self._clock()
        self._left = min(self._burst, self._left + (now_s - self._filled_s) * self._rate)
        self._filled_s = now_s
        if amount > self._left:
            return False
        self._left -= amount
        return True
