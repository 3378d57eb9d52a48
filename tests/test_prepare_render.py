"""``hppnet prepare render``: what is chosen for a piece, its labels, rooms, and real sound by FluidSynth."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.training.data.dataset import read_notes
from hppnet.training.data.labels import read_presses
from hppnet.training.data.performances import presses_of, read_performance
from hppnet.training.data.playing_style import PlayingStyle
from hppnet.training.data.rendering import Choice, Choices, Rendered, in_its_room
from hppnet.training.data.sounds import files_in
from hppnet.training.prepare.convert import How, attempt

from .midi_files import KEYS, SOUNDING, pedalled, performance
from .needs import SOUND_FONTS, needs

needs_fluidsynth = needs("fluidsynth")
CHOICES = Choices((Path("a.sf2"), Path("b.sf3")), (1.0, 3.0), (Path("hall.wav"), Path("bath.wav")), 0.4)


def prepare(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["prepare", "render", *map(str, arguments), "--jobs", "1"])


def test_a_choice_depends_on_seed_and_name_alone() -> None:
    assert CHOICES.of("x") == CHOICES.of("x") != CHOICES.of("y")
    other = Choices(CHOICES.soundfonts, CHOICES.weights, CHOICES.rooms, 0.4, seed=1)
    assert other.of("x") != CHOICES.of("x")


def test_pianos_come_by_weight_and_rooms_by_chance() -> None:
    drawn = [CHOICES.of(str(n)) for n in range(800)]
    pianos = Counter(choice.soundfont.name for choice in drawn)
    assert 2.2 < pianos["b.sf3"] / pianos["a.sf2"] < 4.2
    rooms = Counter(choice.room for choice in drawn)
    assert 0.5 < rooms[None] / 800 < 0.7 and len(rooms) == 3
    assert len({choice.style for choice in drawn}) == 800


def test_plain_is_as_played_whatever_the_name(tmp_path: Path) -> None:
    plain = replace(CHOICES, plain=True)
    drawn = {replace(plain.of(str(n)), soundfont=Path()) for n in range(20)}
    assert len(drawn) == 1 and drawn.pop().room is None
    pedalled(tmp_path / "a.mid")
    notes = Rendered("a", tmp_path, tmp_path / "a.mid", plain).take("keys").notes
    assert [(n.onset_s, n.pitch, n.velocity) for n in notes] == [(row[0], *row[2:]) for row in KEYS]
    assert CHOICES.settings().keys() != plain.settings().keys()  # the one never goes on with the other


def test_labels_follow_the_touch_and_unisons_are_no_notes(tmp_path: Path) -> None:
    pedalled(tmp_path / "a.mid")
    names = (str(n) for n in range(100))
    name = next(n for n in names if CHOICES.of(n).style.unison_cents > 0)
    for note_ends, wanted in (("keys", KEYS), ("sounding", SOUNDING)):
        notes = Rendered(name, tmp_path, tmp_path / "a.mid", CHOICES).take(note_ends).notes
        found = [(n.onset_s, n.offset_s, n.pitch) for n in notes]
        np.testing.assert_allclose(found, [row[:3] for row in wanted])
        assert [n.velocity for n in notes] != [row[3] for row in wanted]


def test_a_room_is_heard_and_the_timing_stays(tmp_path: Path) -> None:
    response = np.zeros(8_000)
    response[[16, 4_016]] = 0.9, 0.45  # the direct sound, and an echo after a quarter of a second
    soundfile.write(tmp_path / "room.wav", response, 16_000)
    samples = np.zeros(16_000, dtype=np.float32)
    samples[1_000] = 0.5
    heard = in_its_room(
        samples, Choice(Path("a.sf2"), PlayingStyle(), tmp_path / "room.wav", wet=1.0, dry=0.0)
    )
    assert len(heard) == 16_000 and heard[1_000] == pytest.approx(0.7, abs=1e-3)
    assert heard[5_000] == pytest.approx(0.35, abs=1e-3)
    assert np.abs(np.delete(heard, [1_000, 5_000])).max() < 1e-3


def test_a_performance_without_notes_or_without_end_is_skipped_unrendered(tmp_path: Path) -> None:
    performance([(0.1, ("pedal", 127))]).save(tmp_path / "empty.mid")
    endless = performance([(0.1, ("on", 60, 64)), (0.5, ("off", 60))])
    endless.tracks[0].append(mido.Message("note_on", note=60, velocity=0, time=20_000_000))
    endless.save(tmp_path / "endless.mid")
    why = {
        name: attempt(Rendered(name, tmp_path, tmp_path / f"{name}.mid", CHOICES), How("keys", tmp_path)).why
        for name in ("empty", "endless")
    }
    assert why["empty"] == "no note on the piano's 88 keys"
    assert "expected 4 hours at most, it lasts 5.6" in str(why["endless"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--soundfont", "nowhere.sf2"),
            "nowhere.sf2: expected a sound font, there is no such file or folder",
        ),
        (("--soundfont", "midi"), "midi: expected a sound font (.sf2, .sf3), found none"),
        (("--soundfont", "piano.sf2=much"), "expected a weight above 0 after the =, got 'much'"),
        (("--soundfont", "piano.sf2=0"), "expected a weight above 0"),
        (("--soundfont", "piano.sf2", "--rooms", "midi"), "midi: expected impulse responses"),
        (("--soundfont", "piano.sf2", "--rooms", "rooms"), "room.wav: expected sound"),
        (("--soundfont", "piano.sf2", "--rooms", "rooms", "--plain"), "--plain leaves rooms out"),
        (("--soundfont", "piano.sf2", "--restrike-chance", "0.5", "--plain"), "--plain repeats no note"),
        (("--soundfont", "piano.sf2=2", "--only", "x"), "none of 1 pieces has a name that fits"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: name)  # none is rendered
    for name in ("midi", "rooms"):
        Path(name).mkdir()
    pedalled(Path("midi/a.mid"))
    Path("piano.sf2").write_text("")
    Path("rooms/room.wav").write_text("no sound")
    done = prepare("midi", "out", *options)
    assert done.exit_code == 2 and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr


def test_without_fluidsynth_it_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = prepare(tmp_path, tmp_path / "out", "--soundfont", tmp_path)
    assert done.exit_code == 1 and done.stderr == (
        "error: render needs the program fluidsynth: apt-get install fluidsynth\n"
    )


def test_a_folder_of_pianos_is_taken_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.SF3", "a.sf2", "notes.txt", ".hidden.sf2"):
        (tmp_path / name).write_text("")
    assert [path.name for path in files_in(tmp_path, (".sf2", ".sf3"), "pianos")] == ["a.sf2", "b.SF3"]


@needs_fluidsynth
def test_rendered_pieces_sound_where_their_tables_say(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pedalled(tmp_path / "in" / "a.mid")
    out = tmp_path / "out"
    done = prepare(
        tmp_path / "in", out, "--soundfont", SOUND_FONTS[0], "--note-ends", "sounding", "--seed", "3"
    )
    assert done.exit_code == 0, done.output
    notes = read_notes(out / "a.tsv")
    samples, rate = soundfile.read(out / "a.flac")
    assert rate == 16_000 and [tuple(row[:3]) for row in notes] == [row[:3] for row in SOUNDING]
    before, after = samples[: int(0.19 * rate)], samples[int(0.2 * rate) :][:800]
    assert np.abs(before).max() < 0.02 < np.abs(after).max()  # before it the dampers alone are heard
    presses = presses_of(read_performance(tmp_path / "in" / "a.mid"))
    assert presses and read_presses(out / "a.pedal") == pytest.approx(np.array(presses), abs=1e-5)
    report = json.loads((out / "prepared.json").read_text())
    assert report["pieces"][0]["soundfont"] == SOUND_FONTS[0].name and report["settings"]["seed"] == 3
    first = (out / "a.flac").read_bytes()
    (out / "a.tsv").unlink()
    assert (
        prepare(
            tmp_path / "in", out, "--soundfont", SOUND_FONTS[0], "--note-ends", "sounding", "--seed", "3"
        ).exit_code
        == 0
    )
    assert (out / "a.flac").read_bytes() == first
    other = prepare(
        tmp_path / "in", out, "--soundfont", SOUND_FONTS[0], "--note-ends", "sounding", "--seed", "4"
    )
    assert other.exit_code == 2 and "prepared with seed = 3, now 4 is wanted" in other.stderr
