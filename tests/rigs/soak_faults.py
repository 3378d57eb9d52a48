"""Faults at random for a session under simulated time: of the sound, the device, the port, the computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from hppnet.model.notes import Event
from hppnet.realtime.bench_round_trip import MidiSink
from hppnet.realtime.live_decoder import LiveModel, LiveStream
from hppnet.realtime.midi_ports import PortFault

from ..simulated_clock import SimulatedClock
from .soak_input import RoughInput

RATES = (22_050, 44_100, 48_000, 96_000)


class RoughSink(MidiSink):
    """A port that fails on order: ``fail`` sends raise, ``gone`` attempts to open it fail."""

    def __init__(self, clock: SimulatedClock, rng: np.random.Generator) -> None:
        super().__init__(clock, keep=False)
        self.fail = self.gone = 0
        self._rng = rng

    def open(self) -> MidiSink:
        if self.gone > 0:
            self.gone -= 1
            raise PortFault("the port is not there")
        return self

    def send(self, message: list[int]) -> None:
        if self.fail > 0:
            self.fail -= 1
            if self._rng.random() < 0.5:  # it may have arrived all the same
                super().send(message)
            raise RuntimeError("the port does not answer")
        super().send(message)

    def alive(self) -> bool:
        return self.gone == 0


class RoughModel:
    """A transcriber whose streams fail on order."""

    def __init__(self, model: LiveModel) -> None:
        self._model = model
        self.fail = False

    @property
    def has_pedal(self) -> bool:
        return self._model.has_pedal

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> LiveStream:
        return _RoughStream(self, self._model.stream(latency_ms, sample_rate, watch))

    def with_tuning(self, cents: float) -> LiveModel:
        return RoughModel(self._model.with_tuning(cents))


class _RoughStream:
    def __init__(self, model: RoughModel, stream: LiveStream) -> None:
        self._model, self._stream = model, stream
        self.flush, self.reset = stream.flush, stream.reset

    @property
    def latency_s(self) -> float:
        return self._stream.latency_s

    def feed(self, block: object) -> list[Event]:
        if self._model.fail:
            self._model.fail = False
            raise RuntimeError("computing failed on order")
        return self._stream.feed(block)


class FaultInjector:
    """``inject`` makes one fault happen, of a kind drawn at random, and counts it."""

    def __init__(
        self, input: RoughInput, sink: RoughSink, model: RoughModel, rng: np.random.Generator
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._input, self._sink, self._model, self._rng = input, sink, model, rng
        self._kinds: dict[str, Callable[[], None]] = {
            "samples lost": lambda: setattr(input, "lose_s", 10 ** rng.uniform(-4, 0.7)),
            "not a number": lambda: self._spoil(self._numberless),
            "far too loud": lambda: self._spoil(lambda samples: samples * np.float32(1e30)),
            "block cut short": lambda: self._spoil(lambda samples: samples[: int(rng.integers(0, 3))]),
            "stall": lambda: setattr(input, "stall_s", 10 ** rng.uniform(-1, 1)),
            "unplugged": lambda: setattr(input, "unplug", int(rng.integers(1, 5))),
            "unplugged, back at another rate": self._other_rate,
            "sends that fail": lambda: setattr(sink, "fail", int(rng.integers(1, 6))),
            "port gone": lambda: setattr(sink, "gone", int(rng.integers(1, 5))),
            "computing fails": lambda: setattr(model, "fail", True),
        }

    def inject(self) -> None:
        kind = str(self._rng.choice(list(self._kinds)))
        self.counts[kind] += 1
        self._kinds[kind]()

    def _spoil(self, how: Callable[[np.ndarray], np.ndarray]) -> None:
        self._input.spoil = how

    def _numberless(self, samples: np.ndarray) -> np.ndarray:
        spoilt = samples.copy()
        where = self._rng.random(len(samples)) < 10 ** self._rng.uniform(-4, 0)
        spoilt[where] = self._rng.choice(np.array([np.nan, np.inf, -np.inf], dtype=np.float32))
        return spoilt

    def _other_rate(self) -> None:
        self._input.unplug = int(self._rng.integers(1, 5))
        self._input.next_rate = int(self._rng.choice(RATES))
