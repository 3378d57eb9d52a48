"""Outputs that are there already: what is replaced, what is skipped, and what is nobody's to touch."""

from __future__ import annotations

import csv
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.config import ModelConfig
from hppnet.model.notes import Note, write_midi
from hppnet.model.transcriber import Transcription
from hppnet.offline.former import Former
from hppnet.offline.inputs import find_recordings
from hppnet.offline.job import Facts, write_result
from hppnet.offline.origin import digest_of, is_whole, origin_of
from hppnet.offline.outputs import Job
from hppnet.offline.plan import Plan
from hppnet.offline.settings import Settings, describe_settings

KINDS = ("mid", "csv", "json")
NOTES = [Note(0.1 * n, 0.1 * n + 0.05, 60 + n, 64) for n in range(5)]
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Model:
    config: ModelConfig = field(default_factory=ModelConfig)
    checkpoint_name: str = "some.safetensors abc"


def make(job: Job, options: Settings | None = None, checkpoint: str = "abc") -> None:
    """The outputs of a job as they are written, without a network."""
    model = Model(checkpoint_name=f"some.safetensors {checkpoint}")
    facts = Facts(digest_of(Path(str(job.source))), [])
    write_result(job, model, options or Settings(), Transcription(NOTES, 1.0, None, None), facts)


def former(options: Settings | None = None, checkpoint: str = "abc", **more: bool) -> Former:
    return Former(describe_settings(options or Settings()), lambda: checkpoint, **more)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sound(path: str, seed: int = 0, seconds: float = 0.3) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds)), 16_000)
    return Path(path)


@pytest.fixture
def run(small: Path):
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["transcribe", "--checkpoint", str(small), *arguments])

    return run


def contents(folder: Path = Path()) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- overwriting ---

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
    for looking in (former(), former(skip=True)):
        with pytest.raises(FileExistsError, match="--force"):
            looking.left(job)
    with pytest.raises(FileExistsError):
        job.check_free()  # whoever writes looks again
    assert job.outputs[kind].read_bytes() == begin + rest
    assert former(force=True).left(job) == replace(job, replaceable=frozenset({kind}))


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
    assert result.exit_code == 0 and "below its own folder" in result.stderr
    assert run("x/rec", "y/rec", "x/b.wav", "y/b.wav", "-o", "out", "--jobs", "1").exit_code == 0
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


# --- skipping ---


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
        job = former(self.options, self.checkpoint).left(self.job)
        assert job is not None
        make(job, self.options, self.checkpoint)
        self.made = self.now()

    @rule(number=st.integers(0, 2))
    def change_the_input(self, number: int) -> None:
        status = self.job.source.stat()
        self.job.source.write_bytes(b"sound %d" % number)
        os.utime(self.job.source, ns=(status.st_atime_ns, status.st_mtime_ns))  # nobody sees it by its time

    @rule(threshold=st.sampled_from([None, 0.3]), offsets=st.sampled_from(["keys", "sounding"]))
    def change_the_settings(self, threshold: float | None, offsets: str) -> None:
        self.options = Settings(onset_threshold=threshold, offsets=offsets, device="cpu", batch=2)

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
        left = former(self.options, self.checkpoint, skip=True).left(self.job)
        assert (left is None) == (self.speaks and self.made == self.now())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


TestSkipping = Skipping.TestCase
TestSkipping.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


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
def test_another_recording_does_not_take_a_former_runs_output(here: Path, run, options: list[str]) -> None:
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
