"""Standard input and output, pipes that nobody reads, and whatever bytes a file's name may have."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from hppnet.model.notes import read_midi
from hppnet.offline import places
from hppnet.offline.places import remove_dead_copies
from hppnet.offline.provenance import is_whole, origin_of
from hppnet.offline.request import piped

from .made_outputs import sound
from .needs import needs


@pytest.fixture
def here(here: Path) -> Path:
    sound("a.wav")
    return here


def test_wav_in_and_midi_out(here: Path, run) -> None:
    wav = Path("a.wav").read_bytes()
    for more in ([], ["--show"], ["-v"]):
        result = run("-", "-o", "-", *more, given=wav)
        assert result.exit_code == 0, result.stderr
        Path("out.mid").write_bytes(result.stdout_bytes)
        assert is_whole(Path("out.mid"), None) and "- -> -:" in result.stderr
    assert run("a.wav", "-o", "b.mid").exit_code == 0
    assert read_midi("out.mid") == read_midi("b.mid")
    result = run("a.wav", "-o", "-", "--format", "json", "-q")
    assert result.stdout.startswith("{") and result.stderr == ""
    for kind in ("json", "jsonl"):
        assert run("-", "-o", f"said.{kind}", given=wav).exit_code == 0
        first = json.loads(Path(f"said.{kind}").read_text().partition("\n" if kind == "jsonl" else "\0")[0])
        assert first["source"] == "-"
    assert run("-", "-o", "out", given=wav).exit_code == 0 and Path("out/standard-input.mid").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-"], 2, "name the output"),
        (["-", "-", "-o", "-"], 2, "once"),
        (["-", "a.wav", "-o", "-"], 2, "expected one recording"),
        (["a.wav", "-o", "-", "--format", "mid,csv"], 2, "one output"),
        (["a.wav", "-o", "-", "--plot"], 2, "--plot"),
        (["-", "-o", "b.mid", "--cluster", "local"], 2, "--cluster"),
        (["a.wav", "-o", "-", "--cluster", "tcp://far:8786"], 2, "--cluster"),
        (["-", "-o", "-"], 1, "standard input: expected sound, the file is empty"),
        (["-", "-o", "-", "--dry-run"], 0, "- -> -\n"),
    ],
)
def test_pipes_that_cannot_be_meant(here: Path, run, arguments: list[str], code: int, said: str) -> None:
    result = run(*arguments, given=b"")
    assert result.exit_code == code and said in result.stderr, result.stderr
    assert result.stdout == "" and [path.name for path in here.iterdir()] == ["a.wav"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pipes as on Unix")
def test_a_reader_that_closes_the_pipe(here: Path, small: Path) -> None:
    command = [sys.executable, "-m", "hppnet", "transcribe", "a.wav", "--checkpoint", str(small), "--show"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == 1 and done.stderr == ""


NAMES = [
    b"\xff\xfe.wav",
    b"two\nlines.wav",
    b"-v.wav",
    b"--help.wav",
    b"x" * 251 + b".wav",
    "ü".encode() * 125 + b".flac",
    b"$a^$.wav",
    b"[x].wav",
    b"~nobody.wav",
    b"http:.wav",
    b"\x1b[31mred.wav",
    b"%d.wav",
    "Übung ♯4 ピアノ.wav".encode(),
]


def test_what_a_killed_command_left_of_standard_input_is_removed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(places, "runs", lambda process: False)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"sound")))
    with piped(["-"], "take.mid", None) as (paths, _, _):
        assert Path(paths[0]).read_bytes() == b"sound"
        remove_dead_copies()
        assert not Path(paths[0]).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes")
def test_names_of_any_bytes(here: Path, run) -> None:
    sound("a.flac")
    os.mkdir("rec")
    for name in NAMES:
        shutil.copy(f"a.{name.rpartition(b'.')[2].decode()}", os.path.join(b"rec", name))
    result = run("rec", "--format", "mid,csv")
    assert result.exit_code == 0 and result.stderr == "", result.stderr
    assert len(result.stdout.splitlines()) == len(NAMES) + 1 and "\x1b" not in result.stdout
    for name in NAMES:
        midi = Path(os.fsdecode(os.path.join(b"rec", name.rpartition(b".")[0] + b".mid")))
        origin = origin_of(midi)
        assert is_whole(midi, None) and origin is not None and origin.input == os.fsdecode(name)
    again = run("rec", "--skip-existing")
    assert f"{len(NAMES)} skipped" in again.stdout
    os.chdir("rec")
    os.unlink("-v.mid")
    assert run("--", "-v.wav").exit_code == 0 and Path("-v.mid").exists()
    assert run("~nobody.wav", "[x].wav", "two\nlines.wav", "http:.wav").exit_code == 0


@needs("ffmpeg")
def test_names_of_any_bytes_through_ffmpeg(here: Path, run) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-i", "a.wav", "a.m4a"], check=True)
    os.mkdir("rec")
    names = [b"\xff.m4a", b"two\nlines.m4a", b"-i.m4a", b"a:b.m4a", b"x" * 251 + b".m4a", b"%03d.m4a"]
    for name in names:
        shutil.copy("a.m4a", os.path.join(b"rec", name))
    os.chdir("rec")
    assert run(".").exit_code == 0
    assert len(list(Path().glob("*.mid"))) == len(names)


def test_a_name_too_long_for_its_output_is_said(here: Path, run) -> None:
    sound("rec/" + "x" * 251 + ".wav")
    result = run("rec", "--format", "json")
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1 and "longer than 255 bytes; name the output with -o" in line
