"""Notes, events and MIDI files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.notes import Note, NoteOff, NoteOn, notes_from, read_midi, without_overlaps, write_midi


def test_events_pair_into_notes() -> None:
    events = [NoteOn(0.1, 60, 80), NoteOn(0.2, 64, 70), NoteOff(0.4, 60), NoteOn(0.4, 60, 50)]
    events += [NoteOff(0.5, 64), NoteOff(0.9, 60)]
    assert notes_from(events) == [Note(0.1, 0.4, 60, 80), Note(0.2, 0.5, 64, 70), Note(0.4, 0.9, 60, 50)]


def test_a_note_struck_again_ends_there() -> None:
    notes = [Note(0.0, 2.0, 60, 80), Note(1.0, 3.0, 60, 70), Note(0.5, 2.0, 62, 60)]
    assert without_overlaps(notes) == [
        Note(0.0, 1.0, 60, 80),
        Note(0.5, 2.0, 62, 60),
        Note(1.0, 3.0, 60, 70),
    ]


NOTES = st.builds(
    lambda on, length, pitch, velocity: Note(on / 1000, (on + length) / 1000, pitch, velocity),
    st.integers(0, 600_000),
    st.integers(20, 5_000),
    st.integers(21, 108),
    st.integers(1, 127),
)


@settings(max_examples=40, derandomize=True)
@given(notes=st.lists(NOTES, max_size=30))
def test_midi_files_keep_notes_to_half_a_millisecond(tmp_path_factory, notes: list[Note]) -> None:
    notes = without_overlaps(notes)
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    write_midi(notes, path)
    again = read_midi(path)
    by_key = lambda n: (n.pitch, n.onset_s)  # noqa: E731
    assert len(again) == len(notes)
    for one, other in zip(sorted(again, key=by_key), sorted(notes, key=by_key), strict=True):
        assert (one.pitch, one.velocity) == (other.pitch, other.velocity)
        assert one.onset_s == pytest.approx(other.onset_s, abs=6e-4)
        assert one.offset_s == pytest.approx(other.offset_s, abs=6e-4)


def test_what_is_not_midi_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(b"not midi")
    with pytest.raises(ValueError, match="expected a MIDI file"):
        read_midi(tmp_path / "a.mid")


def test_names_are_the_musicians() -> None:
    assert [Note(0, 1, p, 1).name for p in (21, 60, 69, 108)] == ["A0", "C4", "A4", "C8"]
