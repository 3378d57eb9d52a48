"""What a manifest says, and what is believed of it."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from hppnet.model.notes import Note
from hppnet.offline.existing_outputs import ExistingOutputs
from hppnet.offline.jobs import Job, Outcome
from hppnet.offline.manifest import COLUMNS, FIRST_COLUMNS, Manifest
from hppnet.offline.plan import Shard
from hppnet.offline.provenance import digest_of
from hppnet.offline.settings import Settings, describe_settings
from hppnet.offline.writing import write_outputs, writers

NOTES = [Note(0.1 * n, 0.1 * n + 0.05, 60 + n, 64) for n in range(7)]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def job(out: Path, name: str, kinds: tuple[str, ...] = ("mid",)) -> Job:
    source = Path("rec", f"{name}.wav")
    source.parent.mkdir(parents=True, exist_ok=True)
    if not source.exists():
        source.write_bytes(os.fsencode(f"sound of {name}"))
    return Job(source, {kind: out / f"{name}.{kind}" for kind in kinds})


def do(job: Job, error: str | None = None) -> Outcome:
    """As if written: no output says itself what it was made of, so that the manifest is what counts."""
    if error is None:
        kinds = writers(NOTES, {"source": str(job.source), "checkpoint": "", "tuning_cents": 0})
        write_outputs({place: kinds[kind] for kind, place in job.outputs.items()})
    outputs = list(job.outputs.values())
    digest = digest_of(job.source)
    return Outcome(job.source, error, None, outputs, len(NOTES), duration_s=2.5, wall_s=0.1, digest=digest)


def open_manifest(
    out: Path, checkpoint: str = "abc", settings: Settings | None = None, shard: Shard | None = None
) -> Manifest:
    return Manifest(out / "manifest.csv", checkpoint, settings or Settings(), shard)


def left(manifest: Manifest, *jobs: Job) -> list[str]:
    """Names of those that --skip-existing leaves to do."""
    existing = ExistingOutputs(manifest._settings, lambda: manifest._checkpoint, manifest, skip=True)
    return [job.source.stem for job in jobs if existing.pending(job) is not None]


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
    do(job(out, "a", ("json",)))
    assert left(open_manifest(out), job(out, "a", ("mid", "json"))) == ["a"]  # by a run that is not known


def test_the_last_line_counts(out: Path) -> None:
    a = job(out, "a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
    with open_manifest(out, "newer") as manifest:
        manifest.add(do(a))
    assert left(open_manifest(out), a) == ["a"] and left(open_manifest(out, "newer"), a) == []


def test_an_error_leaves_what_was_made_before(out: Path) -> None:
    a = job(out, "a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
        manifest.add(do(a, "rec/a.wav: no space"))
    assert left(open_manifest(out), a) == []


def test_another_recording_for_the_same_output(out: Path) -> None:
    a = job(out, "a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
    moved = Path("elsewhere/a.wav")
    moved.parent.mkdir()
    moved.write_bytes(a.source.read_bytes())
    assert left(open_manifest(out), Job(moved, a.outputs)) == []  # the archive has moved
    for other in (Path("rec/a.flac"), moved):
        other.write_text("another sound")
        with pytest.raises(FileExistsError, match=r"another recording, a\.wav"):
            left(open_manifest(out), Job(other, a.outputs))
    a.source.write_text("changed")
    assert left(open_manifest(out), a) == ["a"]


def old_manifest(out: Path, names: tuple[str, ...], *jobs: Job) -> None:
    """As an earlier version wrote it."""
    words, more = describe_settings(Settings()), "," * (len(names) - len(FIRST_COLUMNS))
    lines = [
        f'{job.source},{job.source.stem}.mid,2.500,7,abc,{words} formats=mid,0.100,""{more}\n' for job in jobs
    ]
    (out / "manifest.csv").write_text(f"{','.join(names)}\n{''.join(lines)}")


@pytest.mark.parametrize("names", [FIRST_COLUMNS, COLUMNS[:-1]], ids=["the first", "0.1"])
def test_an_earlier_manifest_is_read_and_gets_its_new_header_once(out: Path, names: tuple[str, ...]) -> None:
    a, b, c = (job(out, name) for name in "abc")
    do(a), do(b)
    old_manifest(out, names, a, b)
    with open(out / "manifest.csv", "a") as file:
        file.write("rec/x.wav,x")  # the machine went off
    assert left(open_manifest(out), a, b, c) == ["c"]
    before = (out / "manifest.csv").stat().st_ino
    with open_manifest(out) as manifest:
        manifest.add(do(c))
    lines = (out / "manifest.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) and lines[3] == "rec/x.wav,x" and len(lines) == 5
    after = (out / "manifest.csv").stat().st_ino
    assert after != before and rows(out / "manifest.csv")[0]["checkpoint"] == "abc"
    assert left(open_manifest(out), a, b, c) == []
    with open_manifest(out) as manifest:
        manifest.add(do(c))
    assert (out / "manifest.csv").stat().st_ino == after
    a.source.write_text("changed since")
    assert left(open_manifest(out), a, b) == ["a"]


def test_what_is_no_manifest_is_not_written_to(out: Path) -> None:
    out.mkdir()
    mine = out / "manifest.csv"
    for text in ("piece,composer\n", "input,output\n", "\0\1"):
        mine.write_text(text)
        with pytest.raises(FileExistsError, match="--force"):
            open_manifest(out)
        assert mine.read_text() == text
    a = job(out, "a")
    with Manifest(mine, "abc", Settings(), force=True) as manifest:
        manifest.add(do(a))
    assert [row["input"] for row in rows(mine)] == ["rec/a.wav"]


def test_two_commands_with_force_share_a_manifest(out: Path) -> None:
    first, second = (Manifest(out / "manifest.csv", "abc", Settings(), force=True) for _ in range(2))
    with first, second:
        for manifest, name in ((first, "a"), (second, "b"), (first, "c")):
            manifest.add(do(job(out, name)))
    assert [row["output"] for row in rows(out / "manifest.csv")] == ["a.mid", "b.mid", "c.mid"]


def test_a_name_that_begins_with_two_points_lies_in_the_folder(out: Path) -> None:
    with open_manifest(out) as manifest:
        manifest.add(do(job(out, "..a")))
        manifest.add(do(job(out.parent, "b")))
    assert [row["output"] for row in rows(out / "manifest.csv")] == ["..a.mid", str(out.parent / "b.mid")]


def test_the_folder_may_be_moved(out: Path) -> None:
    a = job(out, "in/a")
    with open_manifest(out) as manifest:
        manifest.add(do(a))
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
    names = ['a,"b"', "two\nlines", "Übung ♯4", "\udcff latin", "-o"]
    jobs = [job(out, name) for name in names]
    with open_manifest(out) as manifest:
        for each in jobs:
            manifest.add(do(each))
    # A line is a recording: only a name of two lines is not found again.
    assert left(open_manifest(out), *jobs) == ["two\nlines"]
