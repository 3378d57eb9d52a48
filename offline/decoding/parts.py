"""Parts of a file that are decoded as one sound each: their bytes, and the interface of decoders."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soxr

from ...model.downmix import Downmix

Piece = bytes | tuple[int, int]  #: replacement bytes, or begin and end of bytes in the file
_WINDOW_BYTES = 1 << 20


@dataclass
class ReadReport:
    """Warnings about a file, one line each, without the file's name."""

    warnings: list[str] = field(default_factory=list)
    lost: bool = False  #: some of the sound cannot be read

    def warn(self, line: str) -> None:
        if line not in self.warnings:
            self.warnings.append(line)

    def lose(self, line: str) -> None:
        """Warn about sound that is not read."""
        self.lost = True
        self.warn(line)


@dataclass(frozen=True)
class Part:
    """A part of a file that is decoded as one sound."""

    pieces: tuple[Piece, ...] = ()  #: content of the part; empty: the file as it is
    expected_frames: int | None = None  #: length stated by the header, used instead of the decoder's

    def open(self, path: Path) -> Path | PartFile:
        """The input for a decoder: the path, or a file made of the pieces."""
        return PartFile(path, self.pieces) if self.pieces else path


class SoundSource(Protocol):
    """An open sound: the interface of all decoders.

    ``sample_rate`` in Hz; ``frames`` is None if only decoding can tell.
    """

    sample_rate: int
    channels: int
    frames: int | None

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """Yields float32 [n, channels], n <= frames. Call it once."""

    def close(self) -> None:
        """May be called twice."""


class PartFile(io.RawIOBase):
    """A readable file made of pieces in a row. Raises OSError if the underlying file cannot be read."""

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed in close()
        self._pieces = list(pieces)
        self._begins = [0]
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self._begins.append(self._begins[-1] + length)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._begins[-1]}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._position < self._begins[-1]:
            came = self._some(len(view) - done)
            if not came:
                break  # the file has become shorter
            view[done : done + len(came)] = came
            done += len(came)
            self._position += len(came)
        return done

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _some(self, most: int) -> bytes:
        """Bytes from the position on, at most ``most``, within one piece."""
        number = next(n for n, begin in enumerate(self._begins[1:]) if self._position < begin)
        piece, inside = self._pieces[number], self._position - self._begins[number]
        most = min(most, self._begins[number + 1] - self._position)
        if isinstance(piece, bytes):
            return piece[inside : inside + most]
        self._file.seek(piece[0] + inside)
        return self._file.read(most) or b""


class Window:
    """Reads bytes by position through a buffer of 1 MiB, for access from the file's beginning to its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        self._file = file
        self._begin, self._bytes = 0, b""

    def read(self, position: int, count: int) -> bytes:
        """``count`` bytes at a position; fewer at the end of the file."""
        inside = position - self._begin
        if inside < 0 or inside + count > len(self._bytes):
            self._file.seek(position)
            self._begin, self._bytes, inside = position, self._file.read(max(_WINDOW_BYTES, count)), 0
        return self._bytes[inside : inside + count]

    def find(self, wanted: bytes, position: int, end: int | None = None) -> int | None:
        """The first position of ``wanted`` from ``position`` on and before ``end``; None without one."""
        end = self.size if end is None else min(end, self.size)
        while position < end:
            data = self.read(position, min(_WINDOW_BYTES // 2, end - position + len(wanted) - 1))
            at = data.find(wanted)
            if at >= 0:
                return position + at if position + at < end else None
            if len(data) < len(wanted):
                return None
            position += len(data) - len(wanted) + 1
        return None


def resampled(source: SoundSource, sample_rate: int, channels: int, frames: int) -> Iterator[np.ndarray]:
    """Yields a source's sound with other rate and channels, as float32 [n, channels], n <= frames."""
    mix = Downmix(source.channels, source.sample_rate) if source.channels != channels else None
    stream = None
    if source.sample_rate != sample_rate:
        stream = soxr.ResampleStream(source.sample_rate, sample_rate, channels, dtype="float32")
    for chunk in source.chunks(frames):
        if mix is not None:
            chunk = np.repeat(mix.feed(chunk)[:, None], channels, axis=1)
        if stream is not None:
            chunk = _two(stream.resample_chunk(np.ascontiguousarray(chunk)), channels)
        yield from _divided(chunk, frames)
    if stream is not None:
        rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
        yield from _divided(_two(rest, channels), frames)


def after(chunks: Iterator[np.ndarray], frames: int) -> Iterator[np.ndarray]:
    """Yields the chunks without the first ``frames`` frames."""
    for chunk in chunks:
        if len(chunk) > frames:
            yield chunk[frames:]
        frames = max(0, frames - len(chunk))


def _divided(chunk: np.ndarray, frames: int) -> Iterator[np.ndarray]:
    """Yields the chunk in parts of at most ``frames`` frames; a higher rate makes it longer."""
    for begin in range(0, len(chunk), frames):
        yield chunk[begin : begin + frames]


def _two(samples: np.ndarray, channels: int) -> np.ndarray:
    return samples.reshape(-1, channels)
