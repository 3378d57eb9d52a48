"""Stand-ins that fail on demand: a sound library, a MIDI wire, a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hppnet.model.notes import Event, NoteOff, NoteOn, Pedal
from hppnet.realtime.session import LiveSession

from .simulated_clock import SimulatedClock

FRAME_S = 0.02
NOTE_OFF, NOTE_ON, CONTROL = 0x80, 0x90, 0xB0
PEDAL = -1  #: among the pitches that are down


class FakeModel:
    """Its streams hear a note wherever the sound is louder than ``LOUD``; one pitch after the other.

    ``pedal``: it moves every ``PEDAL_FRAMES``, too.
    """

    LOUD = 0.05
    PEDAL_FRAMES = 7

    def __init__(self, step: Callable[[int], None] | None = None, pedal: bool = False) -> None:
        self.has_pedal = pedal
        self.step = step or (
            lambda frames: None
        )  # called with the frames of every feed: may raise or take time
        self.streams: list[FakeStream] = []
        self.cents = 0.0

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> FakeStream:
        self.streams.append(FakeStream(self, latency_ms / 1000, sample_rate, watch))
        return self.streams[-1]

    def with_tuning(self, cents: float) -> FakeModel:
        copy = FakeModel(self.step, self.has_pedal)
        copy.streams, copy.cents = self.streams, cents
        return copy


class FakeStream:
    def __init__(self, model: FakeModel, latency_s: float, sample_rate: int, watch: Any) -> None:
        self.latency_s, self.sample_rate = latency_s, sample_rate
        self._model, self._watch = model, watch
        self._hop = round(FRAME_S * sample_rate)
        self._pitch = 48
        self.reset()

    def reset(self) -> None:
        self.samples = np.zeros(0, dtype=np.float32)
        self._frame, self._down, self._pedal = 0, None, False

    def feed(self, block: np.ndarray) -> list[Event]:
        assert np.isfinite(block).all()
        self.samples = np.concatenate([self.samples, block])
        count = len(self.samples) // self._hop
        self._model.step(count)
        frames = self.samples[: count * self._hop].reshape(count, self._hop)
        self.samples = self.samples[count * self._hop :]
        if count and self._watch is not None:
            self._watch(np.zeros((count, 88, 4)))
        return [event for frame in frames for event in self._hear(frame)]

    def flush(self) -> list[Event]:
        self.samples = self.samples[:0]
        end_s = self._frame * FRAME_S
        events: list[Event] = [] if self._down is None else [NoteOff(end_s, self._down)]
        return [*events, Pedal(end_s, False)] if self._pedal else events

    def _hear(self, frame: np.ndarray) -> Iterable[Event]:
        loud = float(np.abs(frame).max()) > self._model.LOUD
        time_s = self._frame * FRAME_S
        self._frame += 1
        if self._model.has_pedal and self._frame % self._model.PEDAL_FRAMES == 0:
            self._pedal = not self._pedal
            yield Pedal(time_s, self._pedal)
        if loud and self._down is None:
            self._pitch = 48 + (self._pitch - 47) % 12
            self._down = self._pitch
            yield NoteOn(time_s, self._down, 80)
        elif not loud and self._down is not None:
            yield NoteOff(time_s, self._down)
            self._down = None


@dataclass
class FakeWire:
    """Keeps every message; ``trouble`` is called before each and may raise or block."""

    trouble: Callable[[], None] = lambda: None
    name: str = "fake"
    messages: list[list[int]] = field(default_factory=list)
    gone: bool = False
    closed: bool = False

    def send(self, message: list[int]) -> None:
        self.trouble()
        self.messages.append(message)

    def alive(self) -> bool:
        return not self.gone

    def close(self) -> None:
        self.closed = True


def end_by(how: str, session: LiveSession, model: FakeModel, ready: Callable[[], bool]) -> None:
    """Runs a session and ends it when it is ready: it is stopped, or its watcher or its engine fails."""
    stop = threading.Event()

    def watch(status: object) -> None:
        if not ready():
            return
        if how == "stop":
            stop.set()
        elif how == "watcher":
            raise ZeroDivisionError
        else:
            model.step = lambda frames: 1 / 0  # type: ignore[assignment, return-value]

    if how == "stop":
        session.run(stop, watch, every_s=0.005)
    else:
        with pytest.raises(ZeroDivisionError):
            session.run(stop, watch, every_s=0.005)


def sounding_after(messages: Iterable[list[int]], before: bool = False) -> set[int]:
    """Pitches that the messages leave down, and PEDAL if it is; fails where two notes of one key overlap.

    ``before``: other messages went before, on a wire that broke, and what they began may end here.
    """
    down: set[int] = set()
    for status, first, value in messages:
        if status & 0xF0 == NOTE_ON:
            assert first not in down, f"key {first} goes down while it is down"
            down.add(first)
        elif status & 0xF0 == NOTE_OFF:
            assert before or first in down, f"key {first} comes up without having gone down"
            down.discard(first)
        elif first == 64:
            down.add(PEDAL) if value >= 64 else down.discard(PEDAL)
    return down


class FakeSound:
    """What AudioInput uses of sounddevice. ``play`` is the device delivering a block."""

    class PortAudioError(Exception):
        pass

    def __init__(self, clock: SimulatedClock, names: Iterable[str] = ("Built-in", "USB Piano")) -> None:
        self.clock = clock
        self.names = list(names)
        self.rate = 48_000.0
        self.refuse = False  # to open
        self.starts = 0
        self.default = SimpleNamespace(device=[0, 0])
        self.stream: FakeSoundStream | None = None

    def query_devices(self) -> list[dict[str, Any]]:
        usual = {"hostapi": 0, "max_input_channels": 2, "default_samplerate": self.rate}
        return [{"name": name, **usual} for name in self.names]

    def query_hostapis(self) -> list[dict[str, Any]]:
        return [{"name": "Fake", "default_input_device": 0}]

    def _terminate(self) -> None: ...

    def _initialize(self) -> None:
        self.starts += 1

    def InputStream(self, **options: Any) -> FakeSoundStream:
        if self.refuse:
            raise self.PortAudioError("Error opening InputStream: Device unavailable\n[PaErrorCode -9985]")
        self.stream = FakeSoundStream(options)
        return self.stream

    def play(self, samples: np.ndarray, late_s: float = 0.0, overflow: bool = False) -> None:
        """Samples [n] on all channels, or [n, channels]; the clock moves on by their length and late_s."""
        self.clock.sleep(len(samples) / self.rate + late_s)
        if self.stream is None or not self.stream.active:
            return
        channels = self.stream.options["channels"]
        data = samples if samples.ndim == 2 else np.repeat(samples[:, None], channels, axis=1)
        status = SimpleNamespace(input_overflow=overflow)
        self.stream.options["callback"](data.astype(np.float32), len(samples), None, status)


class FakeSoundStream:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options, self.active = options, False

    def start(self) -> None:
        self.active = True

    def abort(self) -> None:
        self.active = False

    def close(self) -> None:
        self.active = False
