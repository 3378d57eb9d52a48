"""Between the piano and the samples: codecs, gain control, rooms of any length, levels, clean excerpts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.training.data.augmentation import LOUDNESS_DB, Augmentation, at_another_level, in_the_world
from hppnet.training.data.dataset import TrainingRecording
from hppnet.training.data.microphones import by_opus, by_transform, coded, equaliser_db, gain_controlled
from hppnet.training.data.rooms_and_noises import FIRST_ARRIVAL, made_room, reverberation_s, shortened

from .sounds import piano_like
from .training_runs import PLAIN

RATE = 16_000
STROKES = {0.3: 60, 0.62: 64, 0.97: 67, 1.31: 72, 1.66: 55}


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    return piano_like(STROKES, 2.0).astype(np.float32)


def lag_s(before: np.ndarray, after: np.ndarray) -> float:
    """By how much ``after`` is late, from the correlation of both."""
    spectra = np.fft.rfft(before, 2 * len(before)), np.fft.rfft(after, 2 * len(before))
    alike = np.fft.irfft(np.conj(spectra[0]) * spectra[1])
    place = int(np.argmax(alike))
    return (place if place < len(before) else place - 2 * len(before)) / RATE


@pytest.mark.parametrize(
    "through",
    [
        partial(by_opus, kbit=12.0),
        partial(by_opus, kbit=40.0),
        partial(by_transform, window=512, snr_db=6.0, highest_hz=4000.0),
        partial(by_transform, window=1024, snr_db=12.0, highest_hz=7000.0),
        lambda samples: gain_controlled(samples, np.random.default_rng(0)),
    ],
)
def test_codecs_and_gain_control_change_the_sound_and_keep_its_time(
    through: Callable[[np.ndarray], np.ndarray], music: np.ndarray
) -> None:
    """Labels stay true to 2 ms, also of a sound that ends amid a codec's frame."""
    samples = music[:-77]
    changed = through(samples)
    assert changed.dtype == np.float32 and changed.shape == samples.shape
    assert abs(lag_s(samples, changed)) <= 0.002
    difference = changed * (np.dot(changed, samples) / np.dot(changed, changed)) - samples
    assert np.sqrt(np.mean(difference**2) / np.mean(samples**2)) > 0.01


def test_coarser_rounding_leaves_less_and_nothing_beyond_the_highest_frequency(music: np.ndarray) -> None:
    errors = [np.std(by_transform(music, 512, snr_db, 8000.0) - music) for snr_db in (20.0, 10.0, 4.0)]
    assert errors == sorted(errors) and errors[0] < 0.2 * np.std(music)
    power = np.abs(np.fft.rfft(by_transform(music + 0.01, 512, 10.0, 2000.0))) ** 2
    assert power[int(2200 / RATE * len(music)) :].sum() < 1e-3 * power.sum()


def test_what_is_too_short_for_a_codec_stays() -> None:
    for n in (0, 10, 1000):
        samples = np.ones(n, np.float32)
        assert coded(samples, np.random.default_rng(0)) is samples


def test_gain_control_evens_out_levels_and_never_looks_ahead() -> None:
    samples = 0.05 * np.sin(np.arange(6 * RATE) * 0.3).astype(np.float32)
    samples[2 * RATE : 4 * RATE] *= 8
    evened = 0
    for seed in range(20):
        out = gain_controlled(samples, np.random.default_rng(seed))
        gain = out[1:] / np.where(samples[1:] == 0, 1, samples[1:])
        assert np.abs(np.diff(gain[RATE : 2 * RATE - 1])).max() < 1e-3  # slow, and unmoved by what comes
        soft, loud = np.std(out[RATE : 2 * RATE]), np.std(out[3 * RATE : 4 * RATE])
        evened += loud / soft < 6
    assert evened > 15


def test_rooms_are_as_long_as_asked() -> None:
    for low, high in ((0.2, 0.3), (1.2, 1.6)):
        times = [reverberation_s(made_room(np.random.default_rng(seed), (low, high))) for seed in range(60)]
        assert 0.4 * low < np.median(times) < 1.3 * high, (low, high)
    t = np.arange(2 * RATE) / RATE
    measured = np.random.default_rng(0).standard_normal(len(t)) * 10 ** (-3 * t / 1.5)
    assert reverberation_s(measured) == pytest.approx(1.5, rel=0.05)
    assert reverberation_s(shortened(measured, 1.5, 0.4)) == pytest.approx(0.4, rel=0.05)
    assert reverberation_s(np.zeros(100)) == 0


