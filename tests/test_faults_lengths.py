"""Lengths that were never written, cuts, holes, and files that one decoder refuses."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.offline.decoding import ffprobe
from hppnet.offline.reading import AudioError, open_recording

from .bursts import LENGTH_S, RATE, assert_onsets, bursts, ffmpeg, plain_onsets, read
from .needs import needs

MINUS_ONE = 2**32 - 1
TOO_LARGE = 10_000_000

#: name -> soundfile's options, and where the lengths of the sound and of the file stand, with their form.
FORMATS = {
    "a.wav": ({}, [("<I", b"data", 4), ("<I", b"RIFF", 4)]),
    "float.wav": ({"subtype": "FLOAT"}, [("<I", b"data", 4), ("<I", b"RIFF", 4)]),
    "a24.wav": ({"subtype": "PCM_24"}, [("<I", b"data", 4)]),
    "ulaw.wav": ({"subtype": "ULAW"}, [("<I", b"data", 4)]),
    "extensible.wav": ({"format": "WAVEX"}, [("<I", b"data", 4), ("<I", b"RIFF", 4)]),
    "rf64.wav": ({"format": "RF64"}, [("<Q", b"ds64", 16)]),
    "a.w64": ({}, [("<Q", b"data\xf3\xac", 16)]),
    "a.au": ({}, [(">I", b".snd", 8)]),
    "float.au": ({"subtype": "FLOAT"}, [(">I", b".snd", 8)]),
    "a.aiff": ({}, [(">I", b"SSND", 4), (">I", b"COMM", 10), (">I", b"FORM", 4)]),
    "a.caf": ({}, [(">q", b"data", 4)]),
}


def written(path: Path, options: dict[str, str]) -> bytearray:
    soundfile.write(path, bursts(), RATE, **options)
    return bytearray(path.read_bytes())


def patched(data: bytearray, fields: list[tuple[str, bytes, int]], value: int) -> bytearray:
    for form, name, offset in fields:
        at = data.find(name) + offset
        size = struct.calcsize(form)
        data[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little" if form[0] == "<" else "big")
    return data


@pytest.mark.parametrize("value", [0, -1, TOO_LARGE])
@pytest.mark.parametrize("name", FORMATS)
def test_a_length_that_is_not_true(tmp_path, name, value):
    options, fields = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(patched(written(path, options), fields, value))
    found, said = read(path)
    assert_onsets(found, plain_onsets())
    (line,) = said
    assert "1.6 s" in line and ("does not say" in line if value != TOO_LARGE else "cut short" in line)


@pytest.mark.parametrize("value", [0, 2**36 - 1, 40_000_000])
def test_a_flac_whose_length_is_not_true(tmp_path, value):
    data = written(tmp_path / "a.flac", {})
    data[21] = data[21] & 0xF0 | value >> 32
    data[22:26] = (value & MINUS_ONE).to_bytes(4, "big")
    (tmp_path / "a.flac").write_bytes(data)
    found, said = read(tmp_path / "a.flac")
    assert_onsets(found, plain_onsets())
    assert len(said) == 1


@needs("ffmpeg")
@pytest.mark.parametrize("form", ["wav", "flac", "au", "caf", "w64"])
def test_what_a_pipe_leaves(tmp_path, form):
    soundfile.write(tmp_path / "plain.wav", bursts(), RATE)
    target = f"pipe:1 > {tmp_path / 'a'}.{form}"
    command = f"ffmpeg -v error -i {tmp_path / 'plain.wav'} -f {form} {target}"
    if subprocess.run(command, shell=True, stdin=subprocess.DEVNULL).returncode:
        pytest.skip(f"ffmpeg does not write {form} to pipes")
    found, said = read(tmp_path / f"a.{form}")
    assert_onsets(found, plain_onsets())
    assert len(said) <= 1


@pytest.mark.parametrize("name", ["a.wav", "a.aiff", "a.au", "a.caf"])
def test_a_file_that_is_really_empty_is_refused(tmp_path, name):
    soundfile.write(tmp_path / name, np.zeros(0), RATE)
    with pytest.raises(AudioError, match="no samples"):
        read(tmp_path / name)


def test_chunks_after_an_empty_one_are_not_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes()) + b"LIST" + struct.pack("<I", 4000) + bytes(4000)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(AudioError, match="no samples"):
        read(tmp_path / "a.wav")


def test_sound_that_a_length_leaves_out_is_told_of(tmp_path):
    data = written(tmp_path / "a.wav", {})
    (tmp_path / "a.wav").write_bytes(patched(data, [("<I", b"data", 4)], RATE * 2))
    found, said = read(tmp_path / "a.wav")
    assert_onsets(found, plain_onsets()[:2])
    assert said == ["not read: 0.6 s beyond the length that its header states"]


@needs("ffmpeg")
@pytest.mark.parametrize("options", [["-b:a", "64k"], ["-q:a", "5"], ["-ar", "44100", "-b:a", "128k"]])
@pytest.mark.parametrize("taken", [False, True])
def test_a_hole_in_an_mp3(tmp_path, options, taken):
    """Zeros in place of sound keep the time of what follows; bytes put in between do not move it."""
    soundfile.write(tmp_path / "plain.wav", bursts(), RATE)
    ffmpeg("-i", tmp_path / "plain.wav", *options, tmp_path / "a.mp3")
    data = bytearray((tmp_path / "a.mp3").read_bytes())
    at = round(len(data) * 0.95 / LENGTH_S)
    data[at : at + (1200 if taken else 0)] = bytes(1200)
    (tmp_path / "a.mp3").write_bytes(data)
    found, said = read(tmp_path / "a.mp3")
    constant = "-b:a" in options
    if taken and constant:
        assert_onsets(found, plain_onsets())
    assert len(found) >= 2 and len(said) == 1
    assert said[0].startswith("damaged at 0.") or said[0].startswith("damaged at 1.0")


@needs("ffmpeg")
def test_what_libsndfile_refuses_goes_to_ffmpeg_and_is_told_without_it(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "plain.wav", bursts(), RATE)
    ffmpeg("-i", tmp_path / "plain.wav", "-c:a", "adpcm_ima_qt", "-f", "aiff", tmp_path / "a.aiff")
    ffmpeg("-i", tmp_path / "plain.wav", "-c:a", "adpcm_yamaha", tmp_path / "b.wav")
    for name in ("a.aiff", "b.wav"):
        found, _ = read(tmp_path / name)
        assert_onsets(found, plain_onsets())
    monkeypatch.setattr(ffprobe.shutil, "which", lambda _: None)
    with pytest.raises(AudioError, match="install ffmpeg"):
        read(tmp_path / "b.wav")


@needs("ffmpeg")
def test_ffmpeg_goes_on_where_libsndfile_fails(tmp_path, monkeypatch):
    data = written(tmp_path / "a.ogg", {"format": "OGG", "subtype": "VORBIS"})
    (tmp_path / "a.ogg").write_bytes(data)
    original = soundfile.SoundFile.read

    def fails(self, frames, **options):
        if self.tell() >= RATE // 2:
            raise soundfile.LibsndfileError(3)
        return original(self, min(frames, RATE // 2), **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", fails)
    found, said = read(tmp_path / "a.ogg")
    assert_onsets(found, plain_onsets())
    assert not said
    monkeypatch.setattr(ffprobe.shutil, "which", lambda _: None)
    found, said = read(tmp_path / "a.ogg")
    assert_onsets(found, plain_onsets()[:1])
    assert "0.5 s of 1.6 s" in said[0] and "ffmpeg" in said[0]


@pytest.mark.parametrize("scale", [32_767, 127, 8_388_607])
def test_integers_stored_as_floats_are_refused(tmp_path, scale):
    soundfile.write(tmp_path / "a.wav", np.rint(bursts() * scale), RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="integers stored as floats"):
        read(tmp_path / "a.wav")


def test_loud_floats_are_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", 8 * bursts(), RATE, subtype="FLOAT")
    with open_recording(tmp_path / "a.wav") as recording:
        assert max(float(block.max()) for block in recording.blocks()) > 2


def test_a_cut_ogg_is_read_to_the_cut(tmp_path):
    data = written(tmp_path / "a.ogg", {"format": "OGG", "subtype": "VORBIS"})
    (tmp_path / "a.ogg").write_bytes(data[:-100])
    found, said = read(tmp_path / "a.ogg")
    assert len(found) >= 1 and "cut short" in said[0]


@pytest.mark.parametrize("field", [(8, b"\0\0"), (16, b"\x7f\xff" + b"\xff" * 8)], ids=["channels", "rate"])
def test_an_aiff_whose_header_makes_no_sense_is_refused(tmp_path, field):
    """No channels, or a rate beyond every float, and more bytes after the sound than it counts."""
    data = written(tmp_path / "a.aiff", {}) + bytes(50_000)
    at, value = data.find(b"COMM") + field[0], field[1]
    data[at : at + len(value)] = value
    (tmp_path / "a.aiff").write_bytes(data)
    with pytest.raises(AudioError, match=r"a\.aiff: expected"):
        read(tmp_path / "a.aiff")


def test_bytes_after_packets_of_variable_size_are_no_sound(tmp_path):
    """Such a CAF lists the sizes of its packets: what follows them has no length in seconds."""
    data = written(tmp_path / "a.caf", {"subtype": "ALAC_16"})
    (tmp_path / "a.caf").write_bytes(data + bytes(50_000))
    found, said = read(tmp_path / "a.caf")
    assert_onsets(found, plain_onsets())
    assert not said
