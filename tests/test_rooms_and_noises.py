"""What training lays around a piano: made-up rooms, noises and voices; and keys struck again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import mido
import numpy as np
import pytest

from hppnet.model.notes import Note, write_midi
from hppnet.training.data.augmentation import Augmentation
from hppnet.training.data.microphones import equaliser_db
from hppnet.training.data.performances import (
    SHORTEST_S,
    notes_of,
    presses_of,
    with_added_chords,
    with_repeated_notes,
)
from hppnet.training.data.playing_style import PlayingStyle, play_with
from hppnet.training.data.rooms_and_noises import (
    FIRST_ARRIVAL,
    KINDS,
    made_noise,
    made_room,
    random_shape,
    recorded_noise,
    shaped_in_time,
)

RATE = 16_000
Change = Callable[[mido.MidiFile, float, np.random.Generator], mido.MidiFile]


def energy_s(response: np.ndarray) -> float:
    """The time up to which half of the energy after the direct sound has come."""
    energy = np.cumsum(response[FIRST_ARRIVAL + 1 :].astype(float) ** 2)
    return float(np.searchsorted(energy, energy[-1] / 2) / RATE)


def test_made_up_rooms_reach_from_close_to_far_and_from_dry_to_long() -> None:
    rooms = [made_room(np.random.default_rng(seed)) for seed in range(300)]
    near = [10 * np.log10(1 / np.sum(room[FIRST_ARRIVAL + 1 :].astype(float) ** 2)) for room in rooms]
    assert np.percentile(near, 10) < -10 and np.percentile(near, 90) > 7
    middles = [energy_s(room) for room in rooms]
    # An exponential that falls by 60 dB has half of its energy in a twentieth of that time.
    assert np.percentile(middles, 10) < 0.03 and np.percentile(middles, 95) > 1.6 / 20


def test_highs_die_away_sooner_than_lows_in_most_rooms() -> None:
    sooner = 0
    for seed in range(100):
        spectra = np.abs(np.fft.rfft(made_room(np.random.default_rng(seed))[200:2600].reshape(-1, 600))) ** 2
        lows, highs = spectra[:, 5:20].sum(1), spectra[:, 150:].sum(1)
        sooner += highs[-1] / highs[0] < lows[-1] / lows[0]
    assert sooner > 65


def test_a_shape_has_its_tilt_and_noise_its_shape() -> None:
    rng = np.random.default_rng(0)
    tilt = np.mean([random_shape(rng, step=1.0, tilt=-3.0) for _ in range(200)], axis=0)
    assert tilt[1] - tilt[64] == pytest.approx(18, abs=1)  # six octaves
    level_db = np.where(np.arange(129) < 64, 0.0, -60.0)
    noise = shaped_in_time(rng, RATE, lambda t: 10 ** (level_db[:, None] / 20) * (t < 0.5))
    assert len(noise) == RATE and np.std(noise[7000:7800]) / np.std(noise[:800]) == pytest.approx(1, abs=0.2)
    assert np.abs(noise[8300:]).max() == 0
    power = np.abs(np.fft.rfft(noise[:8000])) ** 2
    assert power[2200:].sum() < 1e-3 * power[:1800].sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 400, RATE])
def test_every_made_up_noise_is_as_long_as_asked_and_none_like_another(kind: str, n: int) -> None:
    sounds = [made_noise(n, np.random.default_rng(seed), kind) for seed in range(4)]
    assert all(sound.shape == (n,) and np.isfinite(sound).all() for sound in sounds)
    if n == RATE:
        assert all(sound.std() > 1e-4 for sound in sounds)
        assert abs(np.corrcoef(sounds[0], sounds[1])[0, 1]) < 0.3


def test_recorded_noise_sounds_faster_and_slower() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(4 * RATE) / RATE)
    rng = np.random.default_rng(0)
    found = [
        float(np.abs(np.fft.rfft(recorded_noise(RATE, [tone, 0.5 * tone], rng))).argmax()) for _ in range(30)
    ]
    assert 700 <= min(found) < 850 and 1200 < max(found) <= 1420
    assert len(recorded_noise(RATE, [tone[:300]], rng)) == RATE  # a short one comes again and again


def performance(notes: list[Note], folder: Path) -> mido.MidiFile:
    write_midi(notes, folder / "a.mid")
    return mido.MidiFile(folder / "a.mid")


def pedalled_performance(notes: list[Note], folder: Path) -> mido.MidiFile:
    """With a press of the pedal, and silence at the end."""
    played = performance(notes, folder)
    played.tracks[-1][-1].time += 3000
    played.tracks[-1].insert(0, mido.Message("control_change", control=64, value=100, time=5))
    return played


def with_length_and_pedal_of(played: mido.MidiFile, change: Change) -> mido.MidiFile:
    """All notes changed; fails if the length or the pedal does not stay."""
    changed = change(played, 1.0, np.random.default_rng(1))
    assert changed.length == pytest.approx(played.length, abs=1e-3)
    assert np.allclose(presses_of(changed), presses_of(played), atol=1e-3)
    return changed


def test_keys_struck_again_keep_to_their_key_and_their_time(tmp_path: Path) -> None:
    notes = [Note(1.0 * n, 1.0 * n + 0.6, 40 + n, 80) for n in range(30)]
    notes += [Note(0.3 + 0.5 * n, 0.35 + 0.5 * n, 90, 50) for n in range(40)]
    played = pedalled_performance(notes, tmp_path)
    before = notes_of(played, "keys")
    after = notes_of(with_length_and_pedal_of(played, with_repeated_notes), "keys")
    for note in before:  # what was played is there
        near = [n for n in after if n.pitch == note.pitch and abs(n.onset_s - note.onset_s) < 1e-3]
        assert [n.velocity for n in near] == [note.velocity]
    assert len(after) > 1.8 * len(before)
    assert min(n.offset_s - n.onset_s for n in after) > 0.02
    key = sorted((n.onset_s, n.offset_s) for n in after if n.pitch == 90)
    assert all(off < on for (_, off), (on, _) in pairwise(key))
    assert after[-1].offset_s <= before[-1].offset_s + 1 + SHORTEST_S


def test_without_a_share_the_notes_stay(tmp_path: Path) -> None:
    notes = [Note(0.1 * n, 0.1 * n + 0.15, 60 + n % 3, 30 + n) for n in range(40)]
    played = performance(notes, tmp_path)
    same = notes_of(with_repeated_notes(played, 0.0, np.random.default_rng(0)), "keys")
    for one, other in zip(notes_of(played, "keys"), same, strict=True):
        assert (one.pitch, one.velocity) == (other.pitch, other.velocity)
        assert abs(one.onset_s - other.onset_s) + abs(one.offset_s - other.offset_s) < 1e-3


def test_a_key_that_comes_up_as_it_is_struck_again_keeps_both_strokes() -> None:
    """Files write the earlier stroke's release after the later stroke of the same moment, too."""
    track = mido.MidiTrack(
        mido.Message(kind, note=60, velocity=64, time=time)
        for kind, time in (("note_on", 480), ("note_on", 480), ("note_off", 0), ("note_off", 480))
    )
    played = mido.MidiFile(type=0, tracks=[track])
    for share in (0.0, 1.0):
        after = notes_of(with_repeated_notes(played, share, np.random.default_rng(2)), "keys")
        assert {0.5, 1.0} <= {round(n.onset_s, 3) for n in after}
        assert after[-1].offset_s >= 1.5 - 1e-3


