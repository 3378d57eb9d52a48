"""Corrects missing and wrong lengths in headers: wav, rf64, w64, aiff, caf, au, flac.

A crashed recorder, or a pipe, leaves a length of 0, -1 or too much. Decoders trust it, or refuse the file.
Here the header is corrected in memory: all existing sound is read, and the problem is reported. Sources:
RFC 2361 and EBU Tech 3306 (wav, rf64), AIFF-C 1991, Apple's CAF 1.0, RFC 9639 8.2 (flac), Sony's W64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

from .parts import Part, ReadReport, Window

_SLACK = 64  #: tolerated bytes; some writers count a chunk header or a pad byte too many
_W64_MAGIC = b"riff\x2e\x91\xcf\x11"
_MP3 = 0x55  #: codec number in a WAV
_FILES = (b"RIFF", b"RF64", b"FORM")  #: beginning of another file that was joined to this one
_NEARLY = 8192  #: bytes; a length this close below 2 or 4 GiB is a pipe's placeholder

_BEYOND = "beyond the length that its header states"

_FLAC_MARK = b"fLaC"
_FLAC_UNKNOWN = 2**36 - 1  #: all bits of the length set; the format itself uses 0 for unknown


@dataclass(frozen=True)
class Chunk:
    """A chunk whose header lies within the file."""

    name: bytes
    begin: int  #: position of the body
    length: int  #: stated length of the body
    field: int  #: position of the length


@dataclass(frozen=True)
class Container:
    """The layout of a format's chunks."""

    start: int  #: position of the first chunk
    header: str  #: struct format of a chunk's name and length
    align: int
    data: bytes  #: the name of the chunk with the sound
    field: str  #: struct format of the length
    counts_header: bool = False
    whole: int | None = None  #: position of the file's length
    before: int = 0  #: bytes of the data chunk before the sound


_WAV = Container(12, "<4sI", 2, b"data", "<I", whole=4)
_W64 = Container(40, "<4s12xQ", 8, b"data", "<Q", counts_header=True, whole=16)
_AIFF = Container(12, ">4sI", 2, b"SSND", ">I", whole=4, before=8)
_CAF = Container(8, ">4sq", 1, b"data", ">q", before=4)


def container_of(magic: bytes) -> Container | None:
    """The layout by a file's first 12 bytes; None for other formats."""
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:12] == b"WAVE":
        return _WAV
    if magic[:8] == _W64_MAGIC:
        return _W64
    if magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
        return _AIFF
    return _CAF if magic[:4] == b"caff" else None


def chunked_part(file: BinaryIO, size: int, container: Container, report: ReadReport) -> Part:
    """The part with the sound of a chunked file. Reports problems with its length."""
    window = Window(file, size)
    chunks: list[Chunk] = []
    for chunk in _chunks(window, container):
        chunks.append(chunk)
        if chunk.name == container.data:
            break
    if not chunks or chunks[-1].name != container.data:
        return Part()
    data = chunks[-1]
    said = _long_length(window, chunks) if data.length == 0xFFFFFFFF else data.length
    there = size - data.begin
    frame, rate = _frame_bytes(window, container, chunks)
    if _never_written(window, container, data, said, there):
        report.warn(
            f"its header does not say how long it is: {_amount(there - container.before, frame, rate)} read, "
            "to the end of the file"
        )
    elif said > there + _SLACK:
        report.lose(
            f"cut short: {_amount(there - container.before, frame, rate)} of "
            f"{_amount(said - container.before, frame, rate)} could be read"
        )
    else:
        _report_rest(window, container, data, said, frame, rate, report)
        return Part()
    return Part(_corrected(window, container, chunks, there, frame))


