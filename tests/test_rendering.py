"""Rendering performances: touch and tuning in the MIDI, and real sound where FluidSynth is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import mido
import numpy as np
import pytest

from hppnet.model.notes import Note, write_midi
from hppnet.model.tuning import estimate_cents
from hppnet.training.rendering import Touch, play_with, render

NOTES = [Note(0.5 + 0.25 * n, 0.7 + 0.25 * n, 50 + (5 * n) % 30, 64) for n in range(12)]
FONTS = sorted(Path("/usr/share/sounds").glob("sf*/*.sf[23]"), key=lambda p: p.stat().st_size)


@pytest.fixture
def performance(tmp_path: Path) -> mido.MidiFile:
    write_midi(NOTES, tmp_path / "a.mid")
    return mido.MidiFile(tmp_path / "a.mid")


def test_touch_bends_velocities_and_keeps_times(performance: mido.MidiFile) -> None:
    bent = play_with(performance, Touch(velocity_exponent=2.0))
    struck = [m.velocity for m in bent if m.type == "note_on" and m.velocity]
    assert struck == [round(127 * (64 / 127) ** 2)] * len(NOTES)
    assert bent.length == pytest.approx(performance.length)


def test_fine_tuning_is_the_registered_parameter(performance: mido.MidiFile) -> None:
    controls = {
        m.control: m.value for m in play_with(performance, Touch(cents=50.0)) if m.type == "control_change"
    }
    assert (controls[101], controls[100]) == (0, 1)
    assert controls[6] * 128 + controls[38] == 8192 + 4096


@pytest.mark.skipif(not shutil.which("fluidsynth") or not FONTS, reason="needs fluidsynth and a sound font")
def test_rendered_notes_sound_when_and_as_high_as_they_should(performance: mido.MidiFile) -> None:
    plain = render(performance, FONTS[0])
    assert 0.5 < np.abs(plain).max() < 0.75
    assert np.abs(plain[: int(0.49 * 16_000)]).max() < 1e-3 < np.abs(plain[8000:8800]).max()
    sharp = render(play_with(performance, Touch(cents=30.0)), FONTS[0])
    risen = estimate_cents([sharp], 16_000) - estimate_cents([plain], 16_000)
    assert risen == pytest.approx(30, abs=5)


def test_without_fluidsynth_it_says_what_to_install(
    performance: mido.MidiFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match="apt-get install fluidsynth"):
        render(performance, Path("piano.sf2"))
