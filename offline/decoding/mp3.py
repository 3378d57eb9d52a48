"""Reads MP3 frame by frame: joined files, damaged places and the true length.

Decoders trust the first Xing or Info tag, and stop after its number of frames or where frames are missing.
This module counts all frames. A file is divided into parts: one for each tag (joined files), and one for
frames beyond the tag's count. Bytes between frames are a tag (ID3, APE, Lyrics3), or damage, which silent
frames replace.

Each part starts with a tag that has the true number of frames. Encoder delay and padding come from the file's
own tag (LAME's extension), if it has one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from .mp3_frames import Header, after_tags, chain, parse_header, read_tag, syncs
from .parts import Part, Piece, ReadReport, Window

_DECODER_DELAY = 529  #: samples that decoders remove in addition to the declared delay
_FORGIVEN = 0.01  #: share of frames that an editor may add without changing the tag
_MOST_SILENT = 10_000  #: most silent frames in place of one damage


@dataclass
class _Sound:
    """A part during the scan."""

    header: Header
    tagged: int | None = None  #: frames by its tag; 0: not stated; None: no tag
    delay: bytes = b""  #: the encoder's name in the tag, and twelve bits each for delay and padding
    more: bool = False  #: begins after the last frame that the tag before counts
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


def mp3_parts(file: BinaryIO, begin: int, end: int, report: ReadReport) -> list[Part]:
    """The parts between two positions, in order; empty without a frame. Reports damage and a missing end."""
    sounds = _merged(_Scan(Window(file, end), begin, report).sounds())
    if sounds and (tagged := sounds[-1].tagged):
        last = sounds[-1]
        if last.frames < tagged * (1 - _FORGIVEN) - 1:
            whole_s = tagged * last.header.samples / last.header.sample_rate
            report.lose(f"cut short: {last.seconds:.1f} s of {whole_s:.1f} s could be read")
    return [Part(_pieces(sound)) for sound in sounds]


class _Scan:
    """A single pass over a file."""

    def __init__(self, window: Window, begin: int, report: ReadReport) -> None:
        self._window, self._begin, self._report = window, begin, report
        self._sounds: list[_Sound] = []
        self._since: int | None = None  # bytes of sound since the last damage

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
        tag = read_tag(header, self._window.read(position, min(header.size, 256)))
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
        """Whether a frame's data begins in damaged frames before it (MPEG's bit reservoir)."""
        if self._since is None:
            return False
        begin = position + 4 + (0 if header.word[1] & 1 else 2)
        bits = int.from_bytes(self._window.read(begin, 2), "big")
        back = bits >> 7 if header.samples == 1152 else bits >> 8
        starved = back > self._since
        self._since = None if self._since > 511 else self._since + header.size - header.side
        return starved

    def _next_frame(self, position: int) -> int | None:
        """The position of the next frame; reports bytes before it that are neither frame nor tag."""
        window = self._window
        position = after_tags(window, position)
        header = parse_header(window.read(position, 4))
        if header and chain(window, position, 2):
            return position
        found = next((at for at in syncs(window, position + 1, None) if chain(window, at, 3)), None)
        if found is not None:
            if self._sounds:
                self._damaged(position, found)
            return found
        goes_on = header and self._sounds and self._sounds[-1].header.kind == header.kind
        return position if goes_on else None  # the last frame, whatever follows it

    def _damaged(self, begin: int, end: int) -> None:
        """Put silent frames in place of damage, so that later times stay correct."""
        sound = self._sounds[-1]
        header = parse_header(self._window.read(end, 4))
        if header is None or read_tag(header, self._window.read(end, min(header.size, 256))):
            return  # bytes between joined files
        missing = min(_MOST_SILENT, round((end - begin) / _mean_size(sound, header)))
        silent_s = missing * header.samples / header.sample_rate
        self._report.lose(
            f"damaged at {self._so_far_s:.2f} s: {end - begin} bytes cannot be read, "
            f"{silent_s:.2f} s of silence in their place"
        )
        sound.add_silent(header, missing)
        self._since = 0

    def _cut(self) -> None:
        """Report that the file ends within a frame."""
        if not self._sounds or not self._sounds[-1].tagged:
            self._report.lose(f"cut short: it ends within a frame, at {self._so_far_s:.1f} s")


def _merged(sounds: list[_Sound]) -> list[_Sound]:
    """Join a few frames beyond a tag's count, added by an editor, to their part. More are another file."""
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
    """A frame without sound: its side information is 0. Without a checksum."""
    word = bytes([header.word[0], header.word[1] | 1, *header.word[2:]])
    return word + bytes(header.size - 4)


def _pieces(sound: _Sound) -> tuple[Piece, ...]:
    """The pieces after a tag with the true number of frames and the delays of the file's own tag.

    Without declared delays a silent frame is added: the decoder's own delay removes it instead of sound.
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
