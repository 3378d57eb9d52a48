"""Decodes with ffmpeg what libsndfile does not read (m4a, video, ...), through a pipe of samples."""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...system import out_of_reach
from ..errors import AudioError
from .ffprobe import Track, choose_track, ffmpeg_commands, probe
from .parts import Part, PartFile, ReadReport

_PROBLEM = re.compile(r"\[(?:error|fatal|panic)\] (.*)")
#: Messages about intact files: bytes between or after mp3 frames (tags, padding).
_HARMLESS = ("Header missing",)
_GAP_S = 0.01  #: seconds; a smaller deviation of a timestamp from the samples before it is rounding
_FIRST_PACKET_SHORT = ("opus", "vorbis")
_MOVED_S = 0.04
_FED = 1 << 16  #: bytes written to ffmpeg at a time


@dataclass(frozen=True)
class _Options:
    """Options before and after the input on ffmpeg's command line."""

    of_input: Sequence[str] = ()
    of_output: Sequence[str] = ("-map", "0:a:0")


class FfmpegSource:
    """An audio track of a file, decoded by an ffmpeg process. Close it; closing twice is safe.

    Times match those of a player: silence fills gaps and precedes a track that starts late. ``frames`` is
    None if the container states no length. ``part`` is a part of a file, which has one track. Raises
    AudioError if ffmpeg is not installed or finds no sound.
    """

    def __init__(
        self, path: Path, report: ReadReport, track: int | None = None, part: Part | None = None
    ) -> None:
        commands = ffmpeg_commands()
        if commands is None:
            raise AudioError(
                f"{path}: expected a format that libsndfile reads (wav, flac, ogg, opus, mp3, aiff); "
                "this is another, or no sound at all: install ffmpeg to read it, or convert it to wav"
            )
        self._path, self._report = path, report
        self._expected_s: float | None = None
        input_file = None if part is None or not part.pieces else PartFile(path, part.pieces)
        options = _Options() if input_file is not None else self._options(commands[1], track)
        # A pipe for messages could fill up and stop ffmpeg while we read the sound. Closed in close().
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            _arguments(commands[0], path if input_file is None else None, options),
            stdin=subprocess.DEVNULL if input_file is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            **out_of_reach(),  # Ctrl-C must not end ffmpeg before us: it would look like a short file
        )
        if input_file is not None:
            feeding = (input_file, self._process.stdin)
            threading.Thread(target=_feed, args=feeding, name="hppnet-ffmpeg", daemon=True).start()
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _options(self, ffprobe: str, wanted: int | None) -> _Options:
        """The options for the wanted track, by what ffprobe finds."""
        facts = probe(ffprobe, self._path)
        number, remark = choose_track(facts, wanted, self._path)
        track = facts.tracks[number]
        if remark:
            self._report.warn(remark)
        filters = []
        if facts.timed:
            filters = ["-af", _true_times(track, facts.absolute)]
            self._expected_s = _end_s(track)
        return _Options(
            ["-copyts"] if facts.absolute else [],
            ["-map", f"0:{track.index}", *filters, "-ar", str(track.sample_rate)],
        )

    def _read_header(self) -> None:
        """Read the header of AU, the only format with a fixed header that ffmpeg can stream; big-endian."""
        header = self._read(24)
        if len(header) < 24 or header[:4] != b".snd":
            self._process.wait()
            said = (self._problems() or ["no sound track"])[0]
            raise AudioError(
                f"{self._path}: expected a sound or video file, ffmpeg says: {said}; convert it to wav"
            )
        offset, _, _, self.sample_rate, self.channels = struct.unpack(">5I", header[4:])
        self._read(offset - 24)
        self.frames = None if self._expected_s is None else round(self._expected_s * self.sample_rate)

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """Yields float32 [n, channels], n <= frames. Reports at the end what could not be read."""
        width = 4 * self.channels
        total = 0
        while data := self._read(frames * width):
            samples = np.frombuffer(data[: len(data) - len(data) % width], ">f4").astype(np.float32)
            total += len(samples) // self.channels
            yield samples.reshape(-1, self.channels)
        self._process.wait()
        self._check_end(total / self.sample_rate)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()

    def _read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.read(size)

    def _problems(self) -> list[str]:
        """ffmpeg's error messages, except harmless ones, without the name of the component."""
        self._log.seek(0)
        found = _PROBLEM.findall(self._log.read().decode("utf-8", "replace"))
        return [line.strip() for line in found if not any(sign in line for sign in _HARMLESS)]

    def _check_end(self, decoded_s: float) -> None:
        """Report sound missing from the stated length, otherwise any error: the file may be truncated."""
        problems = self._problems()
        expected_s = self._expected_s
        if expected_s is not None and decoded_s < expected_s - max(0.5, 0.01 * expected_s):
            self._report.lose(f"cut short: {decoded_s:.1f} s of {expected_s:.1f} s could be read")
        elif problems or self._process.returncode:
            said = problems[0] if problems else f"exit status {self._process.returncode}"
            self._report.lose(f"cut short or damaged: {decoded_s:.1f} s could be read (ffmpeg: {said})")


def _true_times(track: Track, absolute: bool) -> str:
    """A filter that fills gaps between the container's timestamps with silence."""
    gaps = f"aresample=async=1:min_hard_comp={_GAP_S}:first_pts=0"
    # Some writers shift all packets so that the first begins at 0, not before it. It then holds less sound
    # than its duration states.
    moved = absolute and track.codec in _FIRST_PACKET_SHORT and track.start_s < _MOVED_S
    if absolute and not moved:
        return gaps
    # ffmpeg counts these formats' times from the first sample of the tracks that it reads.
    start_s = 0.0 if moved else track.start_s
    return f"asetpts=PTS-STARTPTS+{start_s}/TB,{gaps}"


def _end_s(track: Track) -> float | None:
    """The end of the sound in seconds, counted from the first sample that is output; None if unknown."""
    if track.duration_s is None:
        return None
    return track.duration_s + max(0.0, track.start_s)


def _feed(part: BinaryIO | PartFile, pipe: BinaryIO) -> None:
    """Write a part to ffmpeg's input, in a thread, until the part or ffmpeg ends."""
    with part, suppress(OSError, ValueError), pipe:
        while data := part.read(_FED):
            pipe.write(data)


def _arguments(command: str, path: Path | None, options: _Options) -> list[str]:
    """With ``file:`` a name with a colon is not read as a URL; playlists may name local files only."""
    return [
        *(command, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+error", *options.of_input),
        *("-protocol_whitelist", "file,pipe", "-i", "pipe:0" if path is None else f"file:{path}"),
        *(*options.of_output, "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
    ]