def mpeg_in_wav(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Begin and end of the data in a WAV whose codec is MP3; None for other files."""
    window = Window(file, size)
    codec = 0
    for chunk in _chunks(window, _WAV):
        if chunk.name == b"fmt ":
            codec = int.from_bytes(window.read(chunk.begin, 2), "little")
        if chunk.name == b"data":
            known = 0 < chunk.length <= size - chunk.begin
            return (chunk.begin, chunk.begin + chunk.length if known else size) if codec == _MP3 else None
    return None


def au_part(file: BinaryIO, size: int, report: ReadReport) -> Part:
    """The sound of an AU file, whose header has a single length. Reports problems with it."""
    header = Window(file, size).read(0, 24)
    if len(header) < 24:
        return Part()
    begin, said, encoding, rate, channels = struct.unpack(">5I", header[4:])
    there = size - begin
    frame = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding, 0) * channels
    if (said == 0 and there > 0) or _is_placeholder(said):
        report.warn(
            f"its header does not say how long it is: {_amount(there, frame, rate)} read, "
            "to the end of the file"
        )
    elif said > there + _SLACK:
        report.lose(f"cut short: {_amount(there, frame, rate)} of {_amount(said, frame, rate)} could be read")
    else:
        if there - said > _SLACK:
            report.lose(f"not read: {_amount(there - said, frame, rate)} {_BEYOND}")
        return Part()
    length = there - there % (frame or 1)
    return Part((header[:8] + struct.pack(">I", length) + header[12:24], (24, begin + length)))


def _chunks(window: Window, container: Container) -> Iterator[Chunk]:
    header_size = struct.calcsize(container.header)
    field_size = struct.calcsize(container.field)
    position = container.start
    while position + header_size <= window.size:
        name, length = struct.unpack(container.header, window.read(position, header_size))
        body = length - header_size if container.counts_header else length
        yield Chunk(name, position + header_size, body, position + header_size - field_size)
        if body < 0:
            return
        position += header_size + body
        position += -position % container.align


def _long_length(window: Window, chunks: list[Chunk]) -> int:
    """The data chunk's length in RF64, which may exceed 4 GiB and is stored in ``ds64``."""
    for chunk in chunks:
        if chunk.name == b"ds64":
            return int(struct.unpack("<QQ", window.read(chunk.begin, 16))[1])
    return 0xFFFFFFFF


def _never_written(window: Window, container: Container, data: Chunk, said: int, there: int) -> bool:
    if said <= container.before and there > container.before:
        follows = next(_chunks(window, replace(container, start=data.begin)), None)
        return follows is None or not _sound_name(follows.name) or follows.length > window.size
    wrapped = container is _WAV and there - said >= 2**32 - _SLACK  # a 4 GiB counter that wrapped around
    return wrapped or (said > there and _is_placeholder(said))


def _sound_name(name: bytes) -> bool:
    """Whether these four bytes may be a chunk's name."""
    return all(32 <= byte < 127 for byte in name) and any(chr(byte).isalpha() for byte in name)


def _is_placeholder(length: int) -> bool:
    """Whether a length is negative, or just below 2 or 4 GiB, 2^63 or 2^64."""
    return length < 0 or any(limit - _NEARLY <= length <= limit for limit in (2**31, 2**32, 2**63, 2**64))


def _frame_bytes(window: Window, container: Container, chunks: list[Chunk]) -> tuple[int, float]:
    """Bytes per frame (or block) of samples, and frames per second; 0 if unknown."""
    for chunk in chunks:
        body = window.read(chunk.begin, 40)
        if chunk.name == b"fmt " and len(body) >= 16:
            _, _, _, per_second, block = struct.unpack("<HHIIH", body[:14])
            return block, per_second / block if block else 0
        if chunk.name == b"COMM" and len(body) >= 18:
            channels, _, bits = struct.unpack(">HIH", body[:8])
            return channels * -(-bits // 8), _extended(body[8:18])
        if chunk.name == b"desc" and len(body) >= 32:
            rate, packet, frames = struct.unpack(">d8xII", body[:24])
            return packet, rate / frames if frames else 0
    return 0, 0


def _extended(body: bytes) -> float:
    """An 80-bit floating-point number, as AIFF writes its rate; 0 for 2^63 and more, which is no rate."""
    exponent, mantissa = struct.unpack(">HQ", body)
    power = (exponent & 0x7FFF) - 16383 - 63
    return float(mantissa) * 2.0**power if power < 0 else 0.0


def _amount(length: int, frame: int, rate: float) -> str:
    return f"{max(0, length) / frame / rate:.1f} s" if frame and rate else f"{max(0, length)} bytes"


def _report_rest(
    window: Window, container: Container, data: Chunk, said: int, frame: int, rate: float, report: ReadReport
) -> None:
    """Report what follows the sound: further data chunks, or bytes that are not a chunk."""
    position = data.begin + said
    position += -position % container.align
    more = 0
    for chunk in _chunks(window, replace(container, start=position)):
        if chunk.name == container.data:
            more += min(chunk.length, window.size - chunk.begin)
        elif chunk.name in _FILES or not _sound_name(chunk.name):
            rest = window.size - chunk.begin
            # Packets of variable size (frame is 0) are listed in the file: what follows them is not sound.
            if rest > _SLACK and frame and rate and rest / frame / rate > 0.1:
                report.lose(f"not read: {_amount(rest, frame, rate)} {_BEYOND}")
            break
    if more:
        report.lose(
            f"several {container.data.decode()} chunks: the first is read ({_amount(said, frame, rate)}), "
            f"{_amount(more, frame, rate)} are not"
        )


def _corrected(
    window: Window, container: Container, chunks: list[Chunk], there: int, frame: int
) -> tuple[bytes, tuple[int, int]]:
    """The header with correct lengths, and the sound's begin and end in whole frames."""
    data = chunks[-1]
    sound = there - container.before
    length = container.before + sound - sound % (frame or 1)
    header = bytearray(window.read(0, data.begin))
    size_bytes = struct.calcsize(container.field)

    def put(at: int, value: int) -> None:
        limit = 2 ** (8 * size_bytes) - 1
        header[at : at + size_bytes] = struct.pack(container.field, min(value, limit))

    own = struct.calcsize(container.header) if container.counts_header else 0
    put(data.field, length + own)
    end = data.begin + length
    if container.whole is not None:
        put(container.whole, end if container.counts_header else end - 8)
    for chunk in chunks:
        if chunk.name == b"ds64":
            header[chunk.begin : chunk.begin + 16] = struct.pack("<QQ", end - 8, length)
            put(data.field, 0xFFFFFFFF)
            put(4, 0xFFFFFFFF)
        if chunk.name == b"COMM" and frame:
            header[chunk.begin + 2 : chunk.begin + 6] = struct.pack(">I", (length - 8) // frame)
    return bytes(header), (data.begin, end)


def flac_parts(file: BinaryIO, size: int, report: ReadReport) -> list[Part]:
    """One part for each FLAC file that was joined to this one. The decoder finds their lengths.

    Reports a missing length. A length that is too large is noticed at the end of decoding.
    """
    window = Window(file, size)
    begins = list(_flac_begins(window))
    parts = []
    for begin, end in zip(begins, [*begins[1:], size], strict=True):
        header = bytearray(window.read(begin, 26))
        stated = int.from_bytes(header[21:26], "big") & _FLAC_UNKNOWN
        unknown = stated in (0, _FLAC_UNKNOWN)
        if unknown:
            report.warn("its header does not say how long it is: read to the end of the file")
        elif len(begins) == 1:
            return [Part()]
        # With a total of 0 samples, the decoder reads to the end.
        header[21] &= 0xF0
        header[22:26] = bytes(4)
        parts.append(Part((bytes(header), (begin + 26, end)), None if unknown else stated))
    return parts


def _flac_begins(window: Window) -> list[int]:
    """Positions of stream markers before a block of stream information (type 0, 34 bytes)."""
    found = []
    at = window.find(_FLAC_MARK, 0)
    while at is not None:
        block = window.read(at + 4, 4)
        if block[:1] in (b"\x00", b"\x80") and block[1:] == b"\x00\x00\x22":
            found.append(at)
        at = window.find(_FLAC_MARK, at + 4)
    return found