def test_long_measured_rooms_are_shortened(tmp_path: Path) -> None:
    response = np.zeros(2 * RATE, np.float32)
    t = np.arange(2 * RATE - FIRST_ARRIVAL) / RATE
    response[FIRST_ARRIVAL:] = 0.3 * np.random.default_rng(0).standard_normal(len(t)) * 10 ** (-3 * t / 3.0)
    response[FIRST_ARRIVAL] = 0.9
    soundfile.write(tmp_path / "hall.wav", response, RATE)
    how = replace(PLAIN, room=1.0, made_room=0.0, fully_wet=1.0, rooms=str(tmp_path), t60_s=(0.2, 0.5))
    click = np.zeros(3 * RATE, np.float32)
    click[0] = 0.5
    for seed in range(10):
        wet = in_the_world(click, how, np.random.default_rng(seed))
        assert reverberation_s(wet) < 0.6


def test_noise_is_in_the_room_too(tmp_path: Path) -> None:
    """A knock amid silence has a tail where noise is in the room, and none where it is not."""
    (tmp_path / "noise").mkdir()
    knock = np.zeros(RATE)
    knock[100] = 0.9
    soundfile.write(tmp_path / "noise" / "knock.wav", knock, RATE)
    how = replace(PLAIN, room=1.0, made_room=1.0, t60_s=(1.0, 1.6), noise=1.0, made_noise=0.0)
    how = replace(how, noises=str(tmp_path / "noise"), snr_db=(0.0, 0.0))
    piano = np.zeros(RATE, np.float32)
    piano[-1] = 0.5  # its own tail lies beyond the end

    def share(noise_in_room: float) -> float:
        """Samples of noise that are not silent."""
        some = replace(how, noise_in_room=noise_in_room)
        heard = [in_the_world(piano, some, np.random.default_rng(seed))[:-50] for seed in range(5)]
        return float(np.mean(np.abs(heard) > 1e-6))

    assert share(0.0) < 0.01 < 0.2 < share(1.0)


def test_one_excerpt_in_five_is_clean() -> None:
    how = Augmentation()
    drawn = [how.drawn(np.random.default_rng(seed)) for seed in range(1000)]
    clean = [one for one in drawn if one is not how]
    assert 0.16 < len(clean) / 1000 < 0.24
    samples = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert np.array_equal(in_the_world(samples, clean[0], np.random.default_rng(1)), samples)
    assert not equaliser_db(clean[0], np.random.default_rng(1)).any()
    assert (clean[0].mix, clean[0].no_piano) == (0, 0) and clean[0].gain_db == how.gain_db


def test_a_recording_s_own_level_tells_nothing_where_they_are_levelled(music: np.ndarray) -> None:
    heard = []
    for level in (0.02, 0.5):
        stored = np.round(32767 * music / np.abs(music).max() * level).astype(np.int16)
        piece = TrainingRecording("a", stored, np.zeros((0, 4)))
        how = replace(PLAIN, levelled=True, gain_db=(-3.0, -3.0))
        out = at_another_level(stored / 32768, how, np.random.default_rng(0), piece.loudness_db)
        heard.append(out)
        loud = TrainingRecording("b", np.round(32768 * out).astype(np.int16), np.zeros((0, 4))).loudness_db
        assert loud == pytest.approx(LOUDNESS_DB - 3, abs=0.1)
    assert np.std(heard[0]) == pytest.approx(np.std(heard[1]), rel=0.01)
    assert TrainingRecording("c", np.zeros(0, np.int16), np.zeros((0, 4))).loudness_db < -80


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clean": 1.2}, "clean must lie between 0 and 1, got 1.2"),
        ({"t60_s": (0.0, 1.0)}, "t60_s must be above 0"),
        ({"snr_db": (20.0, 5.0)}, "snr_db must be two numbers in order, got 20, 5"),
    ],
)
def test_settings_that_cannot_be_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Augmentation(**changes)  # type: ignore[arg-type]
