"""Reads the audio tracks of a file with ffprobe: when they start and how long they are."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AudioError

#: Formats whose time 0 is the player's: silence precedes a track that starts later.
_ABSOLUTE = {"mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm"}
#: Formats with timestamps: gaps between them are silence.
_TIMED = _ABSOLUTE | {"mpegts", "mpeg", "avi", "flv", "asf", "nut", "mxf", "rm", "wtv", "dvr", "dash"}
#: ffmpeg's messages for files whose beginning or end is missing.
_CUT_SHORT = ("moov atom not found", "partial file", "End of file", "Truncat")


@dataclass(frozen=True)
class Track:
    """An audio track."""

    index: int  #: index of the stream in the file
    codec: str
    sample_rate: int  #: Hz
    channels: int
    start_s: float  #: start, in the player's time
    duration_s: float | None
    default: bool
    name: str  #: language and title, or empty


@dataclass(frozen=True)
class FileTracks:
    """The audio tracks of a file, and the meaning of its times."""

    tracks: tuple[Track, ...]
    timed: bool  #: the format has timestamps: gaps between them are silence
    absolute: bool  #: time 0 is the player's, not that of the first sample or picture


def ffmpeg_commands() -> tuple[str, str] | None:
    """Paths of ffmpeg and ffprobe; None unless both are installed."""
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    return (ffmpeg, ffprobe) if ffmpeg and ffprobe else None


def probe(ffprobe: str, path: Path) -> FileTracks:
    """The audio tracks of a file. Raises AudioError if it is no sound or video file."""
    command = [
        *(ffprobe, "-v", "error", "-of", "json", "-show_streams", "-show_format"),
        *("-protocol_whitelist", "file,pipe", "-i", f"file:{path}"),
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        said = json.loads(done.stdout or b"{}")
    except ValueError:
        said = {}
    if done.returncode or "format" not in said:
        raise AudioError(_refused(path, done.stderr.decode("utf-8", "replace")))
    names = set(said["format"].get("format_name", "").split(","))
    all_streams = said.get("streams", [])
    streams = [stream for stream in all_streams if stream.get("codec_type") == "audio"]
    lone = said["format"].get("duration") if len(all_streams) == 1 else None
    absolute = bool(names & _ABSOLUTE)
    zero_s = 0.0 if absolute else _seconds(said["format"].get("start_time")) or 0.0
    tracks = tuple(_track(stream, lone, zero_s) for stream in streams if stream.get("sample_rate"))
    return FileTracks(tracks, bool(names & _TIMED), absolute)


def choose_track(facts: FileTracks, wanted: int | None, path: Path) -> tuple[int, str | None]:
    """The index (from 0) of the wanted, the default or the first track; and a remark for the user, or None.

    Raises AudioError if there is no such track.
    """
    tracks = facts.tracks
    if not tracks:
        raise AudioError(f"{path}: expected sound, the file has no sound track; name another file")
    if wanted is not None:
        if wanted > len(tracks):
            raise AudioError(f"{path}: track {wanted} is not there, the file has {_count(tracks)}")
        return wanted - 1, None
    number = next((n for n, track in enumerate(tracks) if track.default), 0)
    if len(tracks) == 1:
        return number, None
    why = "the default" if tracks[number].default else "the first"
    name = f", {tracks[number].name}" if tracks[number].name else ""
    return number, f"{_count(tracks)}: track {number + 1} ({why}{name}) is read, --track takes another"


def _count(tracks: tuple[Track, ...]) -> str:
    return f"{len(tracks)} audio track{'' if len(tracks) == 1 else 's'}"


def _track(stream: dict[str, Any], lone_duration: str | None, zero_s: float) -> Track:
    tags = {name.lower(): value for name, value in stream.get("tags", {}).items()}
    name = " ".join(tags[key] for key in ("language", "title") if tags.get(key, "und") != "und")
    duration_s = _seconds(stream.get("duration"))
    start_s = (_seconds(stream.get("start_time")) or zero_s) - zero_s
    end_s = _seconds(tags.get("duration")) or _seconds(lone_duration)  # these two count from time 0
    if duration_s is None and end_s is not None:
        duration_s = end_s - max(0.0, start_s)
    return Track(
        int(stream["index"]),
        str(stream.get("codec_name")),
        int(stream["sample_rate"]),
        int(stream.get("channels") or 1),
        start_s,
        duration_s,
        bool(stream.get("disposition", {}).get("default")),
        name,
    )


def _seconds(text: str | None) -> float | None:
    """Parse seconds, or hours:minutes:seconds; None for other text."""
    try:
        parts = [float(part) for part in str(text).split(":")]
    except ValueError:
        return None
    return sum(part * 60**power for power, part in enumerate(reversed(parts)))


def _refused(path: Path, words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    cut = next((line for line in lines if any(sign in line for sign in _CUT_SHORT)), None)
    if cut is not None:
        said = cut.split("] ", 1)[-1]
        return f"{path}: cut short: expected a whole file, ffmpeg says: {said}; copy it again"
    last = lines[-1].removeprefix(f"file:{path}: ") if lines else ""
    said = f"ffmpeg says: {last}" if last else "ffmpeg cannot read it and gives no reason"
    return f"{path}: expected a sound or video file, {said}; convert it to wav"
