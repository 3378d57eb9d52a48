"""One sound after the other, as one: the first one's rate and channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soxr

from ...model.downmix import Downmix
from ..errors import AudioError
from .parts import Part, Report, Source


class JoinedSource:
    """Parts of a file, each opened when it is reached. A part that cannot be read is reported."""

    def __init__(
        self, path: Path, parts: Sequence[Part], report: Report, open_part: Callable[[Part], Source]
    ) -> None:
        self._parts, self._report, self._open, self._path = parts, report, open_part, path
        self._current = open_part(parts[0])
        self.sample_rate, self.channels = self._current.sample_rate, self._current.channels
        self.frames: int | None = None if len(parts) > 1 else self._current.frames

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """float32 [n, channels], n <= frames."""
        yield from self._current.chunks(frames)
        for number, part in enumerate(self._parts[1:], 2):
            self._current.close()
            try:
                self._current = self._open(part)
            except AudioError as error:
                said = str(error).removeprefix(f"{self._path}: ")
                self._report.lose(f"part {number} of {len(self._parts)} is not read: {said}")
                continue
            yield from resampled(self._current, self.sample_rate, self.channels, frames)

    def close(self) -> None:
        self._current.close()


def resampled(source: Source, sample_rate: int, channels: int, frames: int) -> Iterator[np.ndarray]:
    """A source's chunks, float32 [n, channels], at another rate and with another number of channels."""
    mix = Downmix(source.channels, source.sample_rate) if source.channels != channels else None
    stream = None
    if source.sample_rate != sample_rate:
        stream = soxr.ResampleStream(source.sample_rate, sample_rate, channels, dtype="float32")
    for chunk in source.chunks(frames):
        if mix is not None:
            chunk = np.repeat(mix.feed(chunk)[:, None], channels, axis=1)
        if stream is not None:
            chunk = _two(stream.resample_chunk(np.ascontiguousarray(chunk)), channels)
        if len(chunk):
            yield chunk
    if stream is not None:
        yield _two(stream.resample_chunk(np.zeros((0, channels), np.float32), last=True), channels)


def after(chunks: Iterator[np.ndarray], frames: int) -> Iterator[np.ndarray]:
    """What comes after the first ``frames`` frames."""
    for chunk in chunks:
        if len(chunk) > frames:
            yield chunk[frames:]
        frames = max(0, frames - len(chunk))


def _two(samples: np.ndarray, channels: int) -> np.ndarray:
    return samples.reshape(-1, channels)
