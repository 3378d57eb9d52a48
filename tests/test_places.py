"""Recordings and outputs by URL."""

from __future__ import annotations

import functools
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.offline.inputs import find_recordings
from hppnet.offline.places import Url, local_copy, place_of, uploaded
from hppnet.offline.reading import AudioError, open_recording

from . import needs

fsspec = needs.module("fsspec", "cluster")


def wav(seconds: float = 1.0) -> bytes:
    file = io.BytesIO()
    soundfile.write(
        file, 0.1 * np.random.default_rng(0).standard_normal(round(seconds * 16_000)), 16_000, format="WAV"
    )
    return file.getvalue()


@pytest.fixture
def memory() -> Iterator[object]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "my take.wav").write_bytes(wav())
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def transcribe(small: Path, *arguments: object):
    options = ["transcribe", "--checkpoint", str(small), "--jobs", "1", *map(str, arguments)]
    return CliRunner().invoke(app, options)


def found(*arguments: str) -> list[tuple[str, str]]:
    failures: list = []
    got = [
        (str(item.path), item.relative.as_posix())
        for item in find_recordings(arguments, lambda *failure: failures.append(failure))
    ]
    assert not failures, failures
    return got


def test_the_parts_of_a_url() -> None:
    url = Url("zip://in/a.wav::s3://b/x.zip")
    assert (url.name, url.suffix, url.scheme) == ("a.wav", ".wav", "zip")
    assert url.parent == Url("zip://in::s3://b/x.zip")
    assert url.with_name("b.mid") == Url("zip://in/b.mid::s3://b/x.zip")
    assert Url("s3://b/midi/") / Path("in/a.wav") == Url("s3://b/midi/in/a.wav")
    assert Url("https://h/my%20take.wav?key=1/2").name == "my take.wav"
    assert place_of("file:///a%20b/c.wav") == Path("/a b/c.wav")
    assert place_of("a::b.wav") == Path("a::b.wav")


def test_folders_and_patterns_in_a_store(memory) -> None:
    for name in ("/rec/a.wav", "/rec/in/b.flac", "/rec/.hidden/c.wav", "/rec/notes.txt", "/rec/._a.wav"):
        memory.pipe_file(name, b"x")
    assert found("memory://rec") == [
        ("memory:///rec/a.wav", "a.wav"),
        ("memory:///rec/in/b.flac", "in/b.flac"),
    ]
    assert found("memory://rec/*.wav") == [("memory:///rec/a.wav", "a.wav")]
    assert found("memory://rec/in/b.flac") == [("memory://rec/in/b.flac", "b.flac")]
    assert found("memory://rec", "memory://rec/in")[-1] == ("memory:///rec/in/b.flac", "in/b.flac")


def test_folders_of_a_store_are_searched_in_the_order_of_their_names(memory) -> None:
    """Not as the store lists them: all tasks of a job array must see the same order."""
    for name in ("/rec/b/x.wav", "/rec/a/y.wav", "/rec/a/c/x.wav", "/rec/a/b/x.wav", "/rec/z.wav"):
        memory.pipe_file(name, b"x")
    assert [name for _, name in found("memory://rec")] == [
        *("z.wav", "a/y.wav", "a/b/x.wav", "a/c/x.wav", "b/x.wav"),
    ]


def test_from_a_store_to_a_store(memory, small: Path) -> None:
    memory.pipe_file("/rec/in/a.wav", wav())
    memory.pipe_file("/rec/bad.wav", b"no sound")
    result = transcribe(small, "memory://rec", "-o", "memory://out", "--format", "mid,json")
    assert result.exit_code == 1 and "1 file transcribed" in result.output
    assert sorted(memory.find("/out")) == ["/out/in/a.json", "/out/in/a.mid"]
    assert memory.cat_file("/out/in/a.mid")[:4] == b"MThd"
    assert b'"source": "memory:///rec/in/a.wav"' in memory.cat_file("/out/in/a.json")
    # The line names what was asked for, not a copy of it.
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert "memory:///rec/bad.wav: " in line and "/hppnet-" not in line
    again = transcribe(small, "memory://rec/in", "-o", "memory://out/in", "--skip-existing")
    assert "1 skipped" in again.output


