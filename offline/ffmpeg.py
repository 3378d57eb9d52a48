"""Sound through ffmpeg: what libsndfile does not read (m4a, video, ...), as a pipe of samples."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .errors import AudioError

_LENGTH = re.compile(r"Duration: (\d+):(\d+):(\d+\.\d+)")
_PROBLEM = re.compile(r"\[(?:error|fatal|panic)\] (.*)")
#: Said of sound files whose end is missing, whatever the container claims.
_CUT_SHORT = ("moov atom not found", "File ended prematurely", "partial file", "runcat")
#: Said of good files: bytes between or after mp3 frames (tags, padding).
_HARMLESS = ("Header missing",)


def ffmpeg_command() -> str | None:
    """Where ffmpeg is, or None when it is not installed."""
    return shutil.which("ffmpeg")


class FfmpegSource:
    """The first sound track of a file, decoded by an ffmpeg process. Close it; closing twice is safe.

    ``sample_rate`` in Hz; ``frames`` is None where the container does not say how long it is.
    Raises AudioError when ffmpeg is not installed or finds no sound.
    """

    def __init__(self, path: Path) -> None:
        command = ffmpeg_command()
        if command is None:
            raise AudioError(
                f"{path}: expected a format that libsndfile reads (wav, flac, ogg, opus, mp3, aiff); "
                "this is another, or no sound at all: install ffmpeg to read it, or convert it to wav"
            )
        self._path = path
        # A pipe could fill up and stop ffmpeg while we read the sound. Closed in close().
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            _arguments(command, path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C must not end ffmpeg before us: it would look like a short file
        )
        try:
            self._read_header()
        except BaseException:
            self.close()
            raise

    def _read_header(self) -> None:
        """AU: the one format with a fixed header that ffmpeg can stream; big-endian."""
        header = self._read(24)
        if len(header) < 24 or header[:4] != b".snd":
            self._process.wait()
            raise AudioError(self._no_sound())
        offset, _, _, self.sample_rate, self.channels = struct.unpack(">5I", header[4:])
        self._read(offset - 24)
        words = self._words()
        self._is_video = any("Video:" in line and "attached pic" not in line for line in words.splitlines())
        self._stated_s = None if self._is_video else _stated_length_s(words)
        self.frames = None if self._stated_s is None else round(self._stated_s * self.sample_rate)

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """float32 [n, channels], n <= frames. Raises AudioError at the end if the file was cut short."""
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

    def _words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def _no_sound(self) -> str:
        problems = _problems(self._words())
        if any(sign in problem for problem in problems for sign in _CUT_SHORT):
            said = problems[0]
            return f"{self._path}: cut short: expected a whole file, ffmpeg says: {said}; copy it again"
        silent = not problems or any("matches no streams" in problem for problem in problems)
        said = "no sound track" if silent else problems[0]
        return f"{self._path}: expected a sound or video file, ffmpeg says: {said}; convert it to wav"

    def _check_end(self, decoded_s: float) -> None:
        """A stated length decides; without one, any decoding error may be the cut.

        A video's length is that of its longest track: the sound may rightly be shorter.
        """
        problems = _problems(self._words())
        cut = [problem for problem in problems if any(sign in problem for sign in _CUT_SHORT)]
        if self._stated_s is not None and decoded_s < self._stated_s - max(0.5, 0.01 * self._stated_s):
            cut = [f"the length is stated as {self._stated_s:.1f} s"]
        elif self._stated_s is None and not self._is_video and not cut:
            cut = problems
        if cut or self._process.returncode:
            said = cut[0] if cut else (problems or [f"exit status {self._process.returncode}"])[-1]
            raise AudioError(
                f"{self._path}: cut short or damaged: decoding ended after {decoded_s:.1f} s ({said}); "
                "copy it again, or convert what is left to wav"
            )


def _arguments(command: str, path: Path) -> list[str]:
    """``file:`` keeps a name with a colon from being an address; a playlist may name local files only."""
    return [
        *(command, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info"),
        *("-protocol_whitelist", "file,pipe", "-i", f"file:{path}"),
        *("-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"),
    ]


def _stated_length_s(words: str) -> float | None:
    """The container's length in seconds; None when it has none or ffmpeg only guesses."""
    found = _LENGTH.search(words)
    if not found or "Estimating duration" in words:
        return None
    hours, minutes, seconds = found.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _problems(words: str) -> list[str]:
    """What ffmpeg called errors, without the part of ffmpeg that said so."""
    found = _PROBLEM.findall(words)
    return [line.strip() for line in found if not any(sign in line for sign in _HARMLESS)]
