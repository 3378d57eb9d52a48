"""MIDI, CSV and JSON: what was written comes back, and nothing half written stays."""

import csv
import json
import os

import pytest

from hppnet.model import files
from hppnet.model.files import remove_dead_parts, remove_parts, replacing
from hppnet.model.notes import Note, read_midi
from hppnet.offline import places
from hppnet.offline.places import Url
from hppnet.offline.writing import (
    cannot_write,
    write_csv,
    write_json,
    write_outputs,
    writers,
)

NOTES = [Note(0.5, 1.25, 60, 64), Note(1.0, 1.5, 21, 1), Note(1.0, 3.0, 108, 127)]


def test_the_formats_come_back(tmp_path):
    kinds = writers(NOTES, {"source": "take.wav", "duration_s": 3.5})
    write_outputs({tmp_path / "deep" / f"take.{kind}": write for kind, write in kinds.items()})
    folder = tmp_path / "deep"
    assert sorted(path.name for path in folder.iterdir()) == ["take.csv", "take.json", "take.mid"]
    for found, note in zip(read_midi(folder / "take.mid"), NOTES, strict=True):
        assert (found.pitch, found.velocity) == (note.pitch, note.velocity)
        assert found.onset_s == pytest.approx(note.onset_s, abs=0.001)
        assert found.offset_s == pytest.approx(note.offset_s, abs=0.001)
    rows = list(csv.DictReader((folder / "take.csv").read_text().splitlines()))
    assert rows[0] == {"onset_s": "0.5", "offset_s": "1.25", "pitch": "60", "name": "C4", "velocity": "64"}
    assert [row["name"] for row in rows] == ["C4", "A0", "C8"]
    about = json.loads((folder / "take.json").read_text())
    assert (about["source"], about["duration_s"]) == ("take.wav", 3.5)
    assert about["notes"][2] == {"onset_s": 1, "offset_s": 3, "pitch": 108, "name": "C8", "velocity": 127}


def test_no_notes(tmp_path):
    kinds = writers([], {})
    write_outputs({tmp_path / f"a.{kind}": write for kind, write in kinds.items()})
    assert read_midi(tmp_path / "a.mid") == []
    assert json.loads((tmp_path / "a.json").read_text()) == {"notes": []}
    assert (tmp_path / "a.csv").read_text().splitlines() == ["onset_s,offset_s,pitch,name,velocity"]


def test_numbers_of_numpy_and_names_that_are_no_utf8(tmp_path):
    import numpy as np

    notes = [Note(np.float32(0.1), np.float64(0.2), np.int64(60), np.int32(5))]
    write_json(notes, tmp_path / "a.json", {"source": os.fsdecode(b"caf\xe9.wav")})
    write_csv(notes, tmp_path / "a.csv")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["notes"][0]["pitch"] == 60
    assert os.fsencode(found["source"]) == b"caf\xe9.wav"
    assert (tmp_path / "a.csv").read_text().splitlines()[1].startswith("0.1,0.2,60,C4,5")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_an_error_leaves_what_was_there(tmp_path, error):
    (tmp_path / "a.mid").write_text("old")

    def write_half(path):
        path.write_text("ha")
        raise error

    with pytest.raises(error):
        write_outputs(
            {tmp_path / "a.mid": lambda path: path.write_text("new"), tmp_path / "a.csv": write_half}
        )
    assert [path.name for path in tmp_path.iterdir()] == ["a.mid"]
    assert (tmp_path / "a.mid").read_text() == "old"


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("names", [["a.mid"], ["a.mid", "a.csv"]])
def test_ctrl_c_while_a_file_is_replaced_loses_no_file(tmp_path, monkeypatch, names, replaced):
    for name in names:
        (tmp_path / name).write_text("old")

    def interrupted(part, target):
        if replaced:
            os.replace(part, target)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_outputs({tmp_path / name: lambda path: path.write_text("new") for name in names})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    texts = {(tmp_path / name).read_text() for name in names}
    assert texts == ({"new"} if replaced and len(names) == 1 else {"old"})


@pytest.mark.parametrize("kinds", [("mid", "csv", "json"), ("csv", "mid", "json")])
@pytest.mark.parametrize("remote", [False, True])
def test_a_csv_appears_first(tmp_path, monkeypatch, remote, kinds):
    """It holds no origin. If the run is killed then, the others still tell that the work is not done."""
    appeared = []
    monkeypatch.setattr(files, "replace", lambda part, target: appeared.append(os.path.basename(target)))
    monkeypatch.setattr(places, "_put", lambda copy, place: appeared.append(place.name))
    folder = Url("memory://out") if remote else tmp_path
    write_outputs({folder / f"a.{kind}": lambda path: path.write_text("new") for kind in kinds})
    assert appeared[0] == "a.csv" and sorted(appeared) == ["a.csv", "a.json", "a.mid"]


def test_the_target_changes_only_when_all_is_written(tmp_path):
    (tmp_path / "a.mid").write_text("old")
    with replacing(tmp_path / "a.mid") as part:
        part.write_text("new")
        assert part.parent == tmp_path  # a rename across file systems would not be atomic
        assert (tmp_path / "a.mid").read_text() == "old"
    with open(tmp_path / "a.mid") as reader:
        with replacing(tmp_path / "a.mid") as part:
            part.write_text("newer")
        assert reader.read() == "new"  # whoever reads the old file reads all of it
    assert (tmp_path / "a.mid").read_text() == "newer"


def test_permissions_are_the_users(tmp_path):
    with open(tmp_path / "usual", "w"):
        pass
    write_outputs({tmp_path / "a.csv": lambda path: write_csv(NOTES, path)})
    assert (tmp_path / "a.csv").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_what_a_killed_process_left_is_removed(tmp_path):
    """And nothing of other processes, nor of other machines' processes of the same number."""
    own = files.machine_name()
    mine, *others = [
        tmp_path / f"{files.PART_PREFIX}-{rest}.part"
        for rest in (f"12-0-{own}", f"123-0-{own}", f"12-0-other-{own}", "12-0-other", f"{2**22 + 1}-0-other")
    ]
    dead = tmp_path / f"{files.PART_PREFIX}-{2**22 + 1}-0-{own}.part"  # above the highest number of a process
    for part in (mine, *others, dead):
        part.touch()
    remove_parts(tmp_path, 12, own)
    assert sorted(tmp_path.iterdir()) == sorted([*others, dead])
    remove_dead_parts(tmp_path)
    assert not dead.exists() and all(other.exists() for other in others[2:])


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "a.mid").mkdir()
    with pytest.raises(OSError) as caught:
        write_outputs({tmp_path / "a.mid": lambda path: path.write_text("new")})
    assert str(tmp_path / "a.mid") in cannot_write(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mid"]
