"""Times are those that a player shows: late tracks, gaps, declared delays; joined streams are read whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.offline.decoding.opening import open_source
from hppnet.offline.decoding.parts import ReadReport
from hppnet.offline.reading import open_recording

from .bursts import LENGTH_S, RATE, assert_onsets, bursts, ffmpeg, plain_onsets, read
from .needs import needs

PICTURE = ("-f", "lavfi", "-i", "color=size=16x16:rate=10:duration=5", "-c:v", "mpeg4")


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bursts") / "plain.wav"
    soundfile.write(path, bursts(), RATE)
    return path


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("name", "codec", "picture", "late_s"),
    [
        ("a.mov", "pcm_s16le", True, 1.5),
        ("a.mp4", "aac", True, 1.5),
        ("a.mkv", "flac", True, 0.7),
        ("a.webm", "libopus", False, 0.7),
        ("a.webm", "libvorbis", False, 0.7),
        ("a.m4a", "aac", False, 2.0),
        ("a.mkv", "pcm_s16le", False, 0.25),
        ("a.ts", "mp2", True, 1.5),
    ],
)
def test_a_track_that_starts_late(wav, tmp_path, name, codec, picture, late_s):
    video = PICTURE if picture else ()
    ffmpeg(*video[:4], "-itsoffset", late_s, "-i", wav, *video[4:], "-c:a", codec, tmp_path / name)
    found, _ = read(tmp_path / name)
    assert_onsets(found, [late_s + s for s in plain_onsets()])


@needs("ffmpeg")
@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "flac"), ("a.mp4", "aac"), ("a.webm", "libopus")])
@pytest.mark.parametrize("gap_s", [0.06, 2.0])
def test_a_gap_in_the_times_is_silence(wav, tmp_path, name, codec, gap_s):
    at_s = 1.024
    shift = f"asetnsamples=1024,asetpts=PTS+gte(T\\,{at_s})*{gap_s}/TB"
    ffmpeg("-i", wav, "-af", shift, "-c:a", codec, tmp_path / name)
    found, _ = read(tmp_path / name)
    assert_onsets(found, [s if s < at_s else s + gap_s for s in plain_onsets()])


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp3", []),
        ("vbr.mp3", ["-q:a", "4"]),
        ("stereo.mp3", ["-ar", "44100", "-ac", "2"]),
        ("a.m4a", []),
        ("a.mp4", ["-movflags", "+faststart"]),
        ("a.opus", []),
        ("a.ogg", ["-c:a", "libvorbis"]),
        ("a.mka", ["-c:a", "libopus"]),
        ("a.webm", ["-c:a", "libopus"]),
        ("a.webm", ["-c:a", "libvorbis"]),
    ],
)
def test_declared_delays_are_taken_away(wav, tmp_path, name, options):
    ffmpeg("-i", wav, *options, tmp_path / name)
    found, said = read(tmp_path / name)
    assert_onsets(found, plain_onsets())
    assert not said


@needs("ffmpeg")
@pytest.mark.parametrize("name", ["a.mp3", "b.wav"])
def test_undeclared_delays_are_as_ffmpeg_gives_them(wav, tmp_path, name):
    options = ["-write_xing", "0"] if name.endswith("mp3") else ["-c:a", "libmp3lame"]
    ffmpeg("-i", wav, "-ar", 44_100, *options, tmp_path / name)
    ffmpeg("-i", tmp_path / name, tmp_path / "decoded.wav")
    assert_onsets(read(tmp_path / name)[0], read(tmp_path / "decoded.wav")[0], 1 / RATE)


ID3 = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 2]) + bytes(130)
ID3V1 = b"TAG" + bytes(125)
APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(4)
APE += (0xA0000000).to_bytes(4, "little") + bytes(8) + bytes(64)


@needs("ffmpeg")
@pytest.mark.parametrize("before", [ID3, APE, ID3 + APE, ID3 + ID3, bytes(300)])
def test_tags_before_the_first_frame(wav, tmp_path, before):
    ffmpeg("-i", wav, "-id3v2_version", 0, tmp_path / "a.mp3")
    (tmp_path / "b.mp3").write_bytes(before + (tmp_path / "a.mp3").read_bytes() + ID3V1)
    found, said = read(tmp_path / "b.mp3")
    assert_onsets(found, plain_onsets())
    assert not said


@needs("ffmpeg")
@pytest.mark.parametrize("between", [b"", ID3V1, ID3V1 + ID3, APE])
@pytest.mark.parametrize("options", [[], ["-q:a", "4"]])
def test_joined_mp3(wav, tmp_path, between, options):
    ffmpeg("-i", wav, *options, "-id3v2_version", 0, tmp_path / "a.mp3")
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "two.mp3").write_bytes(data + between + data)
    found, said = read(tmp_path / "two.mp3")
    assert_onsets(found, plain_onsets() + [LENGTH_S + s for s in plain_onsets()])
    assert not said


@needs("ffmpeg")
def test_joined_mp3_whose_second_half_has_no_tag_or_another_rate(wav, tmp_path):
    ffmpeg("-i", wav, tmp_path / "a.mp3")
    ffmpeg("-i", wav, "-write_xing", 0, tmp_path / "untagged.mp3")
    ffmpeg("-i", wav, "-ar", 44_100, "-ac", 2, tmp_path / "other.mp3")
    first = (tmp_path / "a.mp3").read_bytes()
    for name in ("untagged", "other"):
        (tmp_path / "two.mp3").write_bytes(first + (tmp_path / f"{name}.mp3").read_bytes())
        second, _ = read(tmp_path / f"{name}.mp3")
        found, said = read(tmp_path / "two.mp3")
        assert_onsets(found, plain_onsets() + [LENGTH_S + s for s in second])
        assert not said


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_chained_ogg(tmp_path, subtype):
    for name, rate in (("a.ogg", 48_000), ("b.ogg", 24_000)):
        soundfile.write(tmp_path / name, bursts(rate), rate, format="OGG", subtype=subtype)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.ogg", "b.ogg"))
    (tmp_path / "three.ogg").write_bytes(first + second + first)
    found, said = read(tmp_path / "three.ogg")
    plain = plain_onsets()
    assert_onsets(found, plain + [LENGTH_S + s for s in plain] + [2 * LENGTH_S + s for s in plain])
    assert not said


@needs("ffmpeg")
def test_chained_ogg_flac_and_a_stereo_link(wav, tmp_path):
    ffmpeg("-i", wav, "-c:a", "flac", tmp_path / "a.oga")
    ffmpeg("-i", wav, "-c:a", "flac", "-ac", 2, tmp_path / "b.oga")
    (tmp_path / "two.oga").write_bytes((tmp_path / "a.oga").read_bytes() + (tmp_path / "b.oga").read_bytes())
    found, said = read(tmp_path / "two.oga")
    assert_onsets(found, plain_onsets() + [LENGTH_S + s for s in plain_onsets()])
    assert not said


def test_joined_flac(tmp_path):
    soundfile.write(tmp_path / "a.flac", bursts(), RATE)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "two.flac").write_bytes(data + data)
    found, said = read(tmp_path / "two.flac")
    assert_onsets(found, plain_onsets() + [LENGTH_S + s for s in plain_onsets()])
    assert not said


def test_chunks_of_a_part_with_a_lower_rate_keep_their_limit(tmp_path):
    """Resampled to the first part's rate, each is six times as long as it was read."""
    for name, rate in (("a.ogg", 48_000), ("b.ogg", 8_000)):
        soundfile.write(tmp_path / name, bursts(rate), rate, format="OGG", subtype="VORBIS")
    (tmp_path / "two.ogg").write_bytes((tmp_path / "a.ogg").read_bytes() + (tmp_path / "b.ogg").read_bytes())
    source = open_source(tmp_path / "two.ogg", None, ReadReport())
    lengths = [len(chunk) for chunk in source.chunks(1000)]
    source.close()
    assert max(lengths) <= 1000 and sum(lengths) == pytest.approx(2 * LENGTH_S * 48_000, rel=0.01)


