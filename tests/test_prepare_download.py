"""``hppnet prepare maestro --download``: fetching and unpacking, against an HTTP server of this machine."""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.training.prepare.download import DownloadError, download, unpack

from .data_sets import maestro_in

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path, as it is told to."""

    content = CONTENT
    etag: str | None = '"one"'
    ranges = True  #: understands Range
    length: int | None = None  #: what it claims; None: the truth
    breaks_after: list[int]  #: bytes after which the next connections end
    fails_with: list[int]  #: codes of the next answers
    asked: list[dict[str, str]]  #: headers of the requests


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, start = self.server, 0
        server.asked.append(dict(self.headers))
        if server.fails_with:
            return self.send_error(server.fails_with.pop(0))
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range") in (None, server.etag)
        if wanted and server.ranges and same:
            start = int(wanted[1])
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(server.length or len(server.content) - start))
        self.end_headers()
        end = start + server.breaks_after.pop(0) if server.breaks_after else len(server.content)
        self.wfile.write(server.content[start:end])

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.breaks_after, running.fails_with, running.asked = [], [], []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def address(server: Server, name: str = "data.zip") -> str:
    return f"http://127.0.0.1:{server.server_port}/{name}?token=1"


def fetch(server: Server, folder: Path, sha256: str | None = SHA256) -> Path:
    return download(address(server), folder, lambda *_: None, sha256, pauses_s=(0.0, 0.0))


def test_a_file_comes_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    path = download(address(server), tmp_path, lambda *step: steps.append(step), SHA256)
    assert path == tmp_path / "data.zip" and path.read_bytes() == CONTENT
    assert steps[-1] == ("checking", 3_000_000, 3_000_000) and ("downloading", 0, 3_000_000) in steps
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]
    fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_broken_connections_are_taken_up_where_they_ended(server: Server, tmp_path: Path) -> None:
    server.breaks_after = [1_000_000, 1_500_000]
    server.fails_with = [503]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert [asked.get("Range") for asked in server.asked] == [None, None, "bytes=1000000-", "bytes=2500000-"]


def stopped_after(server: Server, folder: Path, amount: int) -> None:
    """Leaves the first bytes behind."""
    server.breaks_after = [amount, 0, 0]
    with pytest.raises(DownloadError, match=f"{amount} bytes are kept, the same command goes on"):
        fetch(server, folder)
    assert (folder / "data.zip.part").stat().st_size == amount and not (folder / "data.zip").exists()
    server.asked.clear()


def test_a_later_run_goes_on(server: Server, tmp_path: Path) -> None:
    stopped_after(server, tmp_path, 2_000_000)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert [asked["Range"] for asked in server.asked] == ["bytes=2000000-"]


def test_a_server_without_marks_or_ranges_will_do(server: Server, tmp_path: Path) -> None:
    server.etag = None
    stopped_after(server, tmp_path, 2_000_000)
    assert fetch(server, tmp_path).read_bytes() == CONTENT and server.asked[0]["Range"] == "bytes=2000000-"
    server.ranges, server.breaks_after = False, [2_000_000]  # then it begins again
    assert fetch(server, tmp_path / "other").read_bytes() == CONTENT


def test_halves_of_two_versions_are_not_joined(server: Server, tmp_path: Path) -> None:
    stopped_after(server, tmp_path, 2_000_000)
    server.content, server.etag = CONTENT[1_500_000:], '"two"'  # shorter than what has come
    assert fetch(server, tmp_path, None).read_bytes() == CONTENT[1_500_000:]


def test_what_was_whole_already_is_only_checked(server: Server, tmp_path: Path) -> None:
    stopped_after(server, tmp_path, 2_000_000)
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    stopped_after(server, tmp_path, 2_000_000)
    (tmp_path / "data.zip.part").write_bytes(CONTENT + b"more")
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_keeps_the_file_apart(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"expected the SHA-256 {'0' * 64}, got {SHA256}"):
        fetch(server, tmp_path, "0" * 64)
    assert not (tmp_path / "data.zip").exists()
    with pytest.raises(DownloadError, match="expected 64 hexadecimal digits"):
        fetch(server, tmp_path, "abc")
    assert fetch(server, tmp_path, SHA256.upper()).read_bytes() == CONTENT  # what has come is still good


def test_room_is_asked_for_before_a_byte_is_written(server: Server, tmp_path: Path) -> None:
    server.length = 10**16
    with pytest.raises(DownloadError, match=r"expected 22500000\.0 GB of free space"):
        fetch(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["ftp://host/a.zip", "a.zip", "http:///a.zip", "http://host/", "http://h:x/a b"]
)
def test_addresses_that_cannot_be_meant(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="--download"):
        download(url, tmp_path, lambda *_: None)


def test_a_server_that_says_no_is_believed(server: Server, tmp_path: Path) -> None:
    server.fails_with = [404]
    with pytest.raises(DownloadError, match="the server answers 404 Not Found; check the address"):
        fetch(server, tmp_path)
    server.fails_with = [500, 500, 500]
    with pytest.raises(DownloadError, match="the server answers 500"):
        fetch(server, tmp_path)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unpacked(tmp_path: Path, content: bytes) -> list[str]:
    """The members in the order in which they were unpacked."""
    (tmp_path / "a.zip").write_bytes(content)
    unpack(tmp_path / "a.zip", tmp_path / "in", lambda name: name.endswith(".csv"), lambda *_: None)
    paths = [path for path in (tmp_path / "in").rglob("*") if path.is_file()]
    return [path.name for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


def test_the_table_of_contents_is_unpacked_last(tmp_path: Path) -> None:
    assert unpacked(tmp_path, zipped({"m/a.csv": b"1", "m/b/c.wav": b"22", "m/d.wav": b"3"}))[-1] == "a.csv"
    (tmp_path / "in" / "m" / "d.wav").write_bytes(b"x")  # of the right size: taken to be there
    (tmp_path / "in" / "m" / "b" / "c.wav").write_bytes(b"x")
    unpacked(tmp_path, (tmp_path / "a.zip").read_bytes())
    assert (tmp_path / "in" / "m" / "d.wav").read_bytes() == b"x"
    assert (tmp_path / "in" / "m" / "b" / "c.wav").read_bytes() == b"22"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "C:\\x", "a\\..\\x"])
def test_nothing_is_unpacked_outside_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="expected files within the folder"):
        unpacked(tmp_path, zipped({"good": b"1", name: b"2"}))
    assert not (tmp_path / "in").exists() and not (tmp_path / "x").exists()


def test_a_link_is_no_member(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(ValueError, match="found 'link'"):
        unpacked(tmp_path, buffer.getvalue())


def test_a_damaged_archive_is_said_to_be_one(tmp_path: Path) -> None:
    whole = zipped({"a.wav": CONTENT[:100_000]})
    flipped = whole[:5_000] + bytes([whole[5_000] ^ 255]) + whole[5_001:]
    for damaged in (b"no zip", whole[:-30], flipped):
        with pytest.raises(ValueError, match="expected a whole zip file"):
            unpacked(tmp_path, damaged)
        assert not (tmp_path / "in" / "a.wav").exists()


def test_maestro_from_the_server_to_note_tables(server: Server, tmp_path: Path) -> None:
    maestro = maestro_in(tmp_path)
    paths = [path for path in maestro.rglob("*") if path.is_file()]
    server.content = zipped({str(path.relative_to(maestro.parent)): path.read_bytes() for path in paths})
    data, out = tmp_path / "data", tmp_path / "out"
    sha256 = hashlib.sha256(server.content).hexdigest()
    command = ["prepare", "maestro", str(data), str(out), "--jobs", "1", "--sha256", sha256]
    command += ["--download", address(server, "maestro-v3.0.0.zip")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert json.loads((out / "prepared.json").read_text())["total"]["pieces"] == 4
    (data / "maestro-v3.0.0.zip").unlink()  # is not needed again
    server.fails_with = [404]
    assert CliRunner().invoke(app, command).exit_code == 0 and len(server.asked) == 1
    other = CliRunner().invoke(app, [*command[:2], str(tmp_path / "new"), *command[3:]])
    assert other.exit_code == 1 and "the server answers 404" in other.stderr
