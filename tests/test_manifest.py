"""What a manifest says, and what --skip-existing believes of it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from hppnet.offline.job import Outcome
from hppnet.offline.manifest import COLUMNS, Manifest
from hppnet.offline.outputs import Job
from hppnet.offline.settings import Settings
from hppnet.offline.shards import Shard


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def job(out: Path, name: str, kinds: tuple[str, ...] = ("mid",)) -> Job:
    return Job(Path("rec", f"{name}.wav"), {kind: out / f"{name}.{kind}" for kind in kinds})


def do(job: Job, error: str | None = None) -> Outcome:
    for place in job.outputs.values():
        place.parent.mkdir(parents=True, exist_ok=True)
        if error is None:
            place.touch()
    return Outcome(
        job.source, error, outputs=list(job.outputs.values()), note_count=7, duration_s=2.5, wall_s=0.1
    )


def open_manifest(
    out: Path, checkpoint: str = "abc", settings: Settings | None = None, shard: Shard | None = None
) -> Manifest:
    return Manifest(out / "manifest.csv", checkpoint, settings or Settings(), shard)


def left(manifest: Manifest, *jobs: Job) -> list[str]:
    return [job.source.stem for job in manifest.left(jobs)]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_line_for_every_recording(out: Path) -> None:
    with open_manifest(out) as manifest:
        assert not out.exists()  # nothing is done yet
        manifest.add(do(job(out, "in/a")))
        manifest.add(do(job(out, "b"), "rec/b.wav: cut, short"))
    with open_manifest(out) as manifest:
        manifest.add(do(job(out, "c")))
    lines = rows(out / "manifest.csv")
    assert tuple(lines[0]) == COLUMNS and len(lines) == 3
    assert (lines[0]["input"], lines[0]["output"]) == ("rec/in/a.wav", "in/a.mid")
    assert (lines[0]["duration_s"], lines[0]["notes"], lines[0]["checkpoint"]) == ("2.500", "7", "abc")
    assert (lines[1]["error"], lines[1]["notes"]) == ("rec/b.wav: cut, short", "")
    assert lines[2]["output"] == "c.mid"


def test_done_is_what_was_done_in_the_same_way(out: Path) -> None:
    jobs = [job(out, name) for name in ("a", "b", "c")]
    with open_manifest(out) as manifest:
        manifest.add(do(jobs[0]))
        manifest.add(do(jobs[1], "rec/b.wav: not sound"))
    do(jobs[2])  # is there, and nobody knows whose it is
    assert left(open_manifest(out), *jobs) == ["b", "c"]
    assert left(open_manifest(out, "other weights"), *jobs) == ["a", "b", "c"]
    for other in (Settings(onset_threshold=0.3), Settings(latency_ms=132), Settings(tuning=10.0)):
        assert left(open_manifest(out, settings=other), *jobs) == ["a", "b", "c"]
    (out / "a.mid").unlink()
    assert left(open_manifest(out), *jobs) == ["a", "b", "c"]


def test_what_changes_nothing_is_no_other_setting(out: Path) -> None:
    with open_manifest(out) as manifest:
        manifest.add(do(job(out, "a", ("mid", "csv"))))
    same = Settings(batch=8, device="cpu", keep_notes=True)
    assert left(open_manifest(out, settings=same), job(out, "a", ("mid", "csv"))) == []
    assert left(open_manifest(out), job(out, "a")) == []  # less than was made
    (out / "a.json").touch()
    assert left(open_manifest(out), job(out, "a", ("mid", "json"))) == ["a"]  # from somewhere else


def test_the_last_line_counts(out: Path) -> None:
    a = job(out, "a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
    with open_manifest(out, "newer") as manifest:
        manifest.add(do(a))
    assert left(open_manifest(out), a) == ["a"] and left(open_manifest(out, "newer"), a) == []


def test_without_a_manifest_what_is_there_is_done(out: Path) -> None:
    a, b = job(out, "a"), job(out, "b")
    do(a)
    assert left(open_manifest(out), a, b) == ["b"]


def test_another_recording_for_the_same_output(out: Path) -> None:
    a = job(out, "a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
    assert left(open_manifest(out), Job(Path("elsewhere/a.wav"), a.outputs)) == []  # the archive has moved
    assert left(open_manifest(out), Job(Path("rec/a.flac"), a.outputs)) == ["a"]


def test_the_folder_may_be_moved(out: Path) -> None:
    with open_manifest(out) as manifest:
        manifest.add(do(job(out, "in/a")))
    moved = out.rename(out.with_name("moved"))
    assert left(open_manifest(moved), job(moved, "in/a")) == []


def test_parts_of_a_job_array_write_apart_and_read_together(out: Path) -> None:
    a, b = job(out, "a"), job(out, "b")
    for number, each in enumerate((a, b)):
        with open_manifest(out, shard=Shard(number, 2)) as manifest:
            manifest.add(do(each))
    assert sorted(path.name for path in out.glob("*.csv")) == ["manifest-1-of-2.csv", "manifest-2-of-2.csv"]
    assert left(open_manifest(out), a, b) == []
    assert left(open_manifest(out, shard=Shard(0, 2)), a, b) == []


def test_half_a_line_takes_no_other_with_it(out: Path) -> None:
    a, b = job(out, "a"), job(out, "b")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
    with open(out / "manifest.csv", "a") as file:
        file.write('rec/x.wav,"x')  # the machine went off
    with open_manifest(out) as manifest:
        manifest.add(do(b))
    assert left(open_manifest(out), a, b) == []


def test_names_with_everything_in_them(out: Path) -> None:
    names = ['a,"b"', "two\nlines", "Übung ♯4", "\udcff latin"]
    jobs = [job(out, name) for name in names]
    with open_manifest(out) as manifest:
        for each in jobs:
            manifest.add(do(each))
    # A line is a recording: only a name of two lines is not found again.
    assert left(open_manifest(out), *jobs) == ["two\nlines"]
