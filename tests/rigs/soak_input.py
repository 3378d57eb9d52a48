"""An input that plays for a day as fast as it is read, and misbehaves on order.

Time is simulated: ``read`` moves the clock. The device's quartz runs a little fast, blocks come a little
late, and the programme changes between music, silence, noise and what else a microphone may give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hppnet.realtime.inputs import Block, InputEnded, InputFault

from ..simulated_clock import SimulatedClock

BLOCK_S = 0.5  #: long ones are computed faster than many short ones
QUARTZ_PPM = 60.0  #: the device against the clock: five seconds a day
LATE_S = 0.03  #: a block comes up to so late
#: Kind of sound -> seconds of it at a time, about. Silence is long enough for every note to end.
SECTIONS = {"music": 90.0, "noise": 10.0, "offset": 6.0, "overdriven": 8.0, "chatter": 10.0}
SILENCE_S = 25.0


class Programme:
    """Blocks [n] of sound: a recording in a loop, silence between, and now and then other sounds."""

    def __init__(self, music: np.ndarray, sample_rate: int, seconds: float, rng: np.random.Generator) -> None:
        self.section = "silence"
        self.ends_silence = False  #: whether the latest block is the last of a silence
        self._recording, self._rate, self._rng = music, sample_rate, rng
        self._makers: dict[str, Callable[[int], np.ndarray]] = {
            "silence": np.zeros,
            "music": self._music,
            "noise": lambda size: rng.normal(0, 0.03, size),
            "offset": lambda size: 0.5 + rng.normal(0, 1e-5, size),
            "overdriven": lambda size: np.clip(20 * self._music(size), -1, 1),
            "chatter": self._chatter,
        }
        self._at = 0  # in the music
        self._left = round(seconds / BLOCK_S)  # blocks
        self._blocks = self._run()

    @property
    def left_s(self) -> float:
        """What is still to come, about: a section that has begun is played to its end."""
        return self._left * BLOCK_S

    def next(self, sample_rate: int) -> np.ndarray | None:
        """The next block as a device with this rate gives it; None at the end."""
        block = next(self._blocks, None)
        if block is None or sample_rate == self._rate:
            return block
        positions = np.arange(round(len(block) * sample_rate / self._rate)) * self._rate / sample_rate
        return np.interp(positions, np.arange(len(block)), block).astype(np.float32)

    def _run(self) -> Iterator[np.ndarray]:
        size = round(BLOCK_S * self._rate)
        while self._left > 0:
            kind = "music" if self._rng.random() < 0.6 else str(self._rng.choice(list(SECTIONS)))
            yield from self._section(kind, SECTIONS[kind] * self._rng.uniform(0.5, 1.5), size)
            yield from self._section("silence", SILENCE_S, size)

    def _section(self, kind: str, seconds: float, size: int) -> Iterator[np.ndarray]:
        make = self._makers[kind]
        count = round(seconds / BLOCK_S)
        for number in range(count):
            self.section, self._left = kind, self._left - 1
            self.ends_silence = kind == "silence" and number == count - 1
            yield make(size).astype(np.float32)

    def _music(self, size: int) -> np.ndarray:
        positions = (self._at + np.arange(size)) % len(self._recording)
        self._at = (self._at + size) % len(self._recording)
        return self._recording[positions]

    def _chatter(self, size: int) -> np.ndarray:
        """Like speech: gliding tones in syllables."""
        t = np.arange(size) / self._rate
        glide = 120 + 40 * np.sin(2 * np.pi * 1.3 * t + self._rng.uniform(0, 6))
        phase = 2 * np.pi * np.cumsum(glide) / self._rate
        voiced = sum(np.sin(h * phase) / h for h in range(1, 12))
        return 0.1 * np.maximum(0, np.sin(2 * np.pi * 4 * t)) * np.asarray(voiced)


class RoughInput:
    """Gives the programme out as a device does (``Input``); on order it misbehaves.

    Orders for the next ``read``: ``spoil`` changes a block, ``lose_s`` is lost by the device, ``stall_s``
    passes before anybody reads. ``unplug``: so many attempts to open it fail. ``next_rate``: its rate then.
    """

    name = "simulated device"

    def __init__(
        self, programme: Programme, sample_rate: int, clock: SimulatedClock, rng: np.random.Generator
    ) -> None:
        self.programme, self.sample_rate = programme, sample_rate
        self.block_s = BLOCK_S
        self.dropped_blocks = 0
        self.spoil: Callable[[np.ndarray], np.ndarray] | None = None
        self.lose_s = self.stall_s = 0.0
        self.unplug = 0
        self.next_rate = sample_rate
        self._clock, self._rng = clock, rng
        self._end_s = 0.0  # stream time
        self._true_s = clock.now()  # the clock at the sample after the last one

    def open(self) -> None:
        if self.unplug > 0:
            self.unplug -= 1
            raise InputFault(f"{self.name} is not there")
        if self._true_s < self._clock.now():  # while it was away, time went on
            self._end_s += self._clock.now() - self._true_s
            self._true_s = self._clock.now()
        self.sample_rate = self.next_rate

    def settle(self) -> None: ...

    def close(self) -> None: ...

    def read(self, timeout_s: float) -> list[Block]:
        """Moves the clock to the next block's arrival, or by a stall, during which blocks pile up."""
        if self.unplug > 0:
            raise InputFault(f"{self.name} has gone")
        self._clock.sleep(self.stall_s)
        self.stall_s = 0.0
        blocks = [self._block()]
        while self._true_s < self._clock.now():
            blocks.append(self._block())
        self._clock.sleep(blocks[-1].arrived_s - self._clock.now())
        return blocks

    def _block(self) -> Block:
        samples = self.programme.next(self.sample_rate)
        if samples is None:
            raise InputEnded("the programme is over")
        if self.spoil is not None:
            samples, self.spoil = self.spoil(samples), None
        lost = round(self.lose_s * self.sample_rate)
        self.lose_s = 0.0
        time_s = self._end_s + lost / self.sample_rate
        duration_s = (lost + len(samples)) / self.sample_rate
        self._end_s = time_s + len(samples) / self.sample_rate
        self._true_s += duration_s * (1 - QUARTZ_PPM * 1e-6)
        arrived_s = self._true_s + float(self._rng.uniform(0, LATE_S)) ** 2 / LATE_S
        return Block(samples, time_s, lost, self.sample_rate, arrived_s)

    def clock_of_end(self) -> float:
        """The clock at the newest sample: the truth to compare estimates with."""
        return self._true_s
