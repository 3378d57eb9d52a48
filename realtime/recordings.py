"""A FLAC file of what was heard, readable at any moment, however the program ends.

The encoder writes whole blocks as they fill, but puts their number into the header only when it is
closed; a file without it counts as broken. So the number is patched in every second:

    fLaC | type, length | block and frame sizes | rate, channels, bits : total samples (36 bits) | MD5
    0      4              8                       18 ......................................... 26
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import soundfile
import soxr

from .blocks import Block, clean

SUBTYPE = "PCM_24"
_TOTAL_AT, _TOTAL_BYTES, _TOTAL_BITS = 18, 8, 36
_BLOCK_SIZE_AT = 8
_MOST_TRIED = 1 << 20  #: bytes, to learn why a disk takes no more
_MOST_SILENCE = 48_000 * 10  #: samples written at once


class AudioRecording:
    """Mono, at the rate of the first block; sample n was heard at stream time n / rate. One thread's.

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
        """What the device lost before the block becomes silence."""
        if self.broken:
            return
        self._missing += max(0, round(block.time_s * self.sample_rate) - self._end)
        self._end = round(block.end_s * self.sample_rate)
        self._fill()
        self._write(self._at_our_rate(clean(block.samples)[0], block.sample_rate))

    def flush(self) -> None:
        """What is on disk can be read from here on; at most a tenth of a second is not yet there."""
        if not self.broken:
            self._file.flush()
            with open(self.path, "r+b", buffering=0) as file:
                self._say_length(file)

    @property
    def good_s(self) -> float:
        """How much the file holds."""
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
        """Leaves what is whole. Raises OSError with the reason, which the encoder keeps to itself."""
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
    """Raises OSError with the reason, which libsndfile keeps to itself; then no file is left."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(bytes(4096))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error