def test_a_frame_of_sound_too_short_for_a_tag_is_none(tmp_path):
    """At 8 kbit/s and 24 kHz a frame has 24 bytes: the letters of a tag fit, its numbers do not."""
    word = b"\xff\xf3\x14\xc0"
    frames = [word + bytes(20)] * 50
    frames[10] = word + bytes(9) + b"Xing" + b"\0\0\0\x01" + bytes(3)
    (tmp_path / "a.mp3").write_bytes(b"".join(frames))
    with open_recording(tmp_path / "a.mp3") as recording:
        assert sum(map(len, recording.blocks())) == pytest.approx(50 * 576, abs=576)


def test_several_data_chunks_are_told_of(tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts(), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    second = data[36:]
    data[4:8] = (len(data) + len(second) - 8).to_bytes(4, "little")
    (tmp_path / "two.wav").write_bytes(data + second)
    found, said = read(tmp_path / "two.wav")
    assert_onsets(found, plain_onsets())
    assert said == ["several data chunks: the first is read (1.6 s), 1.6 s are not"]


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", pytest.param("a.m4a", marks=needs("ffmpeg"))])
def test_a_joined_file_that_is_not_read_is_told_of(tmp_path, name):
    if name.endswith("m4a"):
        soundfile.write(tmp_path / "plain.wav", bursts(), RATE)
        ffmpeg("-i", tmp_path / "plain.wav", "-c:a", "alac", tmp_path / name)
    else:
        soundfile.write(tmp_path / name, bursts(), RATE)
    (tmp_path / name).write_bytes(2 * (tmp_path / name).read_bytes())
    found, said = read(tmp_path / name)
    assert_onsets(found, plain_onsets())
    assert len(said) == 1 and said[0].startswith("not read: ")


def test_the_silence_before_a_late_track_is_silent(wav):
    """The measure itself: a shift of 6 ms is seen."""
    shifted = np.concatenate([np.zeros(96, np.float32), bursts()])
    soundfile.write(wav.with_name("shifted.wav"), shifted, RATE)
    with pytest.raises(AssertionError):
        assert_onsets(read(wav.with_name("shifted.wav"))[0], plain_onsets())
