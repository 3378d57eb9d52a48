"""Which decoder reads a file, and which parts of it."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .ffmpeg import FfmpegSource
from .flac import flac_parts
from .mp3_frames import is_mp3
from .joined import JoinedSource
from .headers import au_part, chunked_part, container_of, mpeg_in_wav
from .mp3 import mp3_parts
from .ogg import ogg_parts
from .parts import Part, Report, Source
from .sndfile import open_part

#: Formats in which ffmpeg alone finds tracks and times, though libsndfile or our reading may find sound.
_CONTAINERS = (b"\x1aE\xdf\xa3", b"\x30\x26\xb2\x75", b"FLV\x01", b"G@")


def open_source(path: Path, track: int | None, report: Report) -> Source:
    """The sound of a file, or its track ``track`` (from 1).

    Raises AudioError where nothing can be read; what else is wrong is reported.
    """
    parts = find_parts(path, report)
    if not parts:
        return FfmpegSource(path, report, track)
    return JoinedSource(path, parts, report, partial(open_part, path, report=report, track=track))


def find_parts(path: Path, report: Report) -> list[Part] | None:
    """The sounds of which a file consists, for libsndfile; none where ffmpeg is to find them."""
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


def _report_joined_mp4(file: BinaryIO, size: int, report: Report) -> None:
    """Another mp4 after the first: players and ffmpeg do not look at it."""
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
