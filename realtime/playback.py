"""A recording in place of the microphone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType

import numpy as np

from .blocks import Block, InputEnded
from .clock import Clock, SystemClock

MOST_AT_ONCE_S = 4.0  #: as much as a microphone would queue


class FileInput:
    """Blocks of mono samples [n] of any sizes, cut to ``block_s`` and given out when they would be played.

    ``speed`` 1 is real time; None gives each block as soon as it is asked for. ``read`` waits in the
    reader's thread.
    """

    def __init__(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        *,
        name: str = "file",
        block_s: float = 0.01,
        speed: float | None = 1.0,
        clock: Clock | None = None,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ValueError(f"speed must be positive, got {speed:g}")
        self.name, self.sample_rate = name, sample_rate
        self.block_s = block_s
        self.dropped_blocks = 0
        self._pieces = _pieces(blocks, max(1, round(block_s * sample_rate)))
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
        """A file delivers as it was asked to; playing starts now."""
        self._start_s = self._clock.now()

    def close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()  # the file behind it

    def read(self, timeout_s: float) -> list[Block]:
        """All blocks whose time has come; waits for one at most ``timeout_s``. Raises InputEnded."""
        due_s = self._due_s()
        wait_s = due_s - self._clock.now()
        if wait_s > 0:
            self._clock.sleep(min(wait_s, timeout_s))
        blocks: list[Block] = []
        limit = self._given + MOST_AT_ONCE_S * self.sample_rate
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
            self._next = next(self._pieces, None)
        return self._next is not None

    def _take(self) -> Block:
        assert self._next is not None
        arrived_s = self._due_s()
        samples, self._next = self._next, None
        time_s = self._given / self.sample_rate
        self._given += len(samples)
        return Block(samples, time_s, 0, self.sample_rate, arrived_s)


def _pieces(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in pieces [size], the last one shorter."""
    rest = np.zeros(0, dtype=np.float32)
    for block in blocks:
        rest = np.concatenate([rest, np.asarray(block, dtype=np.float32)])
        whole = len(rest) // size * size
        for start in range(0, whole, size):
            yield rest[start : start + size]
        rest = rest[whole:]
    if len(rest):
        yield rest
