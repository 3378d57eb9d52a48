"""Chooses the decoder of a file, divides the file into parts, and joins them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import AudioError
from .ffmpeg import FfmpegSource
from .headers import au_part, chunked_part, container_of, flac_parts, mpeg_in_wav
from .mp3 import mp3_parts
from .mp3_frames import is_mp3
from .ogg import ogg_parts
from .parts import Part, ReadReport, SoundSource, resampled
from .sndfile import open_part

#: Formats for ffmpeg only: it alone finds their tracks and times, even if others find sound in them.
_CONTAINERS = (b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75", b"FLV\x01", b"G@")


def open_source(path: Path, track: int | None, report: ReadReport) -> SoundSource:
    """Open the sound of a file, or its track ``track`` (from 1).

    Raises AudioError if nothing can be read. Other problems are reported.
    """
    parts = find_parts(path, report)
    if not parts:
        return FfmpegSource(path, report, track)
    return JoinedSource(path, parts, report, partial(open_part, path, report=report, track=track))


def find_parts(path: Path, report: ReadReport) -> list[Part] | None:
    """The parts of a file for libsndfile; none if ffmpeg is to read the file."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        magic = file.read(12)
        if magic[4:8] == b"ftyp":
            _report_joined_mp4(file, size, report)
            return None
        if magic.startswith(_CONTAINERS):
            return None
        if (container := container_of(magic)) is not None:
            mpeg = mpeg_in_wav(file, size) if magic[:4] in (b"RIFF", b"RF64") else None
            parts = mp3_parts(file, *mpeg, report) if mpeg else []
            return parts or [chunked_part(file, size, container, report)]
        if magic[:4] == b".snd":
            return [au_part(file, size, report)]
        if magic[:4] == b"OggS":
            return ogg_parts(file, size, report)
        if magic[:4] == b"fLaC":
            return flac_parts(file, size, report)
        if is_mp3(file, size):
            return mp3_parts(file, 0, size, report)
    return [Part()]


def _report_joined_mp4(file: BinaryIO, size: int, report: ReadReport) -> None:
    """Report another mp4 after the first: players and ffmpeg ignore it."""
    position = 0
    while position + 16 <= size:
        file.seek(position)
        length, name, long_length = struct.unpack(">I4sQ", file.read(16))
        if position and name == b"ftyp":
            report.lose(f"not read: another file is joined to this one, {size - position} bytes")
            return
        length = long_length if length == 1 else length
        if length < 8:
            return
        position += length


class JoinedSource:
    """Joins parts of a file, with the rate and channels of the first. Each is opened when it is reached.

    A later part that cannot be opened is reported.
    """

    def __init__(
        self, path: Path, parts: Sequence[Part], report: ReadReport, open_part: Callable[[Part], SoundSource]
    ) -> None:
        self._parts, self._report, self._open, self._path = parts, report, open_part, path
        self._current = open_part(parts[0])
        self.sample_rate, self.channels = self._current.sample_rate, self._current.channels
        self.frames: int | None = None if len(parts) > 1 else self._current.frames

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """Yields float32 [n, channels], n <= frames."""
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
