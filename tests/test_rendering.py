"""Rendering performances: touch and tuning in the MIDI, and real sound where FluidSynth is installed."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest

from hppnet.model.notes import Note, write_midi
from hppnet.model.tuning import estimate_tuning
from hppnet.training.data.playing_style import PlayingStyle, play_with
from hppnet.training.data.rendering import render

from .needs import SOUND_FONTS, needs

NOTES = [Note(0.5 + 0.25 * n, 0.7 + 0.25 * n, 50 + (5 * n) % 30, 64) for n in range(12)]


@pytest.fixture
def performance(tmp_path: Path) -> mido.MidiFile:
    write_midi(NOTES, tmp_path / "a.mid")
    return mido.MidiFile(tmp_path / "a.mid")


def test_touch_bends_velocities_and_keeps_times(performance: mido.MidiFile) -> None:
    bent = play_with(performance, PlayingStyle(velocity_exponent=2.0))
    struck = [m.velocity for m in bent if m.type == "note_on" and m.velocity]
    assert struck == [round(127 * (64 / 127) ** 2)] * len(NOTES)
    assert bent.length == pytest.approx(performance.length)


def test_each_key_is_tuned_and_unisons_double_the_notes(performance: mido.MidiFile) -> None:
    played = play_with(performance, PlayingStyle(cents=50.0, velocity_jitter=9.0, unison_cents=3.0, seed=1))
    tuned = [m.data for m in played if m.type == "sysex" and m.data[4] == 0]
    key, semitone, high, low = tuned[0][6:10]  # key 0, half a semitone up
    assert (key, semitone, high * 128 + low) == (0, 0, 8192)
    voices = [
        [(m.note, m.velocity) for m in played if m.type == "note_on" and m.channel == c] for c in (0, 1)
    ]
    assert voices[0] == voices[1] and len({velocity for _, velocity in voices[0]}) > 3
    assert played.length == pytest.approx(performance.length)
    alone = play_with(performance, PlayingStyle(cents=50.0, velocity_jitter=9.0, seed=1))
    assert [(m.note, m.velocity) for m in alone if m.type == "note_on"] == voices[0]  # labels: the same


@needs("fluidsynth")
def test_rendered_notes_sound_when_and_as_high_as_they_should(performance: mido.MidiFile) -> None:
    plain = render(performance, SOUND_FONTS[0])
    assert 0.5 < np.abs(plain).max() < 0.75
    assert np.abs(plain[: int(0.49 * 16_000)]).max() < 1e-3 < np.abs(plain[8000:8800]).max()
    sharp = render(play_with(performance, PlayingStyle(cents=30.0)), SOUND_FONTS[0])
    risen = estimate_tuning([sharp], 16_000).cents - estimate_tuning([plain], 16_000).cents
    assert risen == pytest.approx(30, abs=5)


def test_without_fluidsynth_it_says_what_to_install(
    performance: mido.MidiFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="apt-get install fluidsynth"):
        render(performance, Path("piano.sf2"))
