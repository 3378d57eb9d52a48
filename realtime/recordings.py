"""The files of a recording, MIDI and FLAC, valid at any moment, however the program ends.

Every flush atomically replaces the MIDI file with one that holds everything so far, with sounding notes
ended and the pedal up. The bytes of events that can no longer change are kept, so that a flush after hours
costs only a write.

The FLAC encoder writes whole blocks as they fill, but the number of samples into the header only when it is
closed. A file without that number counts as broken. So every flush writes it into the header:

    fLaC | type, length | block and frame sizes | rate, channels, bits : total samples (36 bits) | MD5
    0      4              8                       18 ......................................... 26
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import soundfile
import soxr

from ..model.files import replace
from ..model.midi_file import (
    COARSE,
    END_OF_TRACK,
    SUSTAIN,
    beginning,
    nearest_tick,
    ticks_a_second,
    variable,
    whole_file,
)
from ..model.notes import TRACK_NAME, Event, NoteOff, NoteOn, Pedal
from .inputs import Block, clean

#: A tick is always a millisecond, since the session's length is not known: see ``midi_file``.
TICKS_PER_SECOND = ticks_a_second(COARSE)
UNSETTLED_S = 1.0  #: events newer than this may still come out of order
_PEDAL = -1  # stands for the pedal among the pitches that are down
SUBTYPE = "PCM_24"
_TOTAL_AT, _TOTAL_BYTES, _TOTAL_BITS = 18, 8, 36
_BLOCK_SIZE_AT = 8
_MOST_TRIED = 1 << 20  #: bytes written to find out why the disk failed
_MOST_SILENCE = 48_000 * 10  #: samples written at once


class MidiRecording:
    """A MIDI file with one piano track: notes and pedal (CC64) at the times played. For one thread.

    Raises OSError if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        # A short name, since the file's own may have the greatest length allowed.
        self._part = self.path.with_name(f".hppnet-{os.getpid()}-{id(self)}.mid.part")
        self._track = bytearray(beginning(TRACK_NAME))
        self._ticks = 0  # time of the last event in the track
        self._down: dict[int, int] = {}  # pitches (or the pedal) that are down, with the tick of their start
        self._pending: list[Event] = []
        self._newest_s = 0.0
        self.good_s = 0.0  #: stream time up to which the file is complete
        self._changed = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.flush()

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            self._pending.append(event)
            self._newest_s = max(self._newest_s, event.time_s)
            self._changed = True

    def flush(self, now_s: float | None = None) -> None:
        """Writes the file so far; notes that still sound end at ``now_s`` for now."""
        if not self._changed and not self._down:
            self.good_s = max(self.good_s, now_s or 0.0)
            return
        self._newest_s = max(self._newest_s, now_s or 0.0)
        self._settle(self._newest_s - UNSETTLED_S)
        track = self._track + self._provisional() + END_OF_TRACK
        try:
            self._part.write_bytes(whole_file(bytes(track), COARSE))
            replace(self._part, self.path)
        except OSError as error:
            with suppress(OSError):  # on a full disk a partial file is useless
                self._part.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._changed, self.good_s = bool(self._pending), self._newest_s

    def close(self) -> None:
        """Writes the complete file. May be called twice."""
        self._changed = self._changed or not self.path.exists()
        self.flush()

    def _settle(self, until_s: float) -> None:
        self._pending.sort(key=lambda event: event.time_s)  # stable: events of equal time keep their order
        count = sum(event.time_s <= until_s for event in self._pending)
        for event in self._pending[:count]:
            data, self._ticks = _encoded(event, self._ticks, self._down)
            self._track += data
        del self._pending[:count]

    def _provisional(self) -> bytes:
        """Encodes the events that may still change, and ends of all sounding notes."""
        ticks, down, out = self._ticks, dict(self._down), bytearray()
        for event in [*self._pending, *all_ends(self._newest_s)]:
            data, ticks = _encoded(event, ticks, down)
            out += data
        return bytes(out)


def all_ends(time_s: float) -> list[Event]:
    """Returns the ends of all possible notes and of the pedal."""
    return [*(NoteOff(time_s, pitch) for pitch in range(128)), Pedal(time_s, False)]


def _encoded(event: Event, ticks: int, down: dict[int, int]) -> tuple[bytes, int]:
    """Returns an event's bytes, after time ``ticks``, and its own time; no bytes if it changes nothing.

    A note that ends at the tick of its start ends a tick later: other programs treat it as endless.
    """
    at = max(ticks, nearest_tick(event.time_s, TICKS_PER_SECOND))
    if isinstance(event, Pedal):
        if event.down == (_PEDAL in down):
            return b"", ticks
        if event.down:
            down[_PEDAL] = at
        else:
            at = max(at, down.pop(_PEDAL) + 1)
        return variable(at - ticks) + bytes((0xB0, SUSTAIN, 127 if event.down else 0)), at
    data = b""
    if event.pitch in down:
        at = max(at, down.pop(event.pitch) + 1)
        data, ticks = variable(at - ticks) + bytes((0x80, event.pitch, 64)), at
    if isinstance(event, NoteOn):
        data, ticks = data + variable(at - ticks) + bytes((0x90, event.pitch, event.velocity)), at
        down[event.pitch] = at
    return data, ticks


