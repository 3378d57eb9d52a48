"""The files of a recording, MIDI and FLAC, whole at any moment, however the program ends.

Every flush replaces the MIDI file at once by one that holds everything so far, with what still sounds ended
there and the pedal up. The bytes of what can no longer change are kept, so that a flush after hours costs
a write, no more.

The FLAC encoder writes whole blocks as they fill, but puts their number into the header only when it is
closed; a file without it counts as broken. So the number is written into the header every second:

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

#: A millisecond a tick from the start, since nobody knows how long the session will be: see ``midi_file``.
TICKS_PER_SECOND = ticks_a_second(COARSE)
UNSETTLED_S = 1.0  #: the newest events of a stream come a little out of order
_PEDAL = -1  # among the pitches that are down
SUBTYPE = "PCM_24"
_TOTAL_AT, _TOTAL_BYTES, _TOTAL_BITS = 18, 8, 36
_BLOCK_SIZE_AT = 8
_MOST_TRIED = 1 << 20  #: bytes, to learn why a disk takes no more
_MOST_SILENCE = 48_000 * 10  #: samples written at once


class MidiRecording:
    """Notes and the pedal (CC64) at the times at which they were played, in one piano track. For one thread.

    Raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        # Short, since the name itself may be as long as names may be.
        self._part = self.path.with_name(f".hppnet-{os.getpid()}-{id(self)}.mid.part")
        self._track = bytearray(beginning(TRACK_NAME))
        self._ticks = 0  # of the last event in the track
        self._down: dict[int, int] = {}  # what sounds (pitches, the pedal), and since which tick
        self._pending: list[Event] = []
        self._newest_s = 0.0
        self.good_s = 0.0  #: up to here the file holds what was played
        self._changed = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.flush()

    def add(self, events: Iterable[Event]) -> None:
        for event in events:
            self._pending.append(event)
            self._newest_s = max(self._newest_s, event.time_s)
            self._changed = True

    def flush(self, now_s: float | None = None) -> None:
        """Writes all that came; ``now_s`` is where notes that still sound end for now."""
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
            with suppress(OSError):  # on a full disk half of it is worth nothing
                self._part.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._changed, self.good_s = bool(self._pending), self._newest_s

    def close(self) -> None:
        """May be called twice."""
        self._changed = self._changed or not self.path.exists()
        self.flush()

    def _settle(self, until_s: float) -> None:
        self._pending.sort(key=lambda event: event.time_s)  # events of one time stay as they came
        count = sum(event.time_s <= until_s for event in self._pending)
        for event in self._pending[:count]:
            data, self._ticks = _encoded(event, self._ticks, self._down)
            self._track += data
        del self._pending[:count]

    def _provisional(self) -> bytes:
        """Encodes what may still change, and ends for what sounds."""
        ticks, down, out = self._ticks, dict(self._down), bytearray()
        for event in [*self._pending, *all_ends(self._newest_s)]:
            data, ticks = _encoded(event, ticks, down)
            out += data
        return bytes(out)


def all_ends(time_s: float) -> list[Event]:
    """The ends of whatever may sound."""
    return [*(NoteOff(time_s, pitch) for pitch in range(128)), Pedal(time_s, False)]


def _encoded(event: Event, ticks: int, down: dict[int, int]) -> tuple[bytes, int]:
    """Bytes of an event after ``ticks``, and the ticks then. Nothing for the end of what does not sound.

    What ends at the tick at which it began ends a tick later: other programs take it for endless.
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
    """Mono, at the rate of the first block; sample n is at stream time n / rate. For one thread.

    Raises OSError where the file cannot be written. From then on it is ``broken`` and stays as it is, whole
    up to ``good_s``: the encoder does not survive a full disk.
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
        self._size = 0  # of the file, in bytes, with what was written
        self._end = self._missing = (
            0  # where the last block ended, and what is missing until the next, in samples
        )
        self._resampler: Any = None
        self._from_rate = sample_rate

    def add(self, block: Block) -> None:
        """Writes the block; what the device lost before it becomes silence."""
        if self.broken:
            return
        self._missing += max(0, round(block.time_s * self.sample_rate) - self._end)
        self._end = round(block.end_s * self.sample_rate)
        self._fill()
        self._write(self._at_our_rate(clean(block.samples)[0], block.sample_rate))

    def flush(self) -> None:
        """Makes the file readable as it is; at most a tenth of a second is not yet on disk."""
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
        """May be called twice."""
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
        """Leaves what is whole. Raises OSError with the reason, which the encoder does not give."""
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
        raise OSError(errno.EIO, "the disk did not take it all", str(self.path))

    def _fill(self) -> None:
        if self._missing < self.sample_rate // 100:
            return  # many small ones become one
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
            self._from_rate = sample_rate  # the other qualities keep back tens of milliseconds
            self._resampler = soxr.ResampleStream(
                sample_rate, self.sample_rate, 1, dtype="float32", quality="QQ"
            )
        out: np.ndarray = self._resampler.resample_chunk(np.ascontiguousarray(samples, dtype=np.float32))
        return out


def _try_to_write(path: Path) -> None:
    """Raises OSError with the reason, which libsndfile does not give; then leaves no file."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(bytes(4096))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
