"""Rooms, noise, detuning and gain: the labels stay true, and a name decides what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note
from hppnet.training.evaluate.conditions import Conditions, Listening, rms

from .sounds import three_notes
from .tolerances import assert_same_sums

RATE = 16_000


def impulses(*times_s: float, seconds: float = 3.0) -> np.ndarray:
    sound = np.zeros(round(seconds * RATE), dtype=np.float32)
    sound[[round(t * RATE) for t in times_s]] = 0.5
    return sound


@pytest.fixture
def rooms(tmp_path) -> Path:
    """Direct sound at sample 16, and an echo 50 ms later at another time in each."""
    (tmp_path / "rooms").mkdir()
    for number in range(20):
        response = np.zeros(4000)
        response[[16, 816 + 20 * number]] = 0.9, 0.3
        soundfile.write(tmp_path / "rooms" / f"{number}.flac", response, RATE)
    return tmp_path / "rooms"


@pytest.fixture
def noises(tmp_path) -> Path:
    (tmp_path / "noise").mkdir()
    for number in range(20):
        noise = 0.05 * np.random.default_rng(number).standard_normal(RATE)
        soundfile.write(tmp_path / "noise" / f"{number}.wav", noise, 2 * RATE)
    return tmp_path / "noise"


def test_nothing_is_changed_by_default():
    sound = three_notes()
    assert not Conditions().any and Conditions().time_ratio == 1
    np.testing.assert_array_equal(Conditions().apply(sound, "a"), sound)


@pytest.mark.parametrize("cents", [-50, 30])
def test_detuned_sound_is_sharper_and_its_labels_follow(cents):
    conditions = Conditions(detune_cents=cents)
    heard = conditions.apply(impulses(1.0, 2.5), "a")
    assert len(heard) == pytest.approx(3 * RATE * conditions.time_ratio, abs=1)
    labels = Listening(conditions=conditions).notes([Note(1.0, 2.5, 60, 64)])
    peaks = [np.argmax(heard[: 2 * RATE]) / RATE, (2 * RATE + np.argmax(heard[2 * RATE :])) / RATE]
    assert [labels[0].onset_s, labels[0].offset_s] == pytest.approx(peaks, abs=1e-4)
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(conditions.apply(tone, "a")[: 3 * RATE] * np.hanning(3 * RATE)))
    assert np.argmax(spectrum) / 3 == pytest.approx(440 * 2 ** (cents / 1200), abs=0.4)


def test_a_room_keeps_times_and_level(rooms):
    sound = impulses(1.0, 2.5)
    heard = Conditions(rooms=rooms).apply(sound, "a")
    assert set(np.argsort(np.abs(heard))[-2:]) == {RATE, round(2.5 * RATE)}
    assert len(heard) == len(sound) and rms(heard) == pytest.approx(rms(sound), rel=1e-5)
    assert np.count_nonzero(np.abs(heard) > 0.05) == 4  # the echoes


def test_noise_lies_as_far_below_the_recording_as_was_asked(noises):
    sound = three_notes()
    for snr_db in (0, 20):
        added = Conditions(noises=noises, snr_db=snr_db).apply(sound, "a") - sound
        assert 20 * np.log10(rms(sound) / rms(added)) == pytest.approx(snr_db, abs=0.01)
    # Noise shorter than the recording goes round: there is no hole at its end.
    assert rms(added[-1000:]) == pytest.approx(rms(added), rel=0.2)


def test_gain_comes_last(noises):
    sound = three_notes()
    noisy = Conditions(noises=noises).apply(sound, "a")
    louder = Conditions(noises=noises, gain_db=6).apply(sound, "a")
    assert_same_sums(louder, noisy * 10 ** (6 / 20), 10)


def test_the_name_decides_what_is_drawn(rooms, noises):
    sound = three_notes()
    conditions = Conditions(rooms=rooms, noises=noises, snr_db=10)
    first = conditions.apply(sound, "a")
    np.testing.assert_array_equal(conditions.apply(sound, "a"), first)
    assert np.abs(conditions.apply(sound, "b") - first).max() > 0.001
    # The noise alone is the noise that was laid over the room.
    in_room = Conditions(rooms=rooms).apply(sound, "a")
    alone = Conditions(noises=noises, snr_db=10).apply(sound, "a") - sound
    assert_same_sums(first - in_room, alone, len(sound))  # a room adds up that many samples


def test_silence_stays_silence(rooms, noises):
    silence = np.zeros(RATE, dtype=np.float32)
    conditions = Conditions(detune_cents=10, rooms=rooms, noises=noises, gain_db=10)
    assert np.abs(conditions.apply(silence, "a")).max() < 1e-12


def test_a_room_may_have_any_rate(tmp_path):
    """Its first arrival is at 1 ms, whatever the rate: the timing stays."""
    response = np.zeros(4800)
    response[48], response[2400] = 0.9, 0.5
    soundfile.write(tmp_path / "room.wav", response, 48_000)
    sound = impulses(1.0)
    heard = Conditions(rooms=tmp_path).apply(sound, "a")
    assert np.abs(heard).argmax() == np.abs(sound).argmax() == RATE
    assert np.abs(heard[RATE + 700 : RATE + 1000]).argmax() == 784 - 700


def test_what_cannot_be_used_is_named(tmp_path, rooms, noises):
    sound = three_notes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected sounds"):
        Conditions(rooms=tmp_path / "empty").check()
    for path in rooms.iterdir():
        path.write_text("no sound")
    with pytest.raises(ValueError, match=r"\.flac: expected sound"):
        Conditions(rooms=rooms).apply(sound, "a")
    for wrong in ({"detune_cents": 1300.0}, {"gain_db": float("nan")}, {"snr_db": 1000.0}):
        with pytest.raises(ValueError, match="expected a"):
            Conditions(**wrong)
