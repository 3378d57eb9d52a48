"""Recordings as soundfile and ffmpeg write them: read whole, or refused in one line."""

import os
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from hppnet.offline import reading
from hppnet.offline.decoding import ffprobe
from hppnet.offline.reading import AudioError, likely_duration_s, open_recording

from .needs import needs
from .tolerances import assert_same_sums

RATE = 44_100
SECONDS = 12  # more than one block

needs_ffmpeg = needs("ffmpeg")


def chord(seconds=SECONDS, rate=RATE):
    """Two channels that differ, float32 [n, 2]."""
    t = np.arange(round(seconds * rate)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * f * t) for f in (440, 660)], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same sound in every format, by soundfile (s.*) and by ffmpeg (f.*)."""
    folder = tmp_path_factory.mktemp("formats")
    sound = chord()
    for name in ("s.wav", "s.flac", "s.ogg", "s.mp3", "s.aiff", "s.caf", "s.au", "s.w64"):
        soundfile.write(folder / name, sound, RATE)
    soundfile.write(folder / "s24.wav", sound, RATE, subtype="PCM_24")
    soundfile.write(folder / "rf64.wav", sound, RATE, format="RF64")
    soundfile.write(folder / "s.opus", chord(rate=48_000), 48_000, format="OGG", subtype="OPUS")
    if shutil.which("ffmpeg"):
        for name, options in FFMPEG.items():
            with open(folder / name, "wb") as out:
                target = (
                    ["-f", options.pop(), "-"]
                    if options[-1:] in (["flac"], ["wav"])
                    else ["-y", folder / name]
                )
                command = ["ffmpeg", "-v", "error", "-i", folder / "s.wav", *options, *target]
                subprocess.run(command, check=True, stdout=out if "-" in target else None)
    return folder


FFMPEG = {
    "f.m4a": [],
    "start.m4a": ["-movflags", "+faststart"],
    "f.aac": [],
    "f.mka": [],
    "f.webm": ["-c:a", "libopus"],
    "f.mp3": [],
    "vbr.mp3": ["-q:a", "4"],
    "untagged.mp3": ["-q:a", "4", "-write_xing", "0"],
    "pipe.flac": ["flac"],
    "pipe.wav": ["wav"],
    "video.mp4": ["-f", "lavfi", "-i", "color=size=32x32:duration=20", "-pix_fmt", "yuv420p"],
}
SNDFILE = [
    "s.wav",
    "s24.wav",
    "rf64.wav",
    "s.flac",
    "s.ogg",
    "s.opus",
    "s.mp3",
    "s.aiff",
    "s.caf",
    "s.au",
    "s.w64",
]


def read(path):
    with open_recording(path) as recording:
        return np.concatenate(list(recording.blocks())), recording


def half(path):
    cut = path.with_name(f"cut-{path.name}")
    data = path.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    return cut


def loss(path):
    """What is said of a file that cannot be read to its end; with ``whole`` it is refused so."""
    samples, recording = read(path)
    assert len(samples)
    (line,) = recording.warnings
    with pytest.raises(AudioError) as caught, open_recording(path, whole=True) as recording:
        list(recording.blocks())
    assert line in str(caught.value)
    return line


def refusal(path):
    """The error of a file that must not be read to its end."""
    with pytest.raises(AudioError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    return message


@pytest.mark.parametrize("name", SNDFILE)
def test_reads_the_mean_of_the_channels(folder, name):
    samples, recording = read(folder / name)
    expected, rate = soundfile.read(folder / name, dtype="float32")
    assert (recording.sample_rate, recording.channels) == (rate, 2)
    assert samples.dtype == np.float32
    assert_same_sums(samples, expected.mean(axis=1), 2)
    assert recording.duration_s == pytest.approx(len(samples) / rate)
    assert likely_duration_s(folder / name) == pytest.approx(SECONDS, abs=0.01)


@needs_ffmpeg
@pytest.mark.parametrize("name", FFMPEG)
def test_reads_what_ffmpeg_writes(folder, name):
    samples, recording = read(folder / name)
    assert len(samples) / recording.sample_rate == pytest.approx(SECONDS, abs=0.1)
    original = chord().mean(axis=1)
    level = np.sqrt(np.mean(original**2))
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(level, rel=0.15)


def test_blocks_are_bounded(folder):
    with open_recording(folder / "s.wav") as recording:
        lengths = [len(block) for block in recording.blocks()]
    assert lengths == [10 * RATE, 2 * RATE]


@pytest.mark.parametrize("name", SNDFILE)
def test_a_file_cut_in_half_is_read_so_far(folder, name):
    cut = half(folder / name)
    assert "cut short" in loss(cut)
    samples, recording = read(cut)
    assert 4 < len(samples) / recording.sample_rate < 7


@needs_ffmpeg
@pytest.mark.parametrize("name", ["start.m4a", "f.aac", "f.mka", "f.webm", "vbr.mp3", "untagged.mp3"])
def test_a_file_of_ffmpeg_cut_in_half_is_read_so_far(folder, name):
    assert "cut short" in loss(half(folder / name))


@needs_ffmpeg
def test_an_m4a_without_its_end_cannot_be_read_at_all(folder):
    assert "cut short" in refusal(half(folder / "f.m4a"))


@pytest.mark.parametrize("name", ["s.wav", "s.flac", "s.ogg", "s.opus", "s.aiff"])
def test_a_file_that_lacks_its_last_twentieth_is_read_so_far(folder, name):
    cut = folder / f"end-{name}"
    data = (folder / name).read_bytes()
    cut.write_bytes(data[: -len(data) // 20])
    assert "cut short" in loss(cut)


@needs_ffmpeg
def test_sound_shorter_than_its_video_is_whole(folder):
    samples, recording = read(folder / "video.mp4")
    assert len(samples) / recording.sample_rate < 15  # the picture goes on for 20 s


def test_a_wav_whose_writer_left_no_length_is_read(folder, tmp_path):
    data = bytearray((folder / "s.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "pipe.wav").write_bytes(data)
    assert len(read(tmp_path / "pipe.wav")[0]) == SECONDS * RATE


def test_empty(tmp_path):
    (tmp_path / "a.wav").touch()
    assert "empty" in refusal(tmp_path / "a.wav")


def test_no_samples(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    assert "no samples" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    sound = chord()
    sound[11 * RATE, 1] = bad
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    message = refusal(tmp_path / "a.wav")
    assert "NaN or infinity" in message and "11.00 s" in message


@pytest.mark.parametrize("rate", [1, 100, 3_999, 1_000_000])
def test_absurd_rates(tmp_path, rate):
    soundfile.write(tmp_path / "a.wav", np.zeros(500), rate)
    assert "sample rate" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("rate", [8_000, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_other_rates_and_channels(tmp_path, rate, channels):
    soundfile.write(tmp_path / "a.wav", np.full((rate, channels), 0.25), rate)
    samples, recording = read(tmp_path / "a.wav")
    assert (recording.sample_rate, recording.channels, len(samples)) == (rate, channels, rate)
    np.testing.assert_allclose(samples, 0.25, atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a"])
def test_not_sound(tmp_path, name):
    (tmp_path / name).write_text("Dear diary, today I practised for an hour.\n" * 40)
    assert "expected" in refusal(tmp_path / name)


@needs_ffmpeg
def test_a_video_without_sound(tmp_path):
    source = ["-f", "lavfi", "-i", "color=size=32x32:duration=1", "-pix_fmt", "yuv420p"]
    subprocess.run(["ffmpeg", "-v", "error", *source, tmp_path / "mute.mp4"], check=True)
    assert "no sound track" in refusal(tmp_path / "mute.mp4")


def test_a_folder_and_a_name_that_does_not_exist(tmp_path):
    assert "folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "none.wav")


def test_unreadable(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)

    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reading, "open_source", forbidden)
    assert "Permission denied" in refusal(tmp_path / "a.wav")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_unreadable_by_its_permissions(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    (tmp_path / "a.wav").chmod(0)
    assert "Permission denied" in refusal(tmp_path / "a.wav")


@needs_ffmpeg
def test_without_ffmpeg_the_error_says_so(folder, monkeypatch):
    monkeypatch.setattr(ffprobe.shutil, "which", lambda _: None)
    assert "install ffmpeg" in refusal(folder / "f.m4a")
    assert len(read(folder / "vbr.mp3")[0]) == pytest.approx(SECONDS * RATE, rel=0.01)


@needs_ffmpeg
def test_a_name_that_looks_like_an_address_or_an_option(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:take.m4a", "-i.m4a"):
        shutil.copy(folder / "f.m4a", tmp_path / name)
        assert len(read(name)[0]) > 10 * RATE


@needs_ffmpeg
def test_closing_early_ends_ffmpeg(folder):
    with open_recording(folder / "f.m4a") as recording:
        next(recording.blocks())
        process = recording._source._process
    assert process.poll() is not None
