"""MP3 frames and tags between them. Sources: ISO/IEC 11172-3, 2.4.1; LAME tag revision 1; ID3v2, APEv2."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from .parts import Window

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_ENCODERS = (b"LAME", b"Lavf", b"Lavc", b"GOGO")  #: encoders whose tags declare delay and padding
_SEARCHED = 1 << 16  #: bytes after the tags in which the first frame must begin


@dataclass(frozen=True)
class Header:
    """The header of a frame, its first four bytes."""

    word: bytes
    size: int  #: bytes of the frame
    sample_rate: int  #: Hz
    channels: int
    samples: int  #: samples of each channel in a frame
    side: int  #: offset of a tag in the frame

    @property
    def kind(self) -> tuple[int, int, int]:
        return self.sample_rate, self.channels, self.samples


@lru_cache(maxsize=1024)  # few different headers occur, each very often
def parse_header(word: bytes) -> Header | None:
    """Parse a header. None for anything but a layer III frame of stated size (not free format)."""
    if len(word) < 4 or word[0] != 0xFF or word[1] & 0xE6 != 0xE2:
        return None
    version, kbit, rate = word[1] >> 3 & 3, word[2] >> 4, word[2] >> 2 & 3
    if version == 1 or kbit in (0, 15) or rate == 3:
        return None
    first = version == 3
    sample_rate = _RATES[version][rate]
    kbits = (_KBITS_1 if first else _KBITS_2)[kbit]
    size = (144 if first else 72) * kbits * 1000 // sample_rate + (word[2] >> 1 & 1)
    channels = 1 if word[3] >> 6 == 3 else 2
    side = 4 + ((17, 32) if first else (9, 17))[channels - 1]
    return Header(word, size, sample_rate, channels, 1152 if first else 576, side)


def is_mp3(file: BinaryIO, size: int) -> bool:
    """Whether several frames in a row follow the tags at the beginning."""
    window = Window(file, size)
    start = after_tags(window, 0)
    return chain(window, start, 3) or any(
        chain(window, at, 5) for at in syncs(window, start, start + _SEARCHED)
    )


def read_tag(header: Header, frame: bytes) -> tuple[int, bytes] | None:
    """Frames (0: not stated) and delays of a Xing, Info or VBRI tag; None for a frame of sound."""
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return struct.unpack(">I", frame[50:54])[0], b""
    at = header.side if frame[header.side : header.side + 4] in (b"Xing", b"Info") else header.side + 2
    if frame[at : at + 4] not in (b"Xing", b"Info") or len(frame) < at + 12:
        return None  # the shortest frames have no room for a tag
    (flags,) = struct.unpack(">I", frame[at + 4 : at + 8])
    frames = struct.unpack(">I", frame[at + 8 : at + 12])[0] if flags & 1 else 0
    lame = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delay = frame[lame : lame + 9] + frame[lame + 21 : lame + 24]
    return frames, delay if frame[lame : lame + 4] in _ENCODERS and len(delay) == 12 else b""


def chain(window: Window, position: int, count: int) -> bool:
    """Whether ``count`` frames of one kind follow each other, or fewer before the file's end or a tag."""
    kind = None
    for number in range(count):
        header = parse_header(window.read(position, 4))
        if header is None or kind not in (None, header.kind):
            at_end = position + 4 > window.size or after_tags(window, position) != position
            # Joined files may change their kind: then the next file begins with a tag.
            return number > 0 and (at_end or (header is not None and _tagged(window, position, header)))
        kind = header.kind
        position += header.size
    return True


def _tagged(window: Window, position: int, header: Header) -> bool:
    return read_tag(header, window.read(position, min(header.size, 256))) is not None


def syncs(window: Window, position: int, end: int | None) -> Iterator[int]:
    """Yields the positions where frames may begin."""
    at = window.find(b"\xff", position, end)
    while at is not None:
        if parse_header(window.read(at, 4)):
            yield at
        at = window.find(b"\xff", at + 1, end)


def after_tags(window: Window, position: int) -> int:
    """The position after any number of tags."""
    while (length := _tag_length(window.read(position, 32))) > 0:
        position += length
    return min(position, window.size)


def _tag_length(data: bytes) -> int:
    """Length in bytes of the tag at the beginning, 0 without one."""
    if data[:3] == b"ID3" and len(data) >= 10:  # version 2: its length has 7 bits per byte
        size = 0
        for byte in data[6:10]:
            size = size << 7 | byte & 0x7F
        return 10 + size + (10 if data[5] & 0x10 else 0)
    if data[:8] == b"APETAGEX" and len(data) >= 24:
        size, _, flags = struct.unpack("<III", data[12:24])
        return 32 + size if flags & 0x20000000 else 32  # a header, or the footer by itself
    if data[:4] == b"TAG+":
        return 227
    if data[:3] == b"TAG":
        return 128
    return 0
