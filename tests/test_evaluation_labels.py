"""Label files, and what is found to be scored in a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hppnet.model.notes import Note
from hppnet.offline.inputs import SOUND_SUFFIXES
from hppnet.offline.reading import open_recording
from hppnet.training.data.labels import LabelError, read_labels
from hppnet.training.evaluate.recordings import EvaluationData, find_evaluation_data

from .evaluation_parts import HEADER, SCALE, write_labels
from .midi_files import KEYS, SOUNDING, pedalled, performance


def test_labels_read_back_sorted(tmp_path):
    path = write_labels(tmp_path / "a.tsv", SCALE[::-1])
    assert read_labels(path) == SCALE


def test_columns_may_come_in_any_order_and_velocity_may_be_unknown(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("velocity\tnote\tonset\toffset\tpedal\n0\t21\t0.5\t0.5\t1\n")
    assert read_labels(path) == [Note(0.5, 0.5, 21, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns onset, offset, note, velocity.*found none"),
        ("onset,offset,note,velocity\n1,2,60,64\n", "expected the columns.*'onset,offset,note,velocity'"),
        ("onset\toffset\tnote\n1\t2\t60\n", "expected the columns"),
        (HEADER + "1\t2\t60\t64\n1\t2\tC4\t64\n", "line 3: .*C4"),
        (HEADER + "1\t2\t60\n", "line 2: .*velocity"),
        (HEADER + "2\t1\t60\t64\n", "line 2: expected 0 <= onset <= offset, got 2 and 1"),
        (HEADER + "nan\t1\t60\t64\n", "line 2: expected 0 <= onset"),
        (HEADER + "0\tinf\t60\t64\n", "line 2: expected 0 <= onset"),
        (HEADER + "1\t2\t60.5\t64\n", "line 2: expected a MIDI key"),
        (HEADER + "1\t2\t60\t128\n", "line 2: expected a velocity"),
    ],
)
def test_bad_tables_are_named_with_the_line(tmp_path, text, message):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_unreadable_labels_are_label_errors(tmp_path):
    with pytest.raises(LabelError, match=r"none\.tsv"):
        read_labels(tmp_path / "none.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00onset")
    with pytest.raises(LabelError, match=r"bytes\.tsv"):
        read_labels(tmp_path / "bytes.tsv")
    (tmp_path / "bad.mid").write_bytes(b"MThd\x00\x00")
    with pytest.raises(LabelError, match=r"bad\.mid"):
        read_labels(tmp_path / "bad.mid")


# --- what a folder holds ---


def material(folder: Path) -> EvaluationData:
    return find_evaluation_data(folder, SOUND_SUFFIXES, open_recording)


def make(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


MAPS_TEXT = "OnsetTime\tOffsetTime\tMidiPitch\n0.2\t0.4\t60\n0.5\t0.8\t64\n\n"


def test_maps_as_it_is_distributed(tmp_path):
    """Only the pieces on the real piano; velocities from the MIDI file beside the table."""
    for piano in ("ENSTDkCl", "ENSTDkAm", "AkPnBcht"):
        make(tmp_path / piano / "MUS", f"MAPS_MUS-a_{piano}.wav", f"MAPS_MUS-b_{piano}.wav", "ReadMe.txt")
        for name in ("a", "b"):
            (tmp_path / piano / "MUS" / f"MAPS_MUS-{name}_{piano}.txt").write_text(MAPS_TEXT)
    make(tmp_path / "ENSTDkCl" / "ISOL", "MAPS_ISOL_NO_F_S0_M21_ENSTDkCl.wav")
    pedalled(tmp_path / "ENSTDkCl" / "MUS" / "MAPS_MUS-a_ENSTDkCl.mid")
    found = material(tmp_path)
    names = [f"MAPS_MUS-{name}_ENSTDk{where}" for where in ("Am", "Cl") for name in "ab"]
    assert [one.name for one in found.labelled] == names and not found.failures
    assert found.note_ends == "keys"
    pairs = {one.name: one.read().played for one in found.labelled}
    assert pairs["MAPS_MUS-a_ENSTDkCl"] == [Note(0.2, 0.4, 60, 70), Note(0.5, 0.8, 64, 50)]
    assert pairs["MAPS_MUS-b_ENSTDkCl"] == [Note(0.2, 0.4, 60, 0), Note(0.5, 0.8, 64, 0)]
    assert [one.name for one in material(tmp_path / "ENSTDkCl").labelled] == names[2:]


def test_maestro_is_its_test_split_with_sounding_ends(tmp_path):
    make(tmp_path / "2018", "one.wav", "two.wav", "three.wav")
    for name in ("one", "two", "three"):
        pedalled(tmp_path / "2018" / f"{name}.midi")
    (tmp_path / "maestro-v3.0.0.csv").write_text(
        "canonical_composer,split,year,midi_filename,audio_filename,duration\n"
        + "".join(
            f"Bach,{split},2018,2018/{name}.midi,2018/{name}.wav,1.3\n"
            for name, split in (("one", "train"), ("two", "test"), ("three", "validation"))
        )
    )
    found = material(tmp_path)
    assert [one.name for one in found.labelled] == ["two"] and found.note_ends == "sounding"
    (one,) = found.labelled
    for note_ends, expected in ((None, SOUNDING), ("keys", KEYS)):
        played = [dataclasses.astuple(note) for note in one.read(note_ends).played]
        assert played == [pytest.approx(note) for note in expected]


def test_prepared_data_says_where_its_notes_end(tmp_path):
    for split in ("train", "test"):
        make(tmp_path / split, f"{split}.flac")
        write_labels(tmp_path / split / f"{split}.tsv", SCALE)
    (tmp_path / "prepared.json").write_text('{"note_ends": "sounding"}')
    for folder in (tmp_path, tmp_path / "test"):
        found = material(folder)
        assert [one.name for one in found.labelled] == ["test"] and found.note_ends == "sounding"
        assert found.labelled[0].read().played == SCALE
    with pytest.raises(ValueError, match="--note-ends is for MIDI"):
        found.labelled[0].read("keys")


def test_labels_without_notes_are_refused(tmp_path):
    make(tmp_path, "a.wav", "b.wav")
    performance([], end_s=1).save(tmp_path / "a.mid")
    (tmp_path / "b.tsv").write_text(HEADER)
    for one, file in zip(material(tmp_path).labelled, ("a.mid", "b.tsv"), strict=True):
        with pytest.raises(ValueError, match=f"{file}: expected notes, found none"):
            one.read()


def test_a_text_about_a_recording_is_no_label_file(tmp_path):
    make(tmp_path, "a.wav")
    pedalled(tmp_path / "a.mid")
    (tmp_path / "a.txt").write_text("Recorded on a rainy day.\n")
    (one,) = material(tmp_path).labelled
    assert [path.name for path in one.labels] == ["a.mid"] and len(one.read().played) == 3
