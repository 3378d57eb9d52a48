"""Encodes Standard MIDI Files with one piano track, and reads the messages of all tracks.

pretty_midi, the usual MIDI reader of the field, refuses files of more than ten million ticks. A tick is half
a millisecond in files of up to 83 minutes, else a millisecond, which suffices for 2 h 46 min. Longer files
keep the millisecond: ``messages`` reads them, and so does mido.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any

TEMPO_US = 480_000  #: microseconds per quarter note: 125 quarter notes per minute
FINE, COARSE = 960, 480  #: ticks per quarter note: 2000 and 1000 per second
MOST_TICKS = 10_000_000  #: limit of pretty_midi
LONGEST_S = 0x0FFFFFFF / 1000  #: the largest number of a MIDI file, in milliseconds: 74 hours
SUSTAIN = 64  #: controller of the sustain pedal, which is down for values from 64 on
END_OF_TRACK = b"\x00\xff\x2f\x00"
_TEXT, _NAME = 1, 3  #: kinds of meta events


def ticks_a_quarter(end_s: float) -> int:
    """Ticks per quarter note of a file that ends at ``end_s``: FINE if pretty_midi reads it, else COARSE."""
    return FINE if end_s * ticks_a_second(FINE) < MOST_TICKS - 2 else COARSE


def ticks_a_second(a_quarter: int) -> int:
    """Converts ticks per quarter note to ticks per second, at the tempo of the files written here."""
    return a_quarter * 1_000_000 // TEMPO_US


def variable(value: int) -> bytes:
    """Encodes a number, 0 to 2^28 - 1, as in MIDI files: seven bits per byte, the highest first."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))


def beginning(name: str, text: Iterable[str] = ()) -> bytes:
    """The start of a track: its name, text events, the tempo, a piano."""
    texts = b"".join(_meta(_TEXT, one) for one in text)
    tempo = b"\x00\xff\x51\x03" + TEMPO_US.to_bytes(3, "big")
    return _meta(_NAME, name) + texts + tempo + b"\x00\xc0\x00"


def _meta(kind: int, text: str) -> bytes:
    # UTF-8, as most programs that write more than ASCII. Bytes of a file name that are not UTF-8 are written
    # unchanged; characters that cannot be encoded at all become question marks.
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    return b"\x00\xff" + bytes((kind,)) + variable(len(data)) + data


def whole_file(track: bytes, a_quarter: int) -> bytes:
    """The bytes of a file with one track, which must end with END_OF_TRACK."""
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, a_quarter)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


@dataclass
class MidiNote:
    """A note in ticks."""

    on: int
    off: int
    pitch: int
    velocity: int


def apart(notes: Iterable[MidiNote]) -> list[MidiNote]:
    """Makes every note at least a tick long and ends it no later than its key's next onset.

    Notes of one key with onsets at one tick become one note, with the greatest velocity and the latest end.
    """
    kept: list[MidiNote] = []
    last: dict[int, MidiNote] = {}
    for note in sorted(notes, key=lambda note: note.on):
        before = last.get(note.pitch)
        if before is not None and before.on == note.on:
            before.off = max(before.off, note.off)
            before.velocity = max(before.velocity, note.velocity)
            continue
        if before is not None:
            before.off = min(before.off, note.on)
        note.off = max(note.off, note.on + 1)
        last[note.pitch] = note
        kept.append(note)
    return kept


def joined(presses: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Joins overlapping presses of the pedal (down, up), in ticks; each lasts at least one tick."""
    kept: list[tuple[int, int]] = []
    for down, up in sorted(presses):
        if kept and down < kept[-1][1]:
            kept[-1] = kept[-1][0], max(up, kept[-1][1])
        else:
            kept.append((down, max(up, down + 1)))
    return kept


def piano_track(notes: Iterable[MidiNote], presses: Iterable[tuple[int, int]], start: bytes) -> bytes:
    """The bytes of a track. Order within a tick: note offs, pedal up, pedal down, note ons."""
    events: list[tuple[int, int, bytes]] = []
    for note in apart(notes):
        events.append((note.on, 3, bytes((0x90, note.pitch, note.velocity))))
        events.append((note.off, 0, bytes((0x80, note.pitch, 64))))
    for down, up in joined(presses):
        events.append((up, 1, bytes((0xB0, SUSTAIN, 0))))
        events.append((down, 2, bytes((0xB0, SUSTAIN, 127))))
    track, now = bytearray(start), 0
    for tick, _, data in sorted(events):
        track += variable(tick - now) + data
        now = tick
    return bytes(track + END_OF_TRACK)


# --- reading ---


def messages(path: str | PathLike[str]) -> Iterator[tuple[int, int, float, Any]]:
    """Yields (track, tick, seconds, mido message) for the messages of a file of any length, by track.

    Raises ValueError, with a line that names the file, if it is not a MIDI file.
    """
    import mido

    try:
        file = mido.MidiFile(str(path))
        if file.ticks_per_beat == 0:
            raise ValueError("its header gives no ticks per quarter note")
    except Exception as error:  # mido raises a dozen kinds of exceptions for other files
        said = " ".join(str(error).split()) or "it is incomplete"
        raise ValueError(f"{path}: expected a MIDI file, could not read it ({said})") from error
    shared = None if file.type == 2 else _Clock(file.ticks_per_beat, file.tracks)
    for number, track in enumerate(file.tracks):
        clock = shared or _Clock(file.ticks_per_beat, [track])
        tick = 0
        for message in track:
            tick += message.time
            yield number, tick, clock.seconds(tick), message


class _Clock:
    """Converts ticks to seconds through all tempo changes."""

    def __init__(self, division: int, tracks: Iterable[Iterable[Any]]) -> None:
        self._ticks, self._seconds = [0], [0.0]
        if division < 0:  # SMPTE: frames per second (29 is 30000 / 1001) and ticks per frame
            frames, division = -(division >> 8), division & 0xFF
            rate = 30_000 / 1001 if frames == 29 else float(frames)
            self._tick_s = [1 / (rate * max(1, division))]
            return
        self._tick_s = [0.5 / division]
        for tick, tempo in sorted(_tempos(tracks), key=lambda change: change[0]):
            seconds = self.seconds(tick)
            self._ticks.append(tick)
            self._seconds.append(seconds)
            self._tick_s.append(tempo / 1e6 / division)

    def seconds(self, tick: int) -> float:
        last = bisect_right(self._ticks, tick) - 1
        return self._seconds[last] + (tick - self._ticks[last]) * self._tick_s[last]


def _tempos(tracks: Iterable[Iterable[Any]]) -> Iterator[tuple[int, int]]:
    for track in tracks:
        tick = 0
        for message in track:
            tick += message.time
            if message.type == "set_tempo":
                yield tick, message.tempo


def nearest_tick(time_s: float, a_second: int) -> int:
    """The tick nearest to a time. Halves round up, so times a tick apart never share a tick."""
    return math.floor(time_s * a_second + 0.5)
