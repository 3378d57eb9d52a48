"""Sound inputs: blocks of samples, the protocol of all inputs, and a file in place of a microphone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

import numpy as np

from .timeline import SteadyClock, SystemClock

#: A larger sample is a driver's fault and is clipped, so that its square does not overflow the spectrum.
LOUDEST = 4.0


class InputFault(Exception):
    """An input is missing or was lost. The message names the input and the fault in one line."""


class InputEnded(Exception):
    """A file has been played to its end."""


@dataclass(frozen=True)
class Block:
    """Mono samples [n], float32, in the order in which they were recorded."""

    samples: np.ndarray
    time_s: float  #: stream time of the first sample
    lost_before: int = 0  #: samples that the device lost just before this block; ``time_s`` includes them
    sample_rate: int = 48_000  #: Hz
    arrived_s: float = 0.0  #: clock time at which its last sample arrived
    warnings: tuple[str, ...] = ()  #: lines for the user about the input

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def end_s(self) -> float:
        """Stream time of the sample that follows."""
        return self.time_s + self.duration_s


class Input(Protocol):
    """A source of sound. One thread opens, reads and closes it."""

    name: str
    sample_rate: int  #: Hz; may change when it is opened again
    block_s: float  #: longest wait from the time of a sample to its arrival
    dropped_blocks: int  #: blocks not queued because nobody read the earlier ones

    def open(self) -> None:
        """Opens the input, or opens it again by its name. Raises InputFault if it is missing."""

    def settle(self) -> None:
        """Measures ``block_s``, which takes a moment. Called once, before the first ``read``."""

    def read(self, timeout_s: float) -> list[Block]:
        """Returns all waiting blocks; empty if none arrives in time. Raises InputFault or InputEnded."""

    def close(self) -> None:
        """Closes the input. May be called twice."""


def clean(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns samples [n] clipped to +-LOUDEST, NaN and infinity replaced by 0, and the number replaced."""
    finite = np.isfinite(samples)
    bad = len(samples) - int(np.count_nonzero(finite))
    if bad:
        samples = np.where(finite, samples, np.float32(0))
    return np.clip(samples, -LOUDEST, LOUDEST), bad


def joined(blocks: list[Block]) -> list[Block]:
    """Joins adjacent blocks: many frames at once are computed faster than one by one."""
    runs: list[list[Block]] = []
    for block in blocks:
        last = runs[-1][-1] if runs else None
        if last and last.sample_rate == block.sample_rate and abs(block.time_s - last.end_s) < 1e-4:
            runs[-1].append(block)
        else:
            runs.append([block])
    return [_one(run) for run in runs]


def _one(run: list[Block]) -> Block:
    if len(run) == 1:
        return run[0]
    first, last = run[0], run[-1]
    samples = np.concatenate([block.samples for block in run])
    return Block(samples, first.time_s, first.lost_before, first.sample_rate, last.arrived_s)


MOST_READ_S = 4.0  #: most sound that one ``read`` returns, as much as a microphone would queue


class FileInput:
    """A recording in place of the microphone: each block arrives when its last sample would have sounded.

    ``blocks`` are mono samples [n] of any length; they are cut into blocks of ``block_s``. ``speed`` 1 is
    real time; None returns one block at each ``read``, without waiting. ``read`` waits in the caller's
    thread.
    """

    def __init__(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        *,
        name: str = "file",
        block_s: float = 0.01,
        speed: float | None = 1.0,
        clock: SteadyClock | None = None,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed must be positive, got {speed:g}")
        self.name, self.sample_rate = name, sample_rate
        self.block_s = block_s
        self.dropped_blocks = 0
        self._blocks = _cut(blocks, max(1, round(block_s * sample_rate)))
        self._speed = speed
        self._clock = clock or SystemClock()
        self._start_s: float | None = None
        self._given = 0  # samples
        self._next: np.ndarray | None = None

    def __enter__(self) -> FileInput:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        if self._start_s is None:
            self._start_s = self._clock.now()

    def settle(self) -> None:
        """Starts to play; ``block_s`` is known already."""
        self._start_s = self._clock.now()

    def close(self) -> None:
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()  # closes the file that the generator reads

    def read(self, timeout_s: float) -> list[Block]:
        """Returns all blocks that are due; waits at most ``timeout_s`` for one. Raises InputEnded."""
        due_s = self._due_s()
        wait_s = due_s - self._clock.now()
        if wait_s > 0:
            self._clock.sleep(min(wait_s, timeout_s))
        blocks: list[Block] = []
        limit = self._given + MOST_READ_S * self.sample_rate
        while self._due_s() <= self._clock.now() + 1e-9 and self._given < limit:
            blocks.append(self._take())
            if self._speed is None or not self._look():
                break
        return blocks

    def _due_s(self) -> float:
        """When the last sample of the next block will have been played."""
        if not self._look():
            raise InputEnded(f"{self.name} has been played")
        assert self._start_s is not None and self._next is not None
        if self._speed is None:
            return self._clock.now()
        return self._start_s + (self._given + len(self._next)) / self.sample_rate / self._speed

    def _look(self) -> bool:
        if self._next is None:
            self._next = next(self._blocks, None)
        return self._next is not None

    def _take(self) -> Block:
        assert self._next is not None
        arrived_s = self._due_s()
        samples, self._next = self._next, None
        time_s = self._given / self.sample_rate
        self._given += len(samples)
        return Block(samples, time_s, 0, self.sample_rate, arrived_s)


def _cut(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cuts the samples into blocks [size], the last one shorter."""
    rest = np.zeros(0, dtype=np.float32)
    for block in blocks:
        rest = np.concatenate([rest, np.asarray(block, dtype=np.float32)])
        whole = len(rest) // size * size
        for start in range(0, whole, size):
            yield rest[start : start + size]
        rest = rest[whole:]
    if len(rest):
        yield rest
