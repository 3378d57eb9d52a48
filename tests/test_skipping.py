"""``--skip-existing`` leaves out what would be made just as it is there, and nothing else."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from rich.progress import Progress, TaskID
from rich.status import Status
from typer.testing import CliRunner

import hppnet.offline.run
from hppnet.cli import app
from hppnet.model import files
from hppnet.model.notes import write_midi
from hppnet.offline.jobs import Job
from hppnet.offline.settings import Settings, describe_settings

from .made_outputs import KINDS, NOTES, contents, existing_outputs, make, sound


class Skipping(RuleBasedStateMachine):
    """Whatever is changed, exactly what is no longer right is done again."""

    @initialize(kinds=st.sets(st.sampled_from(KINDS), min_size=1).map(sorted))
    def begin(self, kinds: list[str]) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp(prefix="hppnet-test-"))
        (self.folder / "a.wav").write_bytes(b"sound 0")
        self.job = Job(self.folder / "a.wav", {kind: self.folder / f"a.{kind}" for kind in kinds})
        self.options, self.checkpoint, self.count = Settings(), "abc", 0
        make(self.job)
        # A table by itself says nothing of where it comes from, and there is no manifest here.
        self.speaks = kinds != ["csv"]
        self.made: tuple[object, ...] | None = self.now()

    def now(self) -> tuple[object, ...]:
        return (self.job.source.read_bytes(), describe_settings(self.options), self.checkpoint)

    @rule()
    def do(self) -> None:
        job = existing_outputs(self.options, self.checkpoint).pending(self.job)
        assert job is not None
        make(job, self.options, self.checkpoint)
        self.made = self.now()

    @rule(number=st.integers(0, 2))
    def change_the_input(self, number: int) -> None:
        status = self.job.source.stat()
        self.job.source.write_bytes(b"sound %d" % number)
        os.utime(self.job.source, ns=(status.st_atime_ns, status.st_mtime_ns))  # nobody sees it by its time

    @rule(threshold=st.sampled_from([None, 0.3]), note_ends=st.sampled_from(["keys", "sounding"]))
    def change_the_settings(self, threshold: float | None, note_ends: str) -> None:
        self.options = Settings(onset_threshold=threshold, note_ends=note_ends, device="cpu", batch=2)

    @rule(name=st.sampled_from(["abc", "def"]))
    def change_the_weights(self, name: str) -> None:
        self.checkpoint = name

    @rule(data=st.data())
    def break_an_output(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(sorted(self.job.outputs.values())))
        if place.exists():
            whole = place.read_bytes()
            # JSON is whole without its last line break.
            # So much that it can still be told who wrote it, or nothing at all.
            least = min(len(whole) - 1, 400)
            cut = data.draw(st.one_of(st.just(0), st.integers(least, max(least, len(whole) - 2))))
            place.write_bytes(whole[:cut])
            self.made = None

    @rule(data=st.data())
    def remove_an_output(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(sorted(self.job.outputs.values()))).unlink(missing_ok=True)
        self.made = None

    @invariant()
    def skips_what_is_right(self) -> None:
        left = existing_outputs(self.options, self.checkpoint, skip=True).pending(self.job)
        assert (left is None) == (self.speaks and self.made == self.now())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestSkipping = Skipping.TestCase
TestSkipping.settings = settings(max_examples=25, stateful_step_count=12)


def test_what_a_killed_run_wrote_and_did_not_record_is_made_again(here: Path, run) -> None:
    sound("rec/a.wav"), sound("rec/b.wav", 1)
    assert run("rec", "-o", "out").exit_code == 0
    manifest = Path("out/manifest.csv")
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]))
    again = run("rec", "-o", "out", "--skip-existing")
    assert again.exit_code == 0 and again.stdout.count(" notes, ") == 1, again.output
    with open(manifest, newline="") as file:
        assert sorted(row["output"] for row in csv.DictReader(file)) == ["a.mid", "b.mid"]


def test_a_shuffled_list_scans_each_output_folder_once(
    here: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x/a", "y/b", "x/c", "y/d"):
        sound(f"rec/{name}.wav")
    Path("list").write_text("rec/x/a.wav\nrec/y/b.wav\nrec/x/c.wav\nrec/y/d.wav\n")
    scanned = []
    monkeypatch.setattr(hppnet.offline.run, "remove_dead_parts", scanned.append)
    assert run("--list", "list", "-o", "out").exit_code == 0
    once = [Path("out/x"), Path("out/y")]
    assert scanned == once + once  # before and after


def test_a_recording_must_not_take_the_manifests_name(here: Path, run) -> None:
    sound("rec/manifest.wav"), sound("rec/a.wav", 1), sound("rec/b/manifest.wav", 2)
    for options in ((), ("--dry-run",)):
        result = run("rec", "-o", "out", "--format", "csv", *options)
        assert result.exit_code == 1
        assert "cannot write out/manifest.csv: the manifest of all recordings has this name" in result.stderr
    with open("out/manifest.csv", newline="") as file:
        assert sorted(row["output"] for row in csv.DictReader(file)) == ["a.csv", "b/manifest.csv"]


def test_a_worker_of_a_killed_run_may_end_during_the_next_run(
    here: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound("rec/a.wav")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as worker:
        part = Path(f"out/{files.PART_PREFIX}-{worker.pid}-0-{files.machine_name()}.part")
        part.parent.mkdir()
        part.touch()
        running = hppnet.offline.run._run

        def ends(*arguments: Any) -> int:
            assert part.exists()  # the folder has been cleaned
            worker.communicate(b"\n")
            return running(*arguments)

        monkeypatch.setattr(hppnet.offline.run, "_run", ends)
        assert run("rec", "-o", "out").exit_code == 0
    assert worker.returncode == 0 and not part.exists()


def test_the_bar_of_many_counts_what_is_skipped(here: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        sound(f"rec/{seed}.wav", seed)
    assert run("rec").exit_code == 0
    sound("rec/1.wav", 10), sound("rec/3.wav", 11)
    monkeypatch.setattr(hppnet.offline.run, "_FEW", 1)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    shown = []
    update = Progress.update

    def seen(self: Progress, task: TaskID, **fields: Any) -> None:
        shown.append((fields["completed"], fields["total"]))
        update(self, task, **fields)

    monkeypatch.setattr(Progress, "update", seen)
    said: list[str] = []
    monkeypatch.setattr(Status, "update", lambda self, words: said.append(words))
    again = run("rec", "--skip-existing")
    assert "2 files transcribed" in again.stdout and "3 skipped" in again.stdout, again.output
    assert shown[-1] == (5, 5)
    assert said == [f"recordings that are done already: {n}" for n in (1, 2)]  # the bar counts the rest


@pytest.mark.slow
def test_skipping_beside_recordings_and_in_folders(here: Path, run, small: Path) -> None:
    def skipped(*more: str) -> int:
        result = run("rec", "--skip-existing", *more)
        assert result.exit_code == 0, result.output
        return 2 - result.stdout.count(" notes, ")

    for options in ([], ["-o", "out", "--format", "csv"], ["-o", "out2", "--format", "json,mid", "--plot"]):
        sound("rec/a.wav"), sound("rec/b.wav", 1)
        assert skipped(*options) == 0
        assert skipped(*options) == 2
        sound("rec/a.wav", 2)
        assert skipped(*options) == 1
        assert skipped(*options) == 2
        assert skipped(*options, "--onset-threshold", "0.3") == 0
        assert skipped(*options) == 0
        first = next(
            path for path in Path(options[1] if options else "rec").glob("a.*") if path.suffix != ".wav"
        )
        first.write_bytes(b"")
        assert skipped(*options) == 1
        if options:
            first.write_bytes(b"broken")
            assert skipped(*options) == 1
        other = shutil.copy(small, here / "other.safetensors")
        if not options:
            change_a_weight(Path(other))
            result = CliRunner().invoke(app, ["transcribe", "rec", "--skip-existing", "--checkpoint", other])
            assert result.exit_code == 0 and "skipped" not in result.stdout


def change_a_weight(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("options", [["--format", "mid"], ["--format", "csv"]])
def test_another_recording_does_not_take_an_earlier_runs_output(here: Path, run, options: list[str]) -> None:
    sound("x/a.wav", 0), sound("y/a.wav", 1), sound("z/a.flac", 2)
    Path("same").mkdir()
    shutil.copy("x/a.wav", "same/a.wav")
    assert run("x", "-o", "out", *options).exit_code == 0
    before = contents(Path("out"))
    for other in ("y", "z"):
        for more in ([], ["--skip-existing"], ["--dry-run"]):
            result = run(other, "-o", "out", *options, *more)
            (line,) = result.stderr.splitlines()
            assert result.exit_code == 1 and "holds the notes of another recording, a.wav" in line
            assert contents(Path("out")) == before
    result = run("same", "-o", "out", *options, "--skip-existing")
    assert result.exit_code == 0 and "1 skipped" in result.stdout
    assert run("y", "-o", "out", *options, "--force").exit_code == 0
    with open("out/manifest.csv", newline="") as file:
        assert [row["input"] for row in csv.DictReader(file)] == ["x/a.wav", "y/a.wav"]


def test_what_has_no_words_is_done_again(here: Path, run) -> None:
    """As version 0.1 wrote it, where no manifest tells what it was made of."""
    sound("rec/a.wav")
    write_midi(NOTES, "rec/a.mid")
    assert "1 file transcribed" in run("rec", "--skip-existing").stdout
    assert "1 skipped" in run("rec", "--skip-existing").stdout


def test_force_and_skip_existing_do_not_go_together(here: Path, run) -> None:
    sound("rec/a.wav")
    assert run("rec", "--force", "--skip-existing").exit_code == 2
