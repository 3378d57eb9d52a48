"""Sound as it travels from an input to the engine, and what an input is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: Louder than this a sample is a fault of the driver; its square must not overflow the spectrum.
LOUDEST = 4.0


class InputFault(Exception):
    """An input that is not there, or no longer: one line that says what and which."""


class InputEnded(Exception):
    """A file has been played to its end."""


@dataclass(frozen=True)
class Block:
    """Mono samples [n], float32, in the order in which they sounded."""

    samples: np.ndarray
    time_s: float  #: stream time of the first sample
    lost_before: int = 0  #: samples that the device lost just before this block; ``time_s`` counts them
    sample_rate: int = 48_000  #: Hz
    arrived_s: float = 0.0  #: when its last sample was there, by the clock
    warnings: tuple[str, ...] = ()  #: about the input, to be told: a line each

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate

    @property
    def end_s(self) -> float:
        """Stream time of the sample that follows."""
        return self.time_s + self.duration_s


class Input(Protocol):
    """Where sound comes from. One thread opens, reads and closes."""

    name: str
    sample_rate: int  #: Hz; may change when it is opened again
    block_s: float  #: longest wait between a sample's sounding and its arrival
    dropped_blocks: int  #: not queued because nobody fetched them

    def open(self) -> None:
        """Raises InputFault when it is not there. Opening again finds it under its name."""

    def settle(self) -> None:
        """Once, before the first ``read``: takes a moment to learn ``block_s``."""

    def read(self, timeout_s: float) -> list[Block]:
        """All blocks that wait, or none when none came in time. Raises InputFault or InputEnded."""

    def close(self) -> None:
        """May be called twice."""


def clean(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples [n] within +-LOUDEST, NaN and infinity replaced by 0, and how many were replaced."""
    finite = np.isfinite(samples)
    bad = len(samples) - int(np.count_nonzero(finite))
    if bad:
        samples = np.where(finite, samples, np.float32(0))
    return np.clip(samples, -LOUDEST, LOUDEST), bad


def joined(blocks: list[Block]) -> list[Block]:
    """The same sound in as few blocks as possible: the engine computes many frames faster than one by one."""
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