def test_labels_in_a_store_are_not_overwritten(memory, small: Path) -> None:
    memory.pipe_file("/rec/a.wav", wav())
    memory.pipe_file("/rec/a.mid", b"MThd somebody's labels")
    result = transcribe(small, "memory://rec")
    assert result.exit_code == 1 and "may be labels" in result.output
    assert memory.cat_file("/rec/a.mid") == b"MThd somebody's labels"


def test_a_store_that_fails_once_costs_one_recording(memory, small: Path, monkeypatch) -> None:
    """Each store has exceptions of its own, few of which are OSErrors."""
    for name in "abc":
        memory.pipe_file(f"/rec/{name}.wav", wav())
    there = Url.exists

    def exists(place: Url) -> bool:
        if place.name == "b.mid":
            raise RuntimeError("Could not connect to\nthe endpoint")
        return there(place)

    monkeypatch.setattr(Url, "exists", exists)
    for more in (["--dry-run"], []):
        result = transcribe(small, "memory://rec", "-o", "memory://out", *more)
        (line,) = result.stderr.splitlines()
        assert result.exit_code == 1 and "b.wav: " in line and "connect to the endpoint" in line
    assert sorted(memory.find("/out")) == ["/out/a.mid", "/out/c.mid"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_archives(kind: str, tmp_path: Path, small: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "zip":
        with zipfile.ZipFile("takes.zip", "w") as archive:
            archive.writestr("in/a.wav", wav())
            archive.writestr("b.wav", wav())
    else:
        with tarfile.open("takes.tar", "w") as archive:
            for name in ("in/a.wav", "b.wav"):
                member = tarfile.TarInfo(name)
                member.size = len(wav())
                archive.addfile(member, io.BytesIO(wav()))
    result = transcribe(small, f"{kind}://::takes.{kind}", "-o", "out")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("out").rglob("*.mid")) == ["a.mid", "b.mid"]
    assert transcribe(small, f"{kind}://in/a.wav::takes.{kind}", "-o", "one.mid").exit_code == 0
    assert Path("one.mid").read_bytes() == Path("out/in/a.mid").read_bytes()
    assert transcribe(small, f"{kind}://b.wav::takes.{kind}").exit_code == 2  # nothing is put into archives


def test_over_http(web: str, tmp_path: Path, small: Path) -> None:
    needs.module("aiohttp", "cluster")
    result = transcribe(small, f"{web}/my%20take.wav", f"{web}/gone.wav", "-o", tmp_path / "out")
    assert (tmp_path / "out" / "my take.mid").exists()
    assert result.exit_code == 1 and f"{web}/gone.wav: cannot be read" in result.stderr


def test_file_urls_are_paths(tmp_path: Path, small: Path) -> None:
    (tmp_path / "a b.wav").write_bytes(wav())
    assert transcribe(small, f"file://{tmp_path}/a%20b.wav").exit_code == 0
    assert (tmp_path / "a b.mid").exists()


def test_outputs_are_whole_or_not_there(tmp_path: Path) -> None:
    """Where files grow as they are written, they do so under another name."""
    target = Url(f"local://{tmp_path}/out/a.mid")
    with uploaded(target) as copy:
        copy.write_bytes(b"whole")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mid"]
    with pytest.raises(ZeroDivisionError), uploaded(target) as copy:
        copy.write_bytes(b"half")
        raise ZeroDivisionError
    assert (tmp_path / "out" / "a.mid").read_bytes() == b"whole"
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as raised, uploaded(Url(f"local://{tmp_path}/file/a.mid")) as copy:
        copy.touch()
    assert raised.value.filename == f"local://{tmp_path}/file/a.mid"


def test_copies_go_when_they_were_read(memory) -> None:
    memory.pipe_file("/a.wav", wav(0.5))
    with local_copy(Url("memory://a.wav")) as copy, open_recording(copy) as recording:
        assert sum(map(len, recording.blocks())) == 8000
    assert not copy.exists()
    with (
        pytest.raises(AudioError, match=r"memory://b\.wav: cannot be read"),
        local_copy(Url("memory://b.wav")),
    ):
        pass


def test_protocols_that_nobody_knows(small: Path, tmp_path: Path) -> None:
    result = transcribe(small, "nonsense://x/a.wav", "-o", tmp_path)
    assert result.exit_code == 2 and "nonsense" in result.stderr
