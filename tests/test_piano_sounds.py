"""What renderings tell of releases: keys that are heard coming up, and a pedal of any depth."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import Note
from hppnet.training.data.performances import notes_of, presses_of
from hppnet.training.data.piano_sounds import KeyUp, recorded_releases, with_releases
from hppnet.training.data.playing_style import DEPTHS, PedalControl, PlayingStyle, controlled, play_with
from hppnet.training.data.rendering import Choices, Rendered, render

from .midi_files import performance

RATE = 16_000
FONTS = sorted(Path("/usr/share/sounds").glob("sf*/*.sf[23]"), key=lambda p: p.stat().st_size)
needs_fluidsynth = pytest.mark.skipif(
    not shutil.which("fluidsynth") or not FONTS, reason="needs fluidsynth and a sound font"
)
#: A note released while the pedal is at 70, and one while it is at 50.
HALF = [(0.1, ("pedal", 70)), (0.2, ("on", 60, 64)), (0.5, ("off", 60)), (1.0, ("pedal", 50))]
HALF += [(1.2, ("on", 64, 64)), (1.5, ("off", 64)), (2.0, ("pedal", 0)), (3.0, ("on", 67, 64))]
HALF += [(3.2, ("off", 67))]


@pytest.fixture
def releases(tmp_path: Path) -> Path:
    """Key releases of two keys: noise that begins after 50 ms, that of the lower key twice as loud."""
    folder = tmp_path / "releases"
    folder.mkdir()
    for key, level in ((40, 0.4), (80, 0.2)):
        sound = np.zeros(4_000)
        sound[800:1_600] = level * np.random.default_rng(key).uniform(0.5, 1, 800)
        soundfile.write(folder / f"{key:03d}.flac", sound, RATE)
    return folder


def test_a_key_that_comes_up_is_heard_when_and_as_loud_as_it_should(releases: Path) -> None:
    notes = [Note(0.2, 1.0, 45, 64), Note(0.5, 2.0, 79, 64)]
    samples = np.full(3 * RATE, 0.1, np.float32)
    how = KeyUp(level_db=-6.0, spread_db=0.0, delay_s=0.01, spread_s=0.0)
    heard = with_releases(samples, notes, releases, how) - samples
    for at_s, after_s in ((1.01, 1.06), (2.01, 2.06)):
        assert np.abs(heard[int((at_s - 0.3) * RATE) : int((at_s - 0.001) * RATE)]).max() < 1e-6
        part = heard[int(at_s * RATE) : int(after_s * RATE)]
        assert np.sqrt(np.mean(part**2)) == pytest.approx(0.05, rel=0.02)  # 6 dB below, whatever the key
    other = with_releases(samples, notes, releases, replace(how, spread_db=3.0, spread_s=0.01)) - samples
    assert np.flatnonzero(other)[0] != np.flatnonzero(heard)[0]


def test_keys_are_heard_in_two_thirds_of_the_pieces_at_any_level(releases: Path) -> None:
    choices = Choices((Path("a.sf2"),), (1.0,), key_releases=releases)
    levels = np.array([choices.of(str(n)).key_up.level_db for n in range(300)])
    assert 0.25 < np.mean(levels == -np.inf) < 0.42
    loud = levels[np.isfinite(levels)]
    assert loud.min() < -30 and loud.max() > -18
    samples = np.zeros(RATE, np.float32)
    assert with_releases(samples, [Note(0.1, 0.2, 60, 64)], releases, KeyUp()) is samples


def test_a_file_that_is_no_key_is_named(releases: Path) -> None:
    (releases / "040.flac").rename(releases / "low.flac")
    with pytest.raises(ValueError, match=r"low.flac: expected a MIDI key as the name, such as 060.flac"):
        recorded_releases(releases)


@pytest.mark.parametrize(("threshold", "wanted"), [(40, (0.1, 2.0)), (64, (0.1, 1.0)), (71, None)])
def test_the_pedal_is_down_from_its_threshold_on(threshold: int, wanted: tuple[float, float] | None) -> None:
    """Labels and sound follow the same control; the keys stay as they were."""
    played = performance(HALF)
    changed = play_with(played, PlayingStyle(pedal=PedalControl(threshold, part=10, longest_octaves=3.0)))
    presses = [tuple(round(at_s, 3) for at_s in press) for press in presses_of(changed)]
    assert presses == ([wanted] if wanted else [])
    for before, after in zip(notes_of(played, "keys"), notes_of(changed, "keys"), strict=True):
        assert after == replace(before, onset_s=after.onset_s, offset_s=after.offset_s)
        assert abs(after.onset_s - before.onset_s) + abs(after.offset_s - before.offset_s) < 1e-6


def test_half_a_pedal_lengthens_releases_the_more_the_deeper_it_is() -> None:
    how = PedalControl(threshold=80, part=30, longest_octaves=3.0, damping_octaves=-0.5)
    depths = [how.depth(value) for value in range(128)]
    assert depths[50] == 0 and depths[80] == depths[127] == DEPTHS and depths == sorted(depths)
    assert (how.timecents(0), how.timecents(DEPTHS)) == (-600, 3600)
    played = performance(HALF)
    assert controlled(played, PedalControl()) is played
    told = [m for m in controlled(played, how) if m.type == "control_change"]
    assert [m.value for m in told if m.control == 64] == [0, 0, 0]
    made = [m.value for m in told if m.control == 6]
    assert len(made) == 3 and made[1] > made[2] == made[0]  # to 70, and to 50 and 0 the same


def test_plain_leaves_the_pedal_and_any_pedal_draws_its_own(tmp_path: Path) -> None:
    played = performance(HALF)
    played.save(tmp_path / "a.mid")
    choices = Choices((Path("a.sf2"),), (1.0,), pedal_threshold=(40, 100))
    drawn = [choices.of(str(n)).style.pedal.threshold for n in range(300)]
    assert min(drawn) < 45 and max(drawn) > 95 and all(40 <= one <= 100 for one in drawn)
    low = next(str(n) for n in range(300) if drawn[n] <= 50)
    take = Rendered(low, tmp_path, tmp_path / "a.mid", choices).take("keys")
    assert take.presses is not None and len(take.presses) == 1  # held at 50, too
    plain = Rendered(low, tmp_path, tmp_path / "a.mid", replace(choices, plain=True)).take("keys")
    assert plain.presses == presses_of(played)


@needs_fluidsynth
def test_a_note_released_at_half_a_pedal_dies_away_slower() -> None:
    def left(value: int) -> float:
        """How loud the note is 0.3 s after its release, in dB against its last 0.1 s."""
        played = performance(
            [(0.1, ("pedal", value)), (0.2, ("on", 60, 64)), (0.7, ("off", 60)), (2, ("pedal", 0))]
        )
        touch = PlayingStyle(pedal=PedalControl(threshold=80, part=30, longest_octaves=4.0))
        samples = render(play_with(played, touch), FONTS[0])
        rms = [float(np.sqrt(np.mean(samples[int(at * RATE) :][:1_600] ** 2))) for at in (0.6, 1.0)]
        return 20 * np.log10(rms[1] / rms[0] + 1e-9)

    damped, half, free = left(0), left(79), left(80)
    assert damped < half - 3 and half < free - 0.5
