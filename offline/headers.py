"""What a file's own header promises against what the file holds.

libsndfile reads a recording that was cut short to its last sample and says nothing, so the promise is
checked here, before decoding. What is detectable, by format:

* wav, rf64, w64, aiff, caf, au: the data chunk is longer than the file. A writer that could not go back
  (a pipe) leaves a marker or 0 as the length: then nothing is promised and nothing can be missed.
* ogg, opus: the last page ends beyond the end of the file. A cut exactly between two pages passes.
* mp3: the Xing or Info tag counts more bytes than there are. Without the tag a cut is not detectable.
* flac: nothing here; the decoder counts samples (see ``reading``).
* m4a, video and the rest: ffmpeg's own words (see ``ffmpeg``).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_SLACK = 64  #: bytes; sloppy writers count a chunk header or a pad byte too much
_LARGEST_OGG_PAGE = 65_307
_W64_MAGIC = b"riff\x2e\x91\xcf\x11"


def missing_bytes(path: str | os.PathLike[str]) -> int:
    """At least how many bytes the header promises beyond the end of the file; 0 where it promises none.

    Raises OSError when the file cannot be read.
    """
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        magic = file.read(12)
        end = _promised_end(file, magic, size)
    return max(0, end - size)


def _promised_end(file: BinaryIO, magic: bytes, size: int) -> int:
    """Where the sound should end, in bytes; 0 when the format does not say."""
    if magic[:4] in (b"RIFF", b"RF64") and magic[8:] == b"WAVE":
        return _wav_end(file, size)
    if magic[:4] == b"FORM" and magic[8:] in (b"AIFF", b"AIFC"):
        return _data_end(_chunks(file, 12, ">4sI", 2, size), b"SSND")
    if magic[:4] == b"caff":
        return _data_end(_chunks(file, 8, ">4sq", 1, size), b"data")
    if magic[:8] == _W64_MAGIC:
        return _data_end(_chunks(file, 40, "<4s12xQ", 8, size), b"data")
    if magic[:4] == b".snd":
        begin, length = struct.unpack(">II", magic[4:12])
        return 0 if _unknown(length) else begin + length - _SLACK
    if magic[:4] == b"OggS":
        return _last_ogg_page_end(file, size)
    tag = mp3_length_tag(file)
    return 0 if tag is None else tag


def _unknown(length: int) -> bool:
    """Lengths that pipes leave behind: 0, -1, and values just below 2 or 4 GiB."""
    return length <= 0 or any(limit - 8192 <= length <= limit for limit in (2**31, 2**32))


_Chunks = Iterator[tuple[bytes, int, int]]  # name, begin and length of the body


def _chunks(file: BinaryIO, start: int, header: str, align: int, size: int) -> _Chunks:
    """Each chunk whose header lies within the file."""
    header_size = struct.calcsize(header)
    counts_itself = header_size == 24  # only W64 counts the chunk's header as part of the chunk
    position = start
    while position + header_size <= size:
        file.seek(position)
        name, length = struct.unpack(header, file.read(header_size))
        body = length - header_size if counts_itself else length
        yield name, position + header_size, body
        if body < 0:
            return
        position += header_size + body
        position += -position % align


def _data_end(chunks: _Chunks, wanted: bytes) -> int:
    for name, begin, length in chunks:
        if name == wanted:
            return 0 if _unknown(length) else begin + length - _SLACK
    return 0


def _wav_end(file: BinaryIO, size: int) -> int:
    """RF64 keeps the true length of its data chunk, which may exceed 4 GiB, in ``ds64``."""
    long_length = 0
    for name, begin, length in _chunks(file, 12, "<4sI", 2, size):
        if name == b"ds64" and begin + 16 <= size:
            file.seek(begin)
            _, long_length = struct.unpack("<QQ", file.read(16))
        if name == b"data":
            true_length = long_length if _unknown(length) else length
            return 0 if _unknown(true_length) else begin + true_length - _SLACK
    return 0


def _last_ogg_page_end(file: BinaryIO, size: int) -> int:
    start = max(0, size - _LARGEST_OGG_PAGE)
    file.seek(start)
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return 0
    header = tail[page : page + 27]
    table = tail[page + 27 : page + 27 + header[26]] if len(header) == 27 else b""
    if len(header) < 27 or len(table) < header[26]:
        return size + 1  # cut within a page's header: at least this much is gone
    return start + page + 27 + len(table) + sum(table)


def mp3_length_tag(file: BinaryIO) -> int | None:
    """Where an mp3 ends by its Xing or Info tag, in bytes (0: the tag does not say); None without a tag."""
    start = _after_id3(file)
    file.seek(start)
    frame = file.read(256)
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE6 != 0xE2:  # sync word, layer III
        return None
    tag = max(frame.find(b"Xing"), frame.find(b"Info"))
    if tag < 0 or len(frame) < tag + 16:
        return None
    flags, first, second = struct.unpack(">III", frame[tag + 4 : tag + 16])
    if not flags & 2:
        return 0
    length = second if flags & 1 else first
    return start + length - length // 100  # editors that add or drop a frame leave the tag as it was


def _after_id3(file: BinaryIO) -> int:
    """Where the sound starts: after ID3v2 tags, whose length has 7 bits a byte."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(10)
        if len(header) < 10 or header[:3] != b"ID3":
            return position
        size = 0
        for byte in header[6:10]:
            size = size << 7 | byte & 0x7F
        position += 10 + size
