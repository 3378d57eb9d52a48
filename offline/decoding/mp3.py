"""MP3 frame by frame: joined files, damaged places and the true length.

Decoders trust the first Xing or Info tag, and stop at its end or where frames are missing. Here all are
counted. A file falls into parts: one for each tag (files that were joined), and one for frames that follow
after as many as the tag counts. What lies between frames is a tag (ID3, APE, Lyrics3), or damage: then silent
frames take the place of those that were there.

Each part starts with a tag that counts its frames rightly. Encoder delay and padding are those of the file's
own tag (LAME's extension), if it has one. Sources: ISO/IEC 11172-3, 2.4.1; the LAME tag revision 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import BinaryIO

from .parts import Part, Piece, Report
from .window import Window

_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_ENCODERS = (b"LAME", b"Lavf", b"Lavc", b"GOGO")  #: whose tags declare delay and padding
_DECODER_DELAY = 529  #: samples that decoders take away with the declared delay
_SEARCHED = 1 << 16  #: bytes after the tags in which the first frame must begin
_FORGIVEN = 0.01  #: frames that an editor added without changing the tag
_MOST_SILENT = 10_000  #: frames in place of damage


@dataclass(frozen=True)
class Header:
    """The four bytes with which a frame begins."""

    word: bytes
    size: int  #: bytes of the frame
    sample_rate: int  #: Hz
    channels: int
    samples: int  #: of one frame
    side: int  #: where the tag would begin in the frame

    @property
    def kind(self) -> tuple[int, int, int]:
        return self.sample_rate, self.channels, self.samples


@lru_cache(maxsize=1024)  # few words occur, each very often
def parse_header(word: bytes) -> Header | None:
    """None for what is no layer III frame (or one of free format, whose size is not said)."""
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


@dataclass
class _Sound:
    """A part as it is found."""

    header: Header
    tagged: int | None = None  #: frames by its tag; 0: the tag does not say
    delay: bytes = b""  #: of the tag: the encoder's name, and twelve bits each of delay and of padding
    more: bool = False  #: follows after as many frames as the tag before counts
    pieces: list[Piece] = field(default_factory=list)
    frames: int = 0

    def add(self, begin: int, end: int) -> None:
        last = self.pieces[-1] if self.pieces else None
        if isinstance(last, tuple) and last[1] == begin:
            self.pieces[-1] = (last[0], end)
        else:
            self.pieces.append((begin, end))
        self.frames += 1

    def add_silent(self, header: Header, count: int) -> None:
        self.pieces.append(_silent_frame(header) * count)
        self.frames += count

    @property
    def seconds(self) -> float:
        return self.frames * self.header.samples / self.header.sample_rate

    @property
    def complete(self) -> bool:
        return bool(self.tagged) and self.frames >= (self.tagged or 0)


def is_mp3(file: BinaryIO, size: int) -> bool:
    """Whether, after tags, frames follow each other."""
    window = Window(file, size)
    start = _after_tags(window, 0)
    return _chain(window, start, 3) or any(
        _chain(window, at, 5) for at in _syncs(window, start, start + _SEARCHED)
    )


def mp3_parts(file: BinaryIO, begin: int, end: int, report: Report) -> list[Part]:
    """The sounds between two places one after the other; reports damage, and what misses at the end.

    No parts where there is no frame.
    """
    sounds = _merged(_Scan(Window(file, end), begin, report).sounds())
    if sounds and (tagged := sounds[-1].tagged):
        last = sounds[-1]
        if last.frames < tagged * (1 - _FORGIVEN) - 1:
            whole_s = tagged * last.header.samples / last.header.sample_rate
            report.lose(f"cut short: {last.seconds:.1f} s of {whole_s:.1f} s could be read")
    return [Part(_pieces(sound)) for sound in sounds]


class _Scan:
    """One walk through a file."""

    def __init__(self, window: Window, begin: int, report: Report) -> None:
        self._window, self._begin, self._report = window, begin, report
        self._sounds: list[_Sound] = []
        self._since: int | None = None  # bytes of sound since damage

    def sounds(self) -> list[_Sound]:
        position = self._next_frame(self._begin)
        while position is not None:
            header = parse_header(self._window.read(position, 4))
            assert header is not None
            end = position + header.size
            if end > self._window.size:
                self._cut()
                break
            self._take(header, position, end)
            position = self._next_frame(end)
        return [sound for sound in self._sounds if sound.frames]

    @property
    def _so_far_s(self) -> float:
        return sum(sound.seconds for sound in self._sounds)

    def _take(self, header: Header, position: int, end: int) -> None:
        tag = _read_tag(header, self._window.read(position, min(header.size, 256)))
        sound = self._sounds[-1] if self._sounds else None
        if tag is not None:
            self._sounds.append(_Sound(header, *tag))
            return
        if sound is None or (sound.header.kind != header.kind):
            self._sounds.append(_Sound(header))
        elif sound.complete:
            self._sounds.append(_Sound(header, more=True))
        if self._starved(header, position):
            self._sounds[-1].add_silent(header, 1)
        else:
            self._sounds[-1].add(position, end)

    def _starved(self, header: Header, position: int) -> bool:
        """Whether a frame's sound begins in frames that are damaged (MPEG's bit reservoir)."""
        if self._since is None:
            return False
        begin = position + 4 + (0 if header.word[1] & 1 else 2)
        bits = int.from_bytes(self._window.read(begin, 2), "big")
        back = bits >> 7 if header.samples == 1152 else bits >> 8
        starved = back > self._since
        self._since = None if self._since > 511 else self._since + header.size - header.side
        return starved

    def _next_frame(self, position: int) -> int | None:
        """Where the next frame begins; reports what is neither frame nor tag before it."""
        window = self._window
        position = _after_tags(window, position)
        header = parse_header(window.read(position, 4))
        if header and _chain(window, position, 2):
            return position
        found = next((at for at in _syncs(window, position + 1, None) if _chain(window, at, 3)), None)
        if found is not None:
            if self._sounds:
                self._damaged(position, found)
            return found
        goes_on = header and self._sounds and self._sounds[-1].header.kind == header.kind
        return position if goes_on else None  # the last frame, before whatever comes

    def _damaged(self, begin: int, end: int) -> None:
        """Silent frames in place of what is missing, so that times after it stay right."""
        sound = self._sounds[-1]
        header = parse_header(self._window.read(end, 4))
        if header is None or _read_tag(header, self._window.read(end, min(header.size, 256))):
            return  # what lies between joined files
        missing = min(_MOST_SILENT, round((end - begin) / _mean_size(sound, header)))
        silent_s = missing * header.samples / header.sample_rate
        self._report.lose(
            f"damaged at {self._so_far_s:.2f} s: {end - begin} bytes cannot be read, "
            f"{silent_s:.2f} s of silence in their place"
        )
        sound.add_silent(header, missing)
        self._since = 0

    def _cut(self) -> None:
        """The file ends within a frame."""
        if not self._sounds or not self._sounds[-1].tagged:
            self._report.lose(f"cut short: it ends within a frame, at {self._so_far_s:.1f} s")


def _merged(sounds: list[_Sound]) -> list[_Sound]:
    """A few frames more than the tag counts are an editor's; more are another file's."""
    merged: list[_Sound] = []
    for sound in sounds:
        before = merged[-1] if merged else None
        if sound.more and before and sound.frames <= _FORGIVEN * (before.tagged or 0) + 1:
            before.pieces += sound.pieces
            before.frames += sound.frames
        else:
            merged.append(sound)
    return merged


def _mean_size(sound: _Sound, header: Header) -> float:
    sizes = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in sound.pieces]
    return sum(sizes) / sound.frames if sound.frames else header.size


def _silent_frame(header: Header) -> bytes:
    """No bits of sound: the side information is 0. Without a checksum."""
    word = bytes([header.word[0], header.word[1] | 1, *header.word[2:]])
    return word + bytes(header.size - 4)


def _pieces(sound: _Sound) -> tuple[Piece, ...]:
    """With a tag in front that counts truly, and has the delays of the file's own tag.

    Where none are declared nothing is taken away: the decoder's own delay takes a silent frame instead.
    """
    if sound.delay:
        return (_tag(sound, sound.delay, 0), *sound.pieces)
    delay = sound.header.samples - _DECODER_DELAY
    own = b"LAME3.100" + (delay << 12).to_bytes(3, "big")
    return (_tag(sound, own, 1), _silent_frame(sound.header), *sound.pieces)


def _tag(sound: _Sound, delay: bytes, more: int) -> bytes:
    """A Xing frame with LAME's extension."""
    word = bytearray(sound.header.word)
    word[1] |= 1
    word[2] = word[2] & 0x0D | 0x90  # 128 or 80 kbit/s: the tag fits into the frame
    header = parse_header(bytes(word))
    assert header is not None
    sizes = [len(p) if isinstance(p, bytes) else p[1] - p[0] for p in sound.pieces]
    size = header.size + more * sound.header.size + sum(sizes)
    # The flags announce no table of contents and no quality: LAME's extension follows at once.
    words = b"Xing" + struct.pack(">III", 3, sound.frames + more, size) + delay[:9] + bytes(12) + delay[9:]
    frame = bytes(word) + bytes(header.side - 4) + words
    return frame + bytes(header.size - len(frame))


