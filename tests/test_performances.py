"""Where notes end: at their keys or with the pedal; and what a prepared folder says of it."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest

from hppnet.model.notes import Note, read_midi, write_midi
from hppnet.training.data.labels import note_ends_of, within
from hppnet.training.data.performances import notes_of, performed, read_performance

from .midi_files import KEYS, SOUNDING, Happening, pedalled, performance

NOTE: list[Happening] = [(1.0, ("on", 60, 64)), (2.0, ("off", 60))]


def ends(happenings: list[Happening], note_ends: str = "sounding") -> list[float]:
    return [n.offset_s for n in notes_of(performance(happenings, end_s=9.0), note_ends)]


def test_the_pedal_prolongs_and_a_new_stroke_ends(tmp_path: Path) -> None:
    pedalled(tmp_path / "a.mid")
    midi = read_performance(tmp_path / "a.mid")
    for note_ends, wanted in (("keys", KEYS), ("sounding", SOUNDING)):
        found = [(n.onset_s, n.offset_s, n.pitch, n.velocity) for n in notes_of(midi, note_ends)]
        np.testing.assert_allclose(found, wanted)


@pytest.mark.parametrize(
    ("pedal", "end_s"),
    [
        ([(0.5, 64), (3.0, 63)], 3.0),  # down from 64 on
        ([(0.5, 63)], 2.0),
        ([(0.5, 90), (1.5, 0), (1.7, 90), (4.0, 0)], 4.0),  # down again before the release
        ([(0.5, 90), (1.5, 0), (2.5, 90)], 2.0),  # too late
        ([(2.0, 90), (3.0, 0)], 3.0),  # the pedal moves before the key
        ([(0.5, 90), (2.0, 0), (3.0, 90)], 2.0),
        ([(0.5, 90), (3.0, 0), (3.0, 90), (5.0, 20)], 5.0),  # up and down at one time: never up
        ([(0.5, 90)], 9.0),  # never released: to the file's end
    ],
)
def test_a_note_sounds_until_the_pedal_is_up(pedal: list[tuple[float, int]], end_s: float) -> None:
    moves: list[Happening] = [(at, ("pedal", value)) for at, value in pedal]
    assert ends(NOTE + moves) == pytest.approx([end_s])
    assert ends(NOTE + moves, "keys") == pytest.approx([2.0])


def test_strokes_that_overlap_or_touch() -> None:
    on, off = ("on", 60, 64), ("off", 60)
    assert ends([(1, on), (2, on), (3, off)], "keys") == pytest.approx([2, 3])
    assert ends([(1, on), (2, on), (2, off), (3, off)], "keys") == pytest.approx([2, 3])
    assert ends([(1, on), (2, off), (2, on), (3, off)], "keys") == pytest.approx([2, 3])
    assert ends([(1, on), (1, off), (2, on), (3, off), (4, on)], "keys") == pytest.approx([3])


def test_the_pedal_is_the_pianos_whatever_the_channel() -> None:
    midi = performance([(1, ("on", 60, 64)), (2, ("off", 60))], end_s=9)
    other = performance([(0.5, ("pedal", 100)), (4, ("pedal", 0))], channel=1)
    drums = performance([(1, ("on", 40, 64)), (2, ("off", 40)), (0, ("pedal", 100))], channel=9)
    both = mido.MidiFile(type=1, ticks_per_beat=midi.ticks_per_beat)
    both.tracks += [midi.tracks[0], other.tracks[0], drums.tracks[0]]
    assert [(n.pitch, n.offset_s) for n in notes_of(both, "sounding")] == [(60, pytest.approx(4))]


def test_tempo_counts_in_every_track() -> None:
    midi = performance([(1, ("on", 60, 64)), (2, ("off", 60))])
    tempo = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000, time=0)])
    both = mido.MidiFile(type=1, ticks_per_beat=midi.ticks_per_beat)
    both.tracks += [midi.tracks[0], tempo]  # half as fast
    assert [(n.onset_s, n.offset_s) for n in notes_of(both, "keys")] == [pytest.approx((2, 4))]


def test_key_releases_are_those_that_the_package_reads_elsewhere(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    onsets = rng.uniform(0, 20, 400)
    written = [
        Note(at, at + rng.uniform(0.01, 1), int(rng.integers(15, 115)), int(rng.integers(1, 128)))
        for at in onsets
    ]
    write_midi(written, tmp_path / "a.mid")
    ours = notes_of(read_performance(tmp_path / "a.mid"), "keys")
    theirs = read_midi(tmp_path / "a.mid")
    assert [(n.pitch, n.velocity) for n in ours] == [(n.pitch, n.velocity) for n in theirs] and len(
        ours
    ) > 200
    np.testing.assert_allclose([n.offset_s for n in ours], [n.offset_s for n in theirs], atol=1e-6)


def test_what_is_no_midi_file_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"MThd nothing\n of the kind")
    with pytest.raises(ValueError, match="expected a MIDI file"):
        read_performance(tmp_path / "a.mid")
    mido.MidiFile(type=2, tracks=[mido.MidiTrack()]).save(tmp_path / "b.mid")
    with pytest.raises(ValueError, match=r"b\.mid: expected a MIDI file of type 0 or 1, got type 2"):
        performed((tmp_path / "b.mid",), "keys")


def test_a_prepared_folder_says_where_notes_end(tmp_path: Path) -> None:
    inside = tmp_path / "train"
    inside.mkdir()
    assert note_ends_of(inside) == "keys"
    (tmp_path / "prepared.json").write_text('{"note_ends": "sounding"}')
    assert note_ends_of(inside) == note_ends_of(tmp_path) == "sounding"
    for broken in ('{"note_ends": "pedal"}', "[]", "{", '{"note_ends": ["keys"]}'):
        (inside / "prepared.json").write_text(broken)
        with pytest.raises(ValueError, match=r"train/prepared\.json: expected"):
            note_ends_of(inside)


def test_sound_in_which_no_note_begins_is_said_in_a_line() -> None:
    for notes in ([], [Note(2.5, 3.0, 60, 64)]):
        with pytest.raises(ValueError, match=r"no note begins in the 2\.0 s of sound"):
            within(notes, 2.0)
