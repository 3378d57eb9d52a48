"""Recordings as blocks of mono samples, in bounded memory.

libsndfile decodes what it knows (wav, flac, ogg, opus, mp3, aiff, ...), ffmpeg the rest where it is
installed. A file that is empty, cut short, not sound, unreadable or full of NaN is refused in one line;
how each format's cut is noticed stands in ``headers`` and ``ffmpeg``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile

from ..model.resampling import HIGHEST_RATE, LOWEST_RATE
from .errors import AudioError
from .ffmpeg import FfmpegSource, ffmpeg_command
from .headers import missing_bytes, mp3_length_tag

__all__ = ["AudioError", "Recording", "likely_duration_s", "open_recording"]

BLOCK_S = 10.0
_LARGEST_BLOCK = 1 << 22  #: samples of all channels together
_MALFORMED = 3  #: libsndfile's error code: the format is known, the file is broken
_UNKNOWN_LENGTH = 1 << 62
_MP3_PADDING = 2 * 1152  #: samples by which an mp3's tag may exceed what decodes


class _Source(Protocol):
    """What both decoders offer."""

    sample_rate: int
    channels: int

    @property
    def frames(self) -> int | None: ...

    def chunks(self, frames: int) -> Iterator[np.ndarray]: ...

    def close(self) -> None: ...


class Recording:
    """An open recording.

    ``sample_rate`` in Hz, ``channels``, ``duration_s`` (None where only decoding will tell).
    """

    def __init__(self, path: Path, source: _Source) -> None:
        if not LOWEST_RATE <= source.sample_rate <= HIGHEST_RATE:
            raise AudioError(
                f"{path}: expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, "
                f"the header says {source.sample_rate}; convert it to 44100 Hz"
            )
        self.path = path
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self.duration_s = None if source.frames is None else source.frames / source.sample_rate
        self.warnings: list[str] = []  #: a line each, without the name; complete once it is read
        self._source = source

    def blocks(self) -> Iterator[np.ndarray]:
        """The mean of the channels, float32 [n], about 10 s at a time. To be read once.

        Raises AudioError for a file cut short, without samples, or with samples that are not numbers.
        """
        frames = max(1, min(round(BLOCK_S * self.sample_rate), _LARGEST_BLOCK // self.channels))
        total = 0
        for chunk in self._source.chunks(frames):
            mono = chunk[:, 0] if self.channels == 1 else chunk.mean(axis=1, dtype=np.float32)
            self._check_finite(mono, total)
            total += len(mono)
            yield np.ascontiguousarray(mono)
        if total == 0:
            raise AudioError(f"{self.path}: expected sound, the file holds no samples; record it again")

    def _check_finite(self, mono: np.ndarray, before: int) -> None:
        if not np.isfinite(mono).all():
            first = before + int(np.argmin(np.isfinite(mono)))
            raise AudioError(
                f"{self.path}: expected finite samples, found NaN or infinity at "
                f"{first / self.sample_rate:.2f} s; export it again as 16 or 24 bit"
            )


@contextmanager
def open_recording(path: str | os.PathLike[str]) -> Iterator[Recording]:
    """Open a recording for reading; closes it at the end of the ``with`` block.

    Raises AudioError, one line that names the file, for whatever cannot be transcribed.
    """
    path = Path(path)
    _check_file(path)
    source = _open_source(path)
    try:
        yield Recording(path, source)
    finally:
        source.close()


def likely_duration_s(path: str | os.PathLike[str]) -> float:
    """Seconds of sound by the header, or by size (128 kbit/s) where that takes decoding; never raises."""
    try:
        if missing_bytes(path):
            return 0.0
        info = soundfile.info(path)
        if info.frames < _UNKNOWN_LENGTH:
            return info.frames / max(1, info.samplerate)
    except (OSError, RuntimeError):
        pass
    try:
        return os.stat(path).st_size / 16_000
    except OSError:
        return 0.0


def _check_file(path: Path) -> None:
    """What can be said before decoding."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
            raise AudioError(f"{path}: expected a sound file, this is {kind}; name a file")
        if status.st_size == 0:
            raise AudioError(f"{path}: expected sound, the file is empty (0 bytes); copy or record it again")
        missing = missing_bytes(path)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}; check name and permissions") from None
    if missing:
        raise AudioError(
            f"{path}: cut short: {status.st_size} bytes, at least {missing} fewer than its header says; "
            "copy it again, or convert what is left to wav"
        )


def _open_source(path: Path) -> _Source:
    """libsndfile where it can be trusted with the file, ffmpeg otherwise."""
    if _mp3_without_length(path) and ffmpeg_command():
        return FfmpegSource(path)  # libsndfile guesses the length from the first frames and stops there
    try:
        source = _SndfileSource(path)
    except soundfile.LibsndfileError as error:
        if error.code == _MALFORMED:
            raise AudioError(
                f"{path}: expected a whole sound file, this one is malformed or cut short "
                f"(libsndfile: {error.error_string}); copy it again"
            ) from None
        return FfmpegSource(path)
    if source.frames >= _UNKNOWN_LENGTH:  # flac written to a pipe: libsndfile cannot tell its end from a cut
        source.close()
        return FfmpegSource(path)
    return source


def _mp3_without_length(path: Path) -> bool:
    with open(path, "rb") as file:
        is_mp3 = path.suffix.lower() == ".mp3" or file.read(3) == b"ID3"
        return is_mp3 and mp3_length_tag(file) is None


class _SndfileSource:
    """A file decoded by libsndfile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = soundfile.SoundFile(path)
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.frames: int = self._file.frames

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """float32 [n, channels], n <= frames. Raises AudioError when frames promised by the header miss."""
        total = 0
        try:
            while len(chunk := self._file.read(frames, dtype="float32", always_2d=True)):
                total += len(chunk)
                yield chunk
        except soundfile.LibsndfileError as error:
            where = f"decoding failed between {self._clock(total)} and {self._clock(total + frames)}"
            raise AudioError(self._cut_short(f"{where} (libsndfile: {error.error_string})")) from None
        slack = _MP3_PADDING if self._file.format == "MP3" else 0
        if total < self.frames - slack:
            raise AudioError(self._cut_short(f"found {self._clock(total)}"))

    def close(self) -> None:
        self._file.close()

    def _clock(self, frames: int) -> str:
        return f"{min(frames, self.frames) / self.sample_rate:.1f} s"

    def _cut_short(self, what_came: str) -> str:
        return (
            f"{self._path}: cut short or damaged: expected {self._clock(self.frames)} by its header, "
            f"{what_came}; copy it again, or convert what is left to wav"
        )
