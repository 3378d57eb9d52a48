"""Outputs that are there already: what is replaced, and what is nobody's to touch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.offline.inputs import find_recordings
from hppnet.offline.jobs import Job
from hppnet.offline.plan import Plan
from hppnet.offline.provenance import is_whole, origin_of

from .made_outputs import KINDS, contents, existing_outputs, sound

FAST = settings(max_examples=60)


_BEGINNINGS = [
    b"",
    b"MThd",
    b"onset_s,offset_s,pitch,name,velocity\n",
    b'{"origin": {',
    b'{\n "source": ',
    b"\x89PNG",
]


@FAST
@given(kind=st.sampled_from([*KINDS, "png"]), begin=st.sampled_from(_BEGINNINGS), rest=st.binary(min_size=1))
def test_bytes_of_others_are_never_replaced(
    tmp_path_factory: pytest.TempPathFactory, kind: str, begin: bytes, rest: bytes
) -> None:
    folder = tmp_path_factory.mktemp("others")
    source = folder / "a.wav"
    source.write_bytes(b"sound")
    job = Job(source, {"mid": folder / "a.mid", kind: folder / f"a.{kind}"})
    job.outputs[kind].write_bytes(begin + rest)
    for looking in (existing_outputs(), existing_outputs(skip=True)):
        with pytest.raises(FileExistsError, match="--force"):
            looking.pending(job)
    with pytest.raises(FileExistsError):
        job.check_free()  # whoever writes looks again
    assert job.outputs[kind].read_bytes() == begin + rest
    assert existing_outputs(force=True).pending(job) == replace(job, replaceable=frozenset({kind}))


_names = st.sampled_from(["a", "A", "b", "a.b", "a-2", "Op.27 No.2"])
_folders = st.sampled_from(["x", "y", "x/in", "y/in", "x/x"])
_suffixes = st.sampled_from([".wav", ".mp3", ".WAV", ".flac"])


@FAST
@given(
    files=st.sets(st.tuples(_folders, _names, _suffixes), min_size=1, max_size=8),
    one_by_one=st.booleans(),
    below=st.booleans(),
)
def test_no_two_recordings_have_one_output_and_what_is_called_otherwise_is_said(
    tmp_path_factory: pytest.TempPathFactory,
    files: set[tuple[str, str, str]],
    one_by_one: bool,
    below: bool,
) -> None:
    root = tmp_path_factory.mktemp("plan")
    sources = [root / folder / f"{name}{suffix}" for folder, name, suffix in sorted(files)]
    for source in sources:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.touch()
    arguments = (
        list(map(str, sources)) if one_by_one else sorted({str(root / f[0].split("/")[0]) for f in files})
    )
    plan = Plan(find_recordings(arguments, print), ["mid"], root / "out" if below else None)
    jobs = list(plan)
    assert len(jobs) == len(sources)
    outputs = [str(job.outputs["mid"]).casefold() for job in jobs]
    assert len(set(outputs)) == len(outputs)
    said = " ".join(plan.remarks)
    for job in jobs:
        if job.outputs["mid"].stem != job.source.stem:
            assert "..." in said or job.source.name in said


def test_two_inputs_of_one_name_are_said_before_the_work(here: Path, run) -> None:
    for path in ("x/rec/a.wav", "y/rec/a.wav", "x/b.wav", "y/b.wav"):
        sound(path)
    result = run("x/rec", "y/rec", "-o", "out", "--dry-run")
    assert result.exit_code == 0 and "named after the recordings' folders" in result.stderr
    assert run("x/rec", "y/rec", "x/b.wav", "y/b.wav", "-o", "out").exit_code == 0
    assert [name for name in contents(Path("out")) if name.endswith("mid")] == [
        *("out/x/b.mid", "out/x/rec/a.mid", "out/y/b.mid", "out/y/rec/a.mid")
    ]


@pytest.mark.parametrize(
    ("theirs", "text", "arguments"),
    [
        ("rec/a.csv", "onset_s,offset_s,pitch,name,velocity\n0.1,0.2,60,C4,64\n", ["rec", "--format", "csv"]),
        ("rec/a.json", '{"notes": []}', ["rec", "--format", "mid,json"]),
        ("rec/a.png", "\x89PNG scanned", ["rec", "--plot"]),
        ("out/a.csv", "my,own\n", ["rec", "-o", "out", "--format", "csv"]),
        ("out/manifest.csv", "my,own\n", ["rec", "-o", "out"]),
        ("list.csv", "my,own\n", ["rec", "--manifest", "list.csv"]),
        ("x.csv", "my,own\n", ["rec/a.wav", "-o", "x.csv"]),
        ("x.json", "{}", ["rec/a.wav", "-o", "x.mid", "--format", "mid,json"]),
        ("x.mid", "MThd of a friend", ["rec/a.wav", "-o", "x.mid"]),
        ("rec/a.mid", "MThd of a friend", ["rec", "--skip-existing"]),
        ("out/a.mid/score.txt", "in a folder", ["rec", "-o", "out"]),
    ],
)
def test_files_of_others_stay(here: Path, run, theirs: str, text: str, arguments: list[str]) -> None:
    sound("rec/a.wav")
    Path(theirs).parent.mkdir(parents=True, exist_ok=True)
    Path(theirs).write_text(text, encoding="latin-1")
    before = contents()
    for more in ([], ["--dry-run"]):
        result = run(*arguments, *more)
        assert result.exit_code == 1, result.output
        (line,) = result.stderr.splitlines()
        assert theirs.removesuffix("/score.txt") in line and line.startswith("error: ")
        after = contents()
        after.pop("out/manifest.csv", None) if "manifest" not in theirs else None
        assert after == before
    if "--skip-existing" not in arguments and not theirs.endswith("txt"):
        assert run(*arguments, "--force").exit_code == 0
        assert contents()[theirs] != before[theirs]


def test_pictures_and_tables_of_version_0_1_are_known_by_the_manifest(here: Path, run) -> None:
    sound("rec/a.wav")
    assert run("rec", "-o", "out", "--plot", "--format", "csv,json").exit_code == 0
    Path("out/a.png").write_bytes(b"\x89PNG\r\n\x1a\nas version 0.1 wrote it")
    assert run("rec", "-o", "out", "--plot", "--format", "csv,json").exit_code == 0
    assert origin_of(Path("out/a.png")) is not None
    shutil.copy("out/a.json", "b.json")  # whoever puts a file of his own in its place keeps it
    Path("out/a.json").write_text('{"notes": ["mine"]}')
    assert run("rec", "-o", "out", "--format", "csv,json").exit_code == 1


def test_a_link_stays_a_link(here: Path, run) -> None:
    sound("rec/a.wav")
    Path("elsewhere").mkdir()
    Path("elsewhere/real.mid").touch()
    Path("rec/a.mid").symlink_to(here / "elsewhere" / "real.mid")
    assert run("rec").exit_code == 0
    assert Path("rec/a.mid").is_symlink() and is_whole(Path("elsewhere/real.mid"), None)
    Path("elsewhere/real.mid").unlink()
    Path("elsewhere").rmdir()
    assert run("rec").exit_code == 1  # leads nowhere
