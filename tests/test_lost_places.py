"""Full disks, lost permissions, shares that vanish: the file is named, nothing is left half written."""

from __future__ import annotations

import csv
import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.offline.existing_outputs import ExistingOutputs
from hppnet.offline.jobs import Job
from hppnet.offline.manifest import Manifest
from hppnet.offline.settings import Settings
from hppnet.offline.writing import write_outputs

from .conftest import Transcribe
from .test_manifest import do, job

KINDS = ("--format", "mid,csv,json", "--plot")
root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="needs root, to mount and to forbid"
)


@pytest.fixture
def rec(here: Path) -> Path:
    rec = here / "rec"
    rec.mkdir()
    sound(rec / "a.wav")
    return rec


def sound(path: Path, seed: int = 0) -> None:
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(8000), 16_000)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.csv"}


@contextmanager
def disk(place: Path, size: str) -> Iterator[None]:
    """A disk of its own, so small."""
    place.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)])
    if mounted.returncode:
        pytest.skip("cannot mount here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@root
@pytest.mark.parametrize(
    "room",
    [*(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1)), 5],
    ids=lambda pages: f"{pages} pages free",
)
def test_a_full_disk(rec: Path, run: Transcribe, room: int) -> None:
    """Wherever it happens to be full: before the first output, between two of them, within the picture."""
    out = Path("out")
    with disk(out, "256k"):
        assert run("rec", "-o", "out", *KINDS).exit_code == 0
        before = contents(out)
        assert len(before) == 4
        fill(out / "filling", room)
        sound(rec / "a.wav", 1)
        result = run("rec", "-o", "out", *KINDS)
        assert result.exit_code == 1
        assert (
            "No space left" in result.stderr and "out" in result.stderr and "Traceback" not in result.output
        )
        (out / "filling").unlink()
        assert contents(out) == before
        assert_lines_are_whole(out / "manifest.csv")
        assert run("rec", "-o", "out", "--skip-existing", *KINDS).exit_code == 0
        assert contents(out) != before


def fill(path: Path, pages: int) -> None:
    """All of a disk but so many pages."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(file.tell() - pages * 4096)


def assert_lines_are_whole(manifest: Path) -> None:
    with open(manifest, newline="") as file:
        widths = {len(row) for row in csv.reader(file)}
    assert widths == {12} and manifest.read_bytes().endswith(b"\n")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits as on Unix")
def test_a_limit_on_file_sizes(rec: Path, small: Path) -> None:
    """As a quota: a process of its own may write no file of more than so many bytes."""
    command = [sys.executable, "-m", "hppnet", "transcribe", "rec", "--checkpoint", str(small), *KINDS]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731
    done = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert done.returncode == 1 and "File too large" in done.stderr and "rec" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and [path.name for path in rec.iterdir()] == ["a.wav"]


@root
@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
@pytest.mark.parametrize(
    "kind", ["mid", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("csv", "json", "png"))]
)
def test_one_output_cannot_be_replaced(rec: Path, run: Transcribe, kind: str) -> None:
    """The others then stay as they were: an old table beside new notes would be wrong in silence."""
    assert run("rec", *KINDS).exit_code == 0
    fixed = rec / f"a.{kind}"
    if subprocess.run(["chattr", "+i", str(fixed)]).returncode:
        pytest.skip("this file system knows no such attribute")
    try:
        sound(rec / "a.wav", 1)
        before = contents(rec)
        result = run("rec", *KINDS)
        assert result.exit_code == 1 and str(Path("rec", f"a.{kind}")) in result.stderr
        assert contents(rec) == before
    finally:
        subprocess.run(["chattr", "-i", str(fixed)], check=True)
    assert run("rec", *KINDS).exit_code == 0
    assert contents(rec) != before


@contextmanager
def owner_alone() -> Iterator[None]:
    """This thread keeps to the modes of files, as others than root do, and still reads its modules."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = (
        (ctypes.c_uint32 * 2)(0x20080522, 0),
        (ctypes.c_uint32 * 6)(),
    )  # linux/capability.h, version 3
    assert libc.capget(header, held) == 0
    fewer = (ctypes.c_uint32 * 6)(held[0] & ~0b110, *held[1:])  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@root
def test_folders_that_may_not_be_written_to(rec: Path, run: Transcribe) -> None:
    assert run("rec", "-o", "warm", *KINDS).exit_code == 0
    for folder in (rec, Path("warm"), Path(".")):
        folder.chmod(0o555)
    try:
        for arguments in (["rec"], ["rec", "-o", "out"], ["rec", "-o", "warm"], ["rec", "-o", "rec/new.mid"]):
            with owner_alone():
                result = run(*arguments)
            assert result.exit_code == 1 and "Permission denied" in result.stderr, result.output
            assert arguments[-1] in result.stderr and "Traceback" not in result.output
            assert [path.name for path in rec.iterdir()] == ["a.wav"] and not Path("out").exists()
    finally:
        Path(".").chmod(0o755)


@root
def test_a_share_that_vanishes(rec: Path, run: Transcribe) -> None:
    """Nothing is put into the empty folder that is left of it."""
    share = Path("share")
    with disk(share, "1m"):
        task = ExistingOutputs("", str, output=share / "out")
    outputs = {"mid": share / "out" / "a.mid"}
    with pytest.raises(OSError, match="still mounted"):
        task.pending(Job(rec / "a.wav", outputs))
    assert not any(share.iterdir())
    result = run("share/a.wav", "-o", "out")
    assert result.exit_code == 2 and "share/a.wav" in result.stderr


def test_a_line_of_the_manifest_is_whole_or_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    a, b = job(out, "a"), job(out, "b")
    with Manifest(out / "manifest.csv", "abc", Settings()) as manifest:
        manifest.add(do(a))
        before = (out / "manifest.csv").read_bytes()
        outcome = do(b)
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, old[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                manifest.add(outcome)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert (out / "manifest.csv").read_bytes() == before
        manifest.add(outcome)
    assert_lines_are_whole(out / "manifest.csv")


def test_all_outputs_or_what_was_there(tmp_path: Path) -> None:
    """The second cannot take its place: the first gives its own back."""
    old, new, folder = tmp_path / "a.mid", tmp_path / "a.csv", tmp_path / "a.json"
    old.write_text("old")
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_outputs({path: lambda part: part.write_text("new") for path in (old, new, folder)})
    assert old.read_text() == "old" and sorted(path.name for path in tmp_path.iterdir()) == [
        "a.json",
        "a.mid",
    ]
