"""Reads recordings as blocks of mono samples, in bounded memory.

``decoding`` turns files into samples. libsndfile decodes the formats that it supports (wav, flac, ogg, opus,
mp3, aiff, ...). ffmpeg, where it is installed, decodes the rest, and files on which libsndfile fails. A
truncated or damaged recording is read as far as possible, with a warning. A recording without any sound is
refused in one line.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from ..model.channels import ChannelMeter
from ..model.downmix import Downmix
from ..model.frames import HIGHEST_RATE, LOWEST_RATE
from ..model.samples import LOUD_INTEGER, LOUDEST
from .decoding.opening import open_source
from .decoding.parts import ReadReport, SoundSource
from .decoding.sndfile import UNKNOWN_LENGTH, as_bytes
from .errors import AudioError

__all__ = ["AudioError", "OpenRecording", "likely_duration_s", "open_recording", "open_saying"]

log = logging.getLogger("hppnet")

BLOCK_S = 10.0
_LARGEST_BLOCK = 1 << 22  #: samples, all channels together


class OpenRecording:
    """An open recording.

    ``sample_rate`` in Hz, ``channels``, ``duration_s`` (None if only decoding can tell). ``warnings`` has one
    line per problem, without the file's name; it is complete when all blocks have been read.
    """

    def __init__(
        self,
        path: Path,
        source: SoundSource,
        report: ReadReport,
        channel: int | None = None,
        whole: bool = False,
    ) -> None:
        if not LOWEST_RATE <= source.sample_rate <= HIGHEST_RATE:
            raise AudioError(
                f"{path}: expected a sample rate from {LOWEST_RATE} to {HIGHEST_RATE} Hz, "
                f"the header says {source.sample_rate}; convert it to 44100 Hz"
            )
        if channel is not None and channel > source.channels:
            count = f"{source.channels} channel{'' if source.channels == 1 else 's'}"
            raise AudioError(f"{path}: channel {channel} is not there, the recording has {count}")
        self.path = path
        self.sample_rate = source.sample_rate
        self.channels = source.channels
        self.duration_s = None if source.frames is None else source.frames / source.sample_rate
        self._source, self._report = source, report
        self._channel, self._whole = channel, whole

    @property
    def warnings(self) -> list[str]:
        return list(self._report.warnings)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields mono samples (see ``model.downmix``), float32 [n], about 10 s at a time. Call it once.

        Raises AudioError for a file without samples, for samples that are not finite, and for integers stored
        as floats; opened with ``whole``, also for a file that cannot be read to its end.
        """
        frames = max(1, min(round(BLOCK_S * self.sample_rate), _LARGEST_BLOCK // self.channels))
        mix = Downmix(self.channels, self.sample_rate)
        meter = ChannelMeter(self.channels, self.sample_rate)
        total = 0
        for chunk in self._source.chunks(frames):
            self._check(chunk, total)
            total += len(chunk)
            if self._channel is not None:
                yield np.ascontiguousarray(chunk[:, self._channel - 1])
                continue
            meter.add(chunk)
            yield mix.feed(chunk)
        if total and self._channel is None:
            inverted = [n for n, sign in enumerate(mix.signs) if sign < 0]
            for line in meter.remarks(inverted):
                self._report.warn(line)
        self._check_end(total)

    def _check(self, samples: np.ndarray, before: int) -> None:
        """Check the samples of every channel, unused ones included."""
        peak = float(np.abs(samples).max(initial=0.0))
        if not np.isfinite(peak):
            first = before + int(np.argmin(np.isfinite(samples).all(axis=1)))
            raise AudioError(
                f"{self.path}: expected finite samples, found NaN or infinity at "
                f"{first / self.sample_rate:.2f} s; export it again as 16 or 24 bit"
            )
        integers = peak >= LOUD_INTEGER and bool((samples == np.rint(samples)).all())
        if peak > LOUDEST or integers:
            first = before + int(np.argmax(np.abs(samples).max(axis=1) == peak))
            raise AudioError(
                f"{self.path}: expected samples from -1 to 1, found {peak:g} at "
                f"{first / self.sample_rate:.2f} s, probably integers stored as floats; divide them by "
                "32768 (16 bit) or 8388608 (24 bit)"
            )

    def _check_end(self, total: int) -> None:
        lost = self._report.warnings[0] if self._report.warnings else None
        if total == 0:
            why = f"nothing could be read ({lost})" if self._report.lost else "the file holds no samples"
            raise AudioError(f"{self.path}: expected sound, {why}; copy or record it again")
        if self._whole and self._report.lost:
            raise AudioError(f"{self.path}: {lost}; copy it again, or convert what is left to wav")


@contextmanager
def open_recording(
    path: str | os.PathLike[str], *, channel: int | None = None, track: int | None = None, whole: bool = False
) -> Iterator[OpenRecording]:
    """Open a recording for reading; closes it at the end of the ``with`` block.

    ``channel`` (from 1): read only this channel. ``track`` (from 1): read this audio track of a container.
    ``whole``: refuse a recording that cannot be read to its end. Raises AudioError, one line that names the
    file, if the recording cannot be transcribed.
    """
    path = Path(path)
    report = ReadReport()
    try:
        _check_file(path)
        source = open_source(path, track, report)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}; check name and permissions") from None
    try:
        yield OpenRecording(path, source, report, channel, whole)
    finally:
        source.close()


@contextmanager
def open_saying(
    path: str | os.PathLike[str], *, channel: int | None = None, track: int | None = None, whole: bool = False
) -> Iterator[OpenRecording]:
    """As ``open_recording``; logs the warnings to ``hppnet``, by default to standard error."""
    with open_recording(path, channel=channel, track=track, whole=whole) as recording:
        yield recording
        for line in recording.warnings:
            log.warning("warning: %s: %s", path, line)


def likely_duration_s(path: str | os.PathLike[str]) -> float:
    """Estimated seconds of sound, by the header's length or else by size (128 kbit/s). Never raises."""
    try:
        info = soundfile.info(as_bytes(path))
        if 0 < info.frames < UNKNOWN_LENGTH:
            return info.frames / max(1, info.samplerate)
    except (OSError, RuntimeError):
        pass
    try:
        return os.stat(path).st_size / 16_000
    except OSError:
        return 0.0


def _check_file(path: Path) -> None:
    """Check the file before decoding. Raises AudioError or OSError."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise AudioError(f"{path}: expected a sound file, this is {kind}; name a file")
    if status.st_size == 0:
        raise AudioError(f"{path}: expected sound, the file is empty (0 bytes); copy or record it again")
