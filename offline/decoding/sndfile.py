"""Decodes with libsndfile, and with ffmpeg from where libsndfile fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from ..errors import AudioError
from .ffmpeg import FfmpegSource
from .ffprobe import ffmpeg_commands
from .parts import Part, ReadReport, SoundSource, after, resampled

UNKNOWN_LENGTH = 1 << 62
_UNKNOWN_FORMAT = 1  #: libsndfile's error code
_DECODERS_DIFFER_S = 0.05  #: tolerated difference between the lengths of two decoders, about a packet
_MP3_PADDING = 2 * 1152  #: samples by which the length in an mp3's tag may exceed the decoded one


def as_bytes(path: str | os.PathLike[str]) -> str | bytes:
    """A file name in the form that soundfile accepts, even if it is not valid UTF-8."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


class _Forward(soundfile.SoundFile):
    """Not seekable. In a seekable file soundfile seeks after each block, which mp3 does not tolerate."""

    def seekable(self) -> bool:
        return False


class SndfileSource:
    """A part of a file. What libsndfile cannot decode is left to ffmpeg, if it is installed.

    Raises soundfile.LibsndfileError if libsndfile cannot open the part.
    """

    def __init__(self, path: Path, part: Part, report: ReadReport) -> None:
        self._path, self._part, self._report = path, part, report
        self._input = part.open(path)
        try:
            name = as_bytes(self._input) if isinstance(self._input, Path) else self._input
            self._file = _Forward(name)
        except BaseException:
            self._close_input()
            raise
        self.sample_rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        stated = part.expected_frames if part.expected_frames is not None else self._file.frames
        self.frames: int | None = stated if stated < UNKNOWN_LENGTH else None
        self._other: SoundSource | None = None

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """Yields float32 [n, channels], n <= frames. Reports frames that the file lacks."""
        total = 0
        try:
            while len(chunk := self._file.read(frames, dtype="float32", always_2d=True)):
                total += len(chunk)
                yield chunk
        except soundfile.LibsndfileError as error:
            yield from self._go_on(frames, total, error.error_string)
            return
        self._check_end(total, _MP3_PADDING if "MPEG" in self._file.subtype else 0)

    def _check_end(self, total: int, slack: int) -> None:
        if self.frames is not None and total < self.frames - slack:
            self._report.lose(f"cut short: {self._clock(total)} of {self._clock(self.frames)} could be read")

    def close(self) -> None:
        self._file.close()
        self._close_input()
        if self._other is not None:
            self._other.close()

    def _close_input(self) -> None:
        if not isinstance(self._input, Path):
            self._input.close()

    def _go_on(self, frames: int, done: int, why: str) -> Iterator[np.ndarray]:
        """Yields the frames after the first ``done``, decoded by ffmpeg."""
        of = "" if self.frames is None else f" of {self._clock(self.frames)}"
        if ffmpeg_commands() is None:
            self._report.lose(
                f"cut short or damaged: {self._clock(done)}{of} could be read (libsndfile: {why}); "
                "install ffmpeg, which may read more"
            )
            return
        try:
            self._other = FfmpegSource(self._path, self._report, part=self._part)
        except AudioError:
            self._report.lose(
                f"cut short or damaged: {self._clock(done)}{of} could be read (libsndfile: {why})"
            )
            return
        for chunk in after(resampled(self._other, self.sample_rate, self.channels, frames), done):
            done += len(chunk)
            yield chunk
        if not self._report.lost:
            self._check_end(done, round(_DECODERS_DIFFER_S * self.sample_rate))

    def _clock(self, frames: int) -> str:
        return f"{frames / self.sample_rate:.1f} s"


def open_part(path: Path, part: Part, *, report: ReadReport, track: int | None = None) -> SoundSource:
    """Open a part with libsndfile, or with ffmpeg if libsndfile fails. Raises AudioError if both fail."""
    try:
        source = SndfileSource(path, part, report)
    except soundfile.LibsndfileError as error:
        if error.code == _UNKNOWN_FORMAT or ffmpeg_commands() is not None:
            return FfmpegSource(path, report, track, part)
        raise AudioError(
            f"{path}: expected a whole sound file, libsndfile says: {error.error_string}; copy it again, "
            "or install ffmpeg to try another decoder"
        ) from None
    if track is not None and track > 1:
        source.close()
        raise AudioError(f"{path}: track {track} is not there, the file has 1 audio track")
    return source
