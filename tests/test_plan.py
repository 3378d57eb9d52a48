"""Lists of recordings, their outputs, and parts of the work."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hppnet.offline.errors import UsageError
from hppnet.offline.inputs import FoundRecording, find_listed
from hppnet.offline.places import Url
from hppnet.offline.plan import Plan, Shard, parse_shard

pytestmark = pytest.mark.usefixtures("here")


def listed(text: str, output: str | None = "out", name: str = "list.txt") -> dict[str, str]:
    """Source -> output of a list."""
    Path(name).write_text(text, encoding="utf-8")
    plan = Plan(find_listed(name, refuse), ["mid"], None if output is None else Path(output))
    return {str(job.source): str(job.outputs["mid"]) for job in plan}


def refuse(place: object, why: str) -> None:
    raise AssertionError(f"{place}: {why}")


def test_a_text_lists_one_a_line_and_folders_stay_apart() -> None:
    got = listed("\ufeff# of the archive\nrec/a/x.wav\n\nrec/b/x.wav\r\nrec/a/x.wav\n")
    assert got == {"rec/a/x.wav": "out/a/x.mid", "rec/b/x.wav": "out/b/x.mid"}
    assert listed("rec/a/x.wav\nrec/b/y.wav\n", output=None)["rec/b/y.wav"] == "rec/b/y.mid"
    assert listed("/data/1/x.wav\n/data/2/x.wav\n")["/data/2/x.wav"] == "out/2/x.mid"
    assert listed("x.wav\n") == {"x.wav": "out/x.mid"}


def test_a_csv_names_its_columns() -> None:
    text = 'year,Path,output\n2004,"rec/a, b.wav",first.mid\n2006,rec/c.wav,\n2008,rec/d.wav,deep/second\n'
    got = listed(text, name="list.csv")
    assert got["rec/a, b.wav"] == "out/first.mid" and got["rec/d.wav"] == "out/deep/second.mid"
    assert got["rec/c.wav"] == "out/c.mid"
    assert listed("input\trest\nx.wav\t1\n", name="list.tsv") == {"x.wav": "out/x.mid"}
    with pytest.raises(UsageError, match="input, path or url, found: year, audio"):
        listed("year,audio\n2004,x.wav\n", name="list.csv")


def test_recordings_with_outputs_of_their_own_do_not_deepen_the_folders_of_others() -> None:
    got = listed("input,output\n/far/off/a.wav,a\n/data/x/b.wav,\n/data/y/c.wav,\n", name="list.csv")
    assert list(got.values()) == ["out/a.mid", "out/x/b.mid", "out/y/c.mid"]


def test_a_list_comes_through_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"a/x.wav\nb/y.wav\n")))
    assert [str(found.path) for found in find_listed("-", refuse)] == ["a/x.wav", "b/y.wav"]


def test_folders_and_what_is_missing_in_a_list() -> None:
    Path("rec/in").mkdir(parents=True)
    Path("rec/in/a.wav").touch()
    Path("list").write_text("rec\nnowhere.wav\n")
    assert [str(found.path) for found in find_listed("list", refuse)] == ["rec/in/a.wav", "nowhere.wav"]
    for text in ("", "\n# nothing\n"):
        with pytest.raises(UsageError, match="expected recordings"):
            listed(text)
    with pytest.raises(UsageError, match="No such file"):
        list(find_listed("no-list", refuse))


def test_one_output_for_two_recordings_is_wrong_use() -> None:
    with pytest.raises(UsageError, match=r"a\.wav, b\.wav"):
        listed("input,output\na.wav,x.mid\nb.wav,x.mid\n")
    with pytest.raises(UsageError, match=r"a\.wav, b\.wav"):
        listed("input,output\na.wav,x.mid\nb.wav,x\n")


@pytest.mark.parametrize("other", ["/rec/x.flac", "link/x.flac", "up/../rec/x.flac"])
def test_two_paths_of_one_folder_are_one_folder(here: Path, other: str) -> None:
    """Otherwise the second recording would silently overwrite the first one's output."""
    for folder in ("rec", "up"):
        Path(folder).mkdir()
    Path("link").symlink_to("rec")
    second = f"{here}{other}" if other.startswith("/") else other
    got = listed(f"rec/x.wav\n{second}\n", output=None)
    assert got == {"rec/x.wav": "rec/x.wav.mid", second: f"{second}.mid"}
    with pytest.raises(UsageError, match=r"a\.wav, b\.wav"):
        listed(f"input,output\na.wav,rec/x.mid\nb.wav,{here}/rec/x\n", output=None)