def _read_tag(header: Header, frame: bytes) -> tuple[int, bytes] | None:
    """Frames (0: not said) and delays of a Xing, Info or VBRI tag; None for a frame of sound."""
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return struct.unpack(">I", frame[50:54])[0], b""
    at = header.side if frame[header.side : header.side + 4] in (b"Xing", b"Info") else header.side + 2
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    (flags,) = struct.unpack(">I", frame[at + 4 : at + 8])
    frames = struct.unpack(">I", frame[at + 8 : at + 12])[0] if flags & 1 else 0
    lame = at + 8 + 4 * (flags & 1) + 2 * (flags & 2) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delay = frame[lame : lame + 9] + frame[lame + 21 : lame + 24]
    return frames, delay if frame[lame : lame + 4] in _ENCODERS and len(delay) == 12 else b""


def _chain(window: Window, position: int, count: int) -> bool:
    """Whether as many frames of one kind follow each other, or end the file or come before a tag."""
    kind = None
    for number in range(count):
        header = parse_header(window.read(position, 4))
        if header is None or kind not in (None, header.kind):
            at_end = position + 4 > window.size or _after_tags(window, position) != position
            # Joined files may change their kind: then a tag follows at once.
            return number > 0 and (at_end or (header is not None and _tagged(window, position, header)))
        kind = header.kind
        position += header.size
    return True


def _tagged(window: Window, position: int, header: Header) -> bool:
    return _read_tag(header, window.read(position, min(header.size, 256))) is not None


def _syncs(window: Window, position: int, end: int | None) -> Iterator[int]:
    """Where frames may begin."""
    at = window.find(b"\xff", position, end)
    while at is not None:
        if parse_header(window.read(at, 4)):
            yield at
        at = window.find(b"\xff", at + 1, end)


def _after_tags(window: Window, position: int) -> int:
    """Where what follows after any number of tags begins."""
    while (length := _tag_length(window.read(position, 32))) > 0:
        position += length
    return min(position, window.size)


def _tag_length(data: bytes) -> int:
    """Bytes of the tag that begins here, 0 for none."""
    if data[:3] == b"ID3" and len(data) >= 10:  # version 2: its length has 7 bits a byte
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
