"""From the arguments of a command to jobs: which recordings, each once, and which outputs they get."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.offline.errors import UsageError
from hppnet.offline.inputs import FoundRecording, find_recordings
from hppnet.offline.jobs import output_kind
from hppnet.offline.plan import Plan
from hppnet.offline.settings import Settings

RATE = 16_000


def tone(path, level=0.6, seconds=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * RATE), level), RATE)
    return path


@pytest.fixture
def rec(tmp_path, monkeypatch):
    """A folder of recordings, files that are none, and hidden ones."""
    monkeypatch.chdir(tmp_path)
    for name in ("rec/b.wav", "rec/a.FLAC", "rec/in/c.ogg", "rec/.d.wav", "rec/.git/e.wav"):
        tone(tmp_path / name)
    (tmp_path / "rec" / "notes.txt").write_text("fingering")
    return tmp_path / "rec"


def refuse(place, why):
    raise AssertionError(f"{place}: {why}")


def plan(arguments, kinds=("mid",), output=None):
    return Plan(find_recordings(list(map(str, arguments)), refuse), kinds, output)


def found(*arguments):
    return [str(job.source) for job in plan(arguments)]


def test_folders_are_searched_in_order(rec):
    assert found("rec") == ["rec/a.FLAC", "rec/b.wav", "rec/in/c.ogg"]


def test_each_recording_is_found_once(rec):
    assert found("rec/in/c.ogg", "rec/in", "rec/*.wav", "rec/**/*.ogg") == ["rec/in/c.ogg", "rec/b.wav"]


def test_a_pattern_finds_what_fits_it(rec):
    assert found("rec/*.txt") == ["rec/notes.txt"]  # asked for by its suffix
    assert found("rec/**") == ["rec/a.FLAC", "rec/b.wav", "rec/in/c.ogg"]
    assert found("r?c/[ab].*") == ["rec/a.FLAC", "rec/b.wav"]
    tone(Path("rec/take [1].wav"))
    assert found("rec/take [1].wav") == ["rec/take [1].wav"]  # a name that looks like a pattern


def test_a_file_named_outright_may_have_any_suffix(rec):
    assert found("rec/notes.txt") == ["rec/notes.txt"]


@pytest.mark.parametrize("argument", ["nowhere", "nowhere/a.wav", "rec/*.mp3", "rec/**/x*"])
def test_what_does_not_exist_is_wrong_use(rec, argument):
    with pytest.raises(UsageError, match="no "):
        list(find_recordings([argument], refuse))


def test_links_to_other_folders_are_followed_and_nothing_is_found_twice(rec, tmp_path):
    there = tmp_path / "elsewhere" / "disk"
    (there / "in").mkdir(parents=True)
    (there / "in" / "z.wav").touch()
    usual = found("rec")
    (rec / "linked").symlink_to(there)
    (rec / "twice").symlink_to(there)
    (rec / "up").symlink_to(tmp_path)
    (rec / "inside").symlink_to(rec / "in")
    (there / "round").symlink_to(there.parent)
    assert [path for path in found("rec") if path not in usual] == ["rec/linked/in/z.wav"]


def test_a_link_to_a_recording_is_said_to_be_no_other_one(rec):
    (rec / "aa.wav").symlink_to("b.wav")
    made = plan(["rec", "rec/b.wav"])
    assert [str(job.source) for job in made] == ["rec/a.FLAC", "rec/aa.wav", "rec/in/c.ogg"]
    assert set(made.remarks) == {"rec/b.wav: the same file as rec/aa.wav, so it is transcribed once"}
    assert plan(["rec/aa.wav", "rec/aa.wav"]).remarks == []


def test_a_folder_without_sound_is_a_failure(rec):
    (rec / "empty").mkdir()
    failures = []
    found = find_recordings(["rec/empty", "rec/in"], lambda *failure: failures.append(failure))
    assert [item.path for item in found] == [Path("rec/in/c.ogg")]
    assert [path for path, _ in failures] == [Path("rec/empty")]


def planned(arguments, output=None, kinds=("mid",)):
    jobs = plan(arguments, kinds, output)
    targets = [str(path) for job in jobs for path in job.outputs.values()]
    assert len({target.casefold() for target in targets}) == len(targets)
    return targets, jobs.remarks


def test_outputs_lie_beside_their_recordings(rec):
    assert planned(["rec"]) == (["rec/a.mid", "rec/b.mid", "rec/in/c.mid"], [])
    assert planned(["rec/in"], kinds=("mid", "csv", "png"))[0] == [
        "rec/in/c.mid",
        "rec/in/c.csv",
        "rec/in/c.png",
    ]


def test_an_output_folder_mirrors_the_folders_searched(rec):
    assert planned(["rec"], Path("out"))[0] == ["out/a.mid", "out/b.mid", "out/in/c.mid"]
    assert planned(["rec/"], Path("out"))[0] == ["out/a.mid", "out/b.mid", "out/in/c.mid"]
    assert planned(["rec/in/c.ogg"], Path("out"))[0] == ["out/c.mid"]
    assert planned(["rec/**/*.ogg"], Path("out"))[0] == ["out/in/c.mid"]
    assert planned(["."], Path("out"))[0][-1] == "out/rec/in/c.mid"


def test_several_folders_keep_their_names(rec):
    tone(Path("more/a.wav"))
    assert planned(["rec", "more"], Path("out"))[0][-2:] == ["out/rec/in/c.mid", "out/more/a.mid"]


def test_one_output_file_is_for_one_recording(rec):
    assert planned(["rec/b.wav"], Path("x/take.mid"))[0] == ["x/take.mid"]
    assert planned(["rec/b.wav"], Path("take.MIDI"), ("mid", "csv"))[0] == ["take.MIDI", "take.csv"]
    with pytest.raises(UsageError, match="expected one recording, got 3"):
        planned(["rec"], Path("take.mid"))
    with pytest.raises(UsageError, match=r"expected a folder, .* \.mid, \.csv, \.json or \.jsonl"):
        planned(["rec"], Path("rec/notes.txt"))
    with pytest.raises(UsageError, match=r"expected a folder at rec/notes\.txt, found a file"):
        planned(["rec"], Path("rec/notes.txt/out"))
    Path("folder.mid").mkdir()
    assert output_kind(Path("folder.mid")) is None


def test_two_of_one_name_keep_their_suffixes(rec):
    tone(rec / "b.flac")
    targets, remarks = planned(["rec"])
    assert targets == ["rec/a.mid", "rec/b.flac.mid", "rec/b.wav.mid", "rec/in/c.mid"]
    assert len(remarks) == 1 and remarks[0].startswith("rec/b.flac, rec/b.wav: ")
    assert remarks[0].endswith("(b.flac.mid)")


def test_the_remark_about_suffixes_names_an_output_that_there_is(rec):
    """Of the two that would become x.csv, a list has named one, which stays."""
    named = FoundRecording(Path("rec/b.wav"), Path("b.wav"), "x.csv")
    jobs = Plan([named, FoundRecording(Path("x.flac"), Path("x.flac"))], ["csv"], Path("out"))
    assert [str(job.outputs["csv"]) for job in jobs] == ["out/x.csv", "out/x.flac.csv"]
    assert jobs.remarks[0].endswith("(x.flac.csv)")


def test_two_of_one_name_from_two_folders_keep_their_folders(rec):
    tone(Path("more/deep/b.wav"))
    targets, _ = planned(["rec/b.wav", "more/deep/b.wav"], Path("out"))
    assert targets == ["out/rec/b.mid", "out/more/deep/b.mid"]


@pytest.mark.parametrize("other", ["..", "../../rec"])
def test_two_of_one_name_stay_below_the_output_folder(rec, monkeypatch, other):
    tone(rec / "in" / "b.wav")
    tone(rec.parent / "b.wav")
    monkeypatch.chdir(rec / "in")
    assert [str(job.outputs["mid"]) for job in plan(["b.wav", f"{other}/b.wav"], output=Path("out"))] == [
        *("out/in/b.mid", "out/b.mid")
    ]


def test_a_folder_beyond_a_link_is_another(rec, tmp_path):
    tone(tmp_path / "elsewhere" / "b.wav")
    (tmp_path / "elsewhere" / "in").mkdir()
    (rec / "link").symlink_to(tmp_path / "elsewhere" / "in")
    assert found("rec/b.wav", "rec/link/../b.wav") == ["rec/b.wav", "rec/link/../b.wav"]


def test_names_that_differ_in_case_become_different_outputs(tmp_path):
    sources = ["x/a.wav", "x/A.flac", "x/a.flac.ogg", "x/A.WAV.ogg"]
    jobs = Plan([FoundRecording(Path(s), Path(s).relative_to("x")) for s in sources], ["mid"], tmp_path)
    assert len({str(job.outputs["mid"]).casefold() for job in jobs}) == 4


def test_a_point_in_a_title_is_no_suffix(tmp_path):
    title = Path("Sonata op.27 no.2")
    (job,) = Plan([FoundRecording(title, title)], ["mid"])
    assert job.outputs["mid"] == Path("Sonata op.27 no.2.mid")


@pytest.mark.parametrize(
    "wrong", [{"onset_threshold": 1.0}, {"frame_threshold": -0.1}, {"tuning": "high"}, {"tuning": 500.0}]
)
def test_settings_refuse_values_outside_their_range(wrong):
    with pytest.raises(ValueError, match="must"):
        Settings(**wrong)


def test_a_latency_that_cannot_be_names_those_that_can():
    with pytest.raises(ValueError, match="52, 72, 92"):
        Settings(latency_ms=100)