class AudioRecording:
    """A mono FLAC file; sample n is at stream time n / ``sample_rate``. For one thread.

    Raises OSError if the file cannot be written. It is then ``broken`` and stays as it is, valid up to
    ``good_s``: the encoder does not survive a full disk.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self.path, self.sample_rate = Path(path), sample_rate
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _try_to_write(self.path)
        self._file = soundfile.SoundFile(
            str(path), "w", samplerate=sample_rate, channels=1, format="FLAC", subtype=SUBTYPE
        )
        self.broken = False
        self._written = 0
        self._size = 0  # file size in bytes after the last write
        self._end = self._missing = 0  # end of the last block and gap not yet filled, in samples
        self._resampler: Any = None
        self._from_rate = sample_rate

    def add(self, block: Block) -> None:
        """Writes the block; a gap before it becomes silence."""
        if self.broken:
            return
        self._missing += max(0, round(block.time_s * self.sample_rate) - self._end)
        self._end = round(block.end_s * self.sample_rate)
        self._fill()
        self._write(self._at_our_rate(clean(block.samples)[0], block.sample_rate))

    def flush(self) -> None:
        """Makes the file readable so far; at most a tenth of a second is not yet on disk."""
        if not self.broken:
            self._file.flush()
            with open(self.path, "r+b", buffering=0) as file:
                self._say_length(file)

    @property
    def good_s(self) -> float:
        """Seconds of sound that the file holds."""
        with open(self.path, "rb", buffering=0) as file:
            bits = int.from_bytes(file.read(_TOTAL_AT + _TOTAL_BYTES)[_TOTAL_AT:], "big")
        return (bits & ((1 << _TOTAL_BITS) - 1)) / self.sample_rate

    def close(self) -> None:
        """Completes the file. May be called twice."""
        if self.broken:
            return
        self._file.close()
        if self.good_s < self._written / self.sample_rate:
            self._give_up()  # there was no room for the encoder's last blocks

    def _say_length(self, file: BinaryIO) -> None:
        """Puts the number of samples that are on disk into the header."""
        head = bytearray(file.read(_TOTAL_AT + _TOTAL_BYTES))
        size = int.from_bytes(head[_BLOCK_SIZE_AT : _BLOCK_SIZE_AT + 2], "big")
        # The encoder holds a block back until the sample after it has come.
        whole = max(0, self._written - 1) // size * size if size else 0
        bits = int.from_bytes(head[_TOTAL_AT:], "big")
        bits = bits >> _TOTAL_BITS << _TOTAL_BITS | whole
        file.seek(_TOTAL_AT)
        file.write(bits.to_bytes(_TOTAL_BYTES, "big"))

    def _give_up(self) -> NoReturn:
        """Keeps only the valid part. Raises OSError with the reason, which the encoder does not give."""
        self.broken = True
        with suppress(soundfile.LibsndfileError):
            self._file.close()
        with open(self.path, "r+b", buffering=0) as file:
            file.truncate(self._size)
            self._say_length(file)
            file.seek(self._size)
            try:
                while file.tell() < self._size + _MOST_TRIED:
                    file.write(bytes(4096))
            finally:
                file.truncate(self._size)
        raise OSError(errno.EIO, "the sound could not be written completely", str(self.path))

    def _fill(self) -> None:
        if self._missing < self.sample_rate // 100:
            return  # small gaps are collected
        while self._missing:
            count = min(_MOST_SILENCE, self._missing)
            self._write(np.zeros(count, dtype=np.float32))
            self._missing -= count

    def _write(self, samples: np.ndarray) -> None:
        try:
            self._file.write(np.clip(samples, -1.0, 1.0))
            self._size = os.stat(self.path).st_size  # the encoder writes whole frames, unbuffered
        except (soundfile.LibsndfileError, AssertionError, OSError):
            self._give_up()
        self._written += len(samples)

    def _at_our_rate(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        if sample_rate == self.sample_rate:
            return samples
        if self._resampler is None or self._from_rate != sample_rate:
            self._from_rate = sample_rate
            # QQ, since other qualities delay the sound by tens of milliseconds.
            self._resampler = soxr.ResampleStream(
                sample_rate, self.sample_rate, 1, dtype="float32", quality="QQ"
            )
        out: np.ndarray = self._resampler.resample_chunk(np.ascontiguousarray(samples, dtype=np.float32))
        return out


def _try_to_write(path: Path) -> None:
    """Raises OSError if it cannot be written, with the reason (libsndfile gives none), and leaves no file."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(bytes(4096))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
