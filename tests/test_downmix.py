"""Several channels as one: nothing cancels or is lost, the same in blocks of any size and in the page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.downmix import Downmix
from hppnet.offline.reading import AudioError

from .bursts import RATE, assert_onsets, bursts, ffmpeg, onsets, plain_onsets, read
from .needs import needs

PAGE = Path(__file__).parents[1] / "realtime" / "web" / "page" / "downmix.js"


def hiss(level: float, seed: int = 5) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(len(bursts())).astype(np.float32)


def silence() -> np.ndarray:
    return np.zeros(len(bursts()), np.float32)


#: name -> channels, and words of the one line that is said of them (None: nothing is).
CASES = {
    "inverted": ([bursts(), -bursts()], "inverts channel 2; to use channel 1 alone: --input-channel 1"),
    "inverted and quieter": ([bursts(), -0.7 * bursts()], "the mix inverts channel 2"),
    "inverted, first channel quieter": ([-0.5 * bursts(), bursts()], "the mix inverts channel 2"),
    "two of three inverted": (
        [bursts(), -bursts(), -0.9 * bursts()],
        "(opposite polarity); the mix inverts channels 2, 3",
    ),
    "hiss on the right": ([bursts(), hiss(0.3)], "noise floor"),
    "hiss on the left": ([hiss(0.3), bursts()], "noise floor"),
    "left alone": ([bursts(), silence()], "channel 2 of 2 is silent"),
    "right alone": ([silence(), bursts()], "channel 1 of 2 is silent"),
    "one of eight": (
        [silence()] * 5 + [bursts()] + [silence()] * 2,
        "channels 1, 2, 3, 4, 5, 7, 8 of 8 are silent",
    ),
    "one of eight, noise on the others": ([hiss(1e-4, n) for n in range(7)] + [bursts()], None),
    "good stereo": ([bursts(), 0.8 * bursts() + hiss(1e-4)], None),
}


@pytest.mark.parametrize("name", CASES)
def test_every_onset_of_the_piano_is_there(tmp_path, name):
    channels, words = CASES[name]
    soundfile.write(tmp_path / "a.wav", np.stack(channels, axis=1), RATE, subtype="FLOAT")
    found, said = read(tmp_path / "a.wav")
    assert_onsets(found[1:] if "hiss" in name and found[0] < 0.1 else found, plain_onsets())
    assert len(said) == (words is not None)
    assert words is None or words in said[0]


def changing() -> np.ndarray:
    """Two channels that agree, oppose each other, agree again and lose one; 6 s."""
    t = np.arange(6 * RATE) / RATE
    left = 0.3 * np.sin(2 * np.pi * 440 * t) * np.exp(-4 * (t % 1))
    sound = np.stack([left, -left], axis=1) + 1e-4 * np.random.default_rng(0).standard_normal((len(t), 2))
    sound[3 * RATE : 4 * RATE, 1] = left[3 * RATE : 4 * RATE]
    sound[5 * RATE :, 1] = 0
    return sound.astype(np.float32)


@pytest.mark.parametrize("largest", [3, 50, 700, 40_000])
def test_blocks_of_any_size_give_the_same(largest):
    sound, drawn = changing(), np.random.default_rng(largest)
    mix, parts, at = Downmix(2, RATE), [], 0
    while at < len(sound):
        count = int(drawn.integers(1, largest + 1))
        parts.append(mix.feed(sound[at : at + count]))
        at += count
    np.testing.assert_array_equal(np.concatenate(parts), Downmix(2, RATE).feed(sound))


def test_good_stereo_is_exactly_the_mean():
    sound = np.stack([bursts(), 0.8 * bursts() + hiss(1e-4)], axis=1)
    np.testing.assert_array_equal(Downmix(2, RATE).feed(sound), sound.mean(axis=1))


def test_reset_forgets():
    mix, sound = Downmix(2, RATE), np.stack([bursts(), -bursts()], axis=1)
    first = mix.feed(sound)
    assert not np.array_equal(mix.feed(sound), first)
    mix.reset()
    np.testing.assert_array_equal(mix.feed(sound), first)


def test_rumble_that_looks_opposed_for_a_moment_inverts_nothing():
    """Less than a period of a low sound before the first note, of opposite sign in the two channels."""
    rumble = 0.01 * np.sin(2 * np.pi * 10 * np.arange(len(bursts())) / RATE).astype(np.float32)
    other = np.roll(bursts(), 2)
    mix = Downmix(2, RATE)
    mix.feed(np.stack([bursts() + rumble, other - rumble], axis=1)[: RATE // 20])
    assert mix.signs == [1.0, -1.0]
    mix.feed(np.stack([bursts() + rumble, other - rumble], axis=1)[RATE // 20 :])
    assert mix.signs == [1.0, 1.0]


def test_samples_that_are_not_numbers_do_not_stay():
    mix, sound = Downmix(2, RATE), np.stack([bursts(), -bursts()], axis=1)
    sound[100] = np.nan
    out = mix.feed(sound)
    assert_onsets(onsets(np.nan_to_num(out), RATE), plain_onsets())


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_page_does_the_same(tmp_path):
    sound = changing()
    sound.T.copy().astype("<f4").tofile(tmp_path / "in.f32")
    shutil.copy(PAGE, tmp_path / "downmix.mjs")
    (tmp_path / "run.mjs").write_text(
        """
        import fs from "fs";
        import { Downmix } from "./downmix.mjs";
        const bytes = fs.readFileSync("in.f32");
        const all = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
        const count = all.length / 2, mix = new Downmix(2, 16000), out = new Float32Array(count);
        for (let n = 0; n < count; n += 128) {
          const end = Math.min(count, n + 128);
          out.set(mix.feed([all.subarray(n, end), all.subarray(count + n, count + end)]), n);
        }
        fs.writeFileSync("out.f32", out);
        """
    )
    subprocess.run(["node", "run.mjs"], cwd=tmp_path, check=True)
    page = np.fromfile(tmp_path / "out.f32", "<f4")
    np.testing.assert_allclose(page, Downmix(2, RATE).feed(sound), atol=1e-6)  # rounding of single precision


def test_a_channel_can_be_chosen(tmp_path):
    later = np.roll(bursts(), RATE // 10)
    soundfile.write(tmp_path / "a.wav", np.stack([bursts(), later], axis=1), RATE)
    assert_onsets(read(tmp_path / "a.wav", channel=2)[0], [s + 0.1 for s in plain_onsets()])
    with pytest.raises(AudioError, match=r"channel 3 is not there, the recording has 2 channels"):
        read(tmp_path / "a.wav", channel=3)


@needs("ffmpeg")
@pytest.mark.parametrize(
    ("default", "expected"),
    [(1, 2), (None, 1), *(pytest.param(n, n + 1, marks=pytest.mark.slow) for n in (0, 2))],
)
def test_the_default_track_or_the_first_or_the_chosen_one(tmp_path, default, expected):
    for number in range(3):
        later = np.roll(bursts(), number * RATE // 10)
        soundfile.write(tmp_path / f"{number}.wav", later, RATE)
    inputs = [word for number in range(3) for word in ("-i", tmp_path / f"{number}.wav")]
    maps = [word for number in range(3) for word in ("-map", f"{number}:a")]
    flags = [w for n in range(3) for w in (f"-disposition:a:{n}", "default" if n == default else "0")]
    ffmpeg(*inputs, *maps, *flags, "-c:a", "flac", tmp_path / "a.mkv")

    def of_track(number: int) -> list[float]:
        return [s + (number - 1) / 10 for s in plain_onsets()]

    found, said = read(tmp_path / "a.mkv")
    assert_onsets(found, of_track(expected))
    (line,) = said
    assert line.startswith(
        f"3 audio tracks: track {expected} (the {'default' if default is not None else 'first'}"
    )
    for track in (1, 2, 3):
        found, said = read(tmp_path / "a.mkv", track=track)
        assert_onsets(found, of_track(track))
        assert not said
    with pytest.raises(AudioError, match="track 4 is not there, the file has 3 audio tracks"):
        read(tmp_path / "a.mkv", track=4)


def test_a_file_with_one_track_has_no_second(tmp_path):
    soundfile.write(tmp_path / "a.wav", bursts(), RATE)
    assert_onsets(read(tmp_path / "a.wav", track=1)[0], plain_onsets())
    with pytest.raises(AudioError, match="track 2 is not there, the file has 1 audio track"):
        read(tmp_path / "a.wav", track=2)