@pytest.mark.parametrize(
    ("entry", "output"),
    [
        ("../rec/x.wav", "out/x.mid"),
        ("../rec", "out/rec/x.mid"),
        ("..", "out/rec/x.mid"),
        ("../home/../rec", "out/rec/x.mid"),
    ],
)
def test_no_output_of_a_list_leaves_the_output_folder(
    here: Path, monkeypatch: pytest.MonkeyPatch, entry: str, output: str
) -> None:
    for path in (Path("rec/x.wav"), Path("home")):
        path.parent.mkdir(exist_ok=True)
        path.touch() if path.suffix else path.mkdir()
    monkeypatch.chdir("home")
    assert list(listed(f"a.wav\n{entry}\n").values()) == ["out/a.mid", output]


def test_urls_have_outputs_too() -> None:
    found = [
        FoundRecording(Url("memory://b/in/x.wav"), Path("in/x.wav")),
        FoundRecording(Url("memory://b/y.flac"), Path("y.flac")),
    ]
    assert [str(job.outputs["mid"]) for job in Plan(found, ["mid"])] == [
        "memory://b/in/x.mid",
        "memory://b/y.mid",
    ]
    out = Plan(found, ["mid"], Url("memory://other/midi"))
    assert [str(job.outputs["mid"]) for job in out] == [
        "memory://other/midi/in/x.mid",
        "memory://other/midi/y.mid",
    ]
    for web in ("https://host/x.wav", "zip://x.wav::takes.zip"):
        with pytest.raises(UsageError, match="-o"):
            Plan([FoundRecording(Url(web), Path("x.wav"))], ["mid"])
    with pytest.raises(UsageError, match="https cannot"):
        Plan(found, ["mid"], Url("https://host/out"))


def test_parts_are_the_whole_and_nothing_twice() -> None:
    found = [FoundRecording(Path(f"{n}.wav"), Path(f"{n}.wav")) for n in range(23)]
    parts = [Plan(found, ["mid"], None, Shard(n, 4)) for n in range(4)]
    assert [len(part) for part in parts] == [6, 6, 6, 5]
    sources = [str(job.source) for part in parts for job in part]
    assert sorted(sources) == sorted(str(item.path) for item in found)


def test_names_meet_across_parts() -> None:
    """Whose name must differ does not depend on which part of the work one does."""
    found = [FoundRecording(Path(name), Path(name)) for name in ("a.wav", "b.wav", "a.flac")]
    outputs = [str(job.outputs["mid"]) for n in range(3) for job in Plan(found, ["mid"], None, Shard(n, 3))]
    assert outputs == ["a.wav.mid", "b.mid", "a.flac.mid"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "x/4", "3", "", "1/2/3", "slurm"])
def test_parts_that_cannot_be(text: str) -> None:
    with pytest.raises(ValueError, match="--shard"):
        parse_shard(text, {})


def test_parts_of_a_job_array() -> None:
    def part(**said: int) -> Shard:
        return parse_shard("slurm", {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in said.items()})

    assert parse_shard("3/16") == Shard(2, 16)
    assert part(ID=5, COUNT=10, MIN=1) == Shard(4, 10)
    assert part(ID=0, COUNT=2) == Shard(0, 2)
    assert part(ID=12, COUNT=3, MIN=4, STEP=4) == Shard(2, 3)
    with pytest.raises(ValueError, match="gaps"):
        part(ID=7, COUNT=3, MIN=1)


MEASURE = """
import tracemalloc
from pathlib import Path
from hppnet.offline.inputs import FoundRecording
from hppnet.offline.plan import Plan

def most_mib(count):
    found = (FoundRecording(Path(f"a/{n % 97}/{n}.wav"), Path(f"{n % 97}/{n}.wav")) for n in range(count))
    tracemalloc.start()
    plan = Plan(found, ["mid"], Path("out"))
    assert sum(1 for _ in plan) == len(plan) == count
    most = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return most

most_mib(100)  # what is cached once for all
print(most_mib(600), most_mib(12_000))
"""


def test_memory_does_not_grow_with_recordings() -> None:
    # In a process of its own: pathlib adds to Python's table of names, which in a process that holds many is
    # now and then made anew, 7 MiB and more at once.
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    few, many = map(float, done.stdout.split())
    # Kept as objects they take 1.5 KB each.
    assert many < few + 6