def test_how_often_keys_are_struck_again_leaves_all_else_that_a_seed_chooses() -> None:
    plain = [PlayingStyle.random(np.random.default_rng(seed)) for seed in range(200)]
    again = [touch.with_repeats(0.75) for touch in plain]
    assert [replace(touch, restrikes=0.0) for touch in again] == plain
    assert 130 < sum(touch.restrikes > 0 for touch in again) < 170
    assert all(touch.with_repeats(0.0) == touch for touch in plain)


def test_what_is_played_with_a_touch_has_its_strokes(tmp_path: Path) -> None:
    played = performance([Note(0.5 * n, 0.5 * n + 0.4, 40 + n, 80) for n in range(40)], tmp_path)
    touch = PlayingStyle(restrikes=0.5, unison_cents=2.0, seed=3)
    labels = notes_of(play_with(played, replace(touch, unison_cents=0.0)), "keys")
    sounding = [m for m in play_with(played, touch) if m.type == "note_on" and m.velocity]
    assert len(labels) > 50 and len(sounding) == 2 * len(labels)  # the same strokes, on both strings


def test_another_soundboard_is_uneven_from_tone_to_tone() -> None:
    """Bins of one key are alike, those of keys apart are not; up to 3 dB, and nothing where it is 0."""
    how = Augmentation(eq_db=0, band_limit=0, uneven_db=3, resonances_db=0)
    curves = np.stack([equaliser_db(how, np.random.default_rng(seed)) for seed in range(400)])
    assert curves.dtype == np.float32 and np.abs(curves.mean(0)).max() < 0.4
    assert np.std(curves) == pytest.approx(3 / np.sqrt(3), rel=0.1)  # of up to 3, evenly drawn
    assert max(np.std(curve) for curve in curves) < 3.6
    alike = np.mean(curves[:, 1:] * curves[:, :-1]) / np.mean(curves**2)
    apart = np.mean(curves[:, 12:] * curves[:, :-12]) / np.mean(curves**2)
    assert alike > 0.8 and abs(apart) < 0.1
    assert not equaliser_db(replace(how, uneven_db=0), np.random.default_rng(0)).any()


def test_other_keys_join_a_stroke_and_what_was_played_stays(tmp_path: Path) -> None:
    notes = [Note(0.25 * n, 0.25 * n + 0.4, 30 + 7 * (n % 9), 40 + n) for n in range(60)]
    played = pedalled_performance(notes, tmp_path)
    before = notes_of(played, "keys")
    after = notes_of(with_length_and_pedal_of(played, with_added_chords), "keys")
    together = []
    for note in before:
        near = [n for n in after if -1e-3 < n.onset_s - note.onset_s < 0.011]
        assert [n.velocity for n in near if n.pitch == note.pitch] == [note.velocity]
        assert all(0.6 * note.velocity - 1 <= n.velocity <= 1.2 * note.velocity for n in near)
        together.append(len(near))
    assert max(together) > 7 and len(after) == sum(together)
    for pitch in {n.pitch for n in after}:
        key = sorted((n.onset_s, n.offset_s) for n in after if n.pitch == pitch)
        assert all(off < on for (_, off), (on, _) in pairwise(key))


def test_how_often_chords_are_added_leaves_all_else_that_a_seed_chooses(tmp_path: Path) -> None:
    plain = [PlayingStyle.random(np.random.default_rng(seed)) for seed in range(200)]
    chords = [style.with_chords(0.5) for style in plain]
    assert [replace(style, chords=0.0) for style in chords] == plain
    assert 80 < sum(style.chords > 0 for style in chords) < 120
    played = performance([Note(0.3 * n, 0.3 * n + 0.2, 60, 64) for n in range(40)], tmp_path)
    one = play_with(played, replace(PlayingStyle(), chords=0.3))
    assert len(notes_of(one, "keys")) > len(notes_of(played, "keys"))
