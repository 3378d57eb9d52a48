"""Downloads one large file over HTTP and unpacks it. Resumes where it stopped; first checks the free space.

The file is called ``NAME.part`` until it is complete and its checksum is right. ``NAME.part.from`` keeps the
server's mark of the file (ETag or date), so that parts of two versions are never joined. A zip file is
unpacked inside its folder only, and files that are there already are not unpacked again.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CHUNK = 1 << 20  #: bytes
TIMEOUT_S = 60.0
UNPACKED = 1.25  #: unpacked bytes per byte of the file (MAESTRO: 1.19)
_PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)  #: pauses after attempts that received nothing, before it fails

#: Called with the name of the activity, the bytes done, and the bytes in all (None: not known).
Progress = Callable[[str, int, int | None], None]


#: Errors after which another attempt may succeed.
_PASSING = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


class DownloadError(ValueError):
    """A failed download. One line: address, what was expected, what came, what to do."""


@dataclass(frozen=True)
class Answer:
    """A server's answer to a request for the rest of a file."""

    response: http.client.HTTPResponse
    start: int  #: the first byte it sends
    total: int | None  #: bytes of the whole file
    mark: str  #: ETag or date of the file; empty where the server gives none


def download(
    url: str,
    folder: Path,
    progress: Progress,
    sha256: str | None = None,
    pauses_s: tuple[float, ...] = _PAUSES_S,
) -> Path:
    """Downloads ``url`` to ``folder`` and returns the file's path. A file that is there is only checked.

    Raises DownloadError for a wrong address or checksum, too little room, or a server that keeps failing;
    OSError where nothing can be written.
    """
    path = folder / _name(url)
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise DownloadError(f"--sha256: expected 64 hexadecimal digits, got {sha256!r}")
    if path.exists():
        _check(path, sha256, progress)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    failures, whole = 0, False
    while not whole:
        before = _size(part)
        try:
            whole = _fetch(url, part, progress)
            why = "the connection ended early"
        except _PASSING as error:
            why = _reason(url, error)
        failures = 0 if _size(part) > before else failures + 1
        if not whole and failures >= len(pauses_s):
            raise DownloadError(f"{url}: {why}; {_size(part)} bytes are kept, the same command goes on")
        if not whole and failures:
            time.sleep(pauses_s[failures - 1])
    _check(part, sha256, progress)
    os.replace(part, path)
    _mark_of(part).unlink(missing_ok=True)
    return path


def _name(url: str) -> str:
    address = urllib.parse.urlsplit(url)
    name = Path(urllib.parse.unquote(address.path)).name
    if address.scheme not in ("http", "https") or not address.netloc or not name:
        raise DownloadError(f"--download: expected the http or https address of a file, got {url!r}")
    return name


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mark_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def _fetch(url: str, part: Path, progress: Progress) -> bool:
    """Appends the missing bytes that come; returns whether the file is complete."""
    answer = _ask(url, part)
    if answer is None:
        return True
    with answer.response:
        total = answer.total
        if total is not None:
            _check_room(url, part.parent, total - answer.start + int(total * UNPACKED))
        _mark_of(part).write_text(answer.mark, encoding="utf-8")
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(answer.start)
            file.seek(answer.start)
            progress("downloading", answer.start, total)
            while chunk := answer.response.read(CHUNK):
                file.write(chunk)
                progress("downloading", file.tell(), total)
            return total is None or file.tell() == total


def _ask(url: str, part: Path) -> Answer | None:
    """Requests the missing bytes; None if there are none. A changed file is sent from its beginning."""
    start, mark = _size(part), _mark_of(part)
    known = mark.read_text(encoding="utf-8") if mark.exists() else ""
    headers = {"User-Agent": "hppnet", "Accept-Encoding": "identity"}
    if start and mark.exists():
        headers |= {"Range": f"bytes={start}-"} | ({"If-Range": known} if known else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range", "") == f"bytes */{start}":
            return None  # the part is complete already
        if error.code == 416:
            part.unlink()  # longer than the file: a part of another version
        raise
    length = response.headers.get("Content-Length")
    came = int(length) if length and length.isdigit() else None
    if response.status != 206:
        return Answer(response, 0, came, _mark(response))
    said = response.headers.get("Content-Range", "")  # bytes 100-199/200
    if not said.startswith(f"bytes {start}-"):
        raise DownloadError(
            f"{url}: expected the bytes from {start} on, the server sends {said!r}; delete {part}"
        )
    total = said.rpartition("/")[2]
    return Answer(response, start, int(total) if total.isdigit() else None, known)


def _mark(response: http.client.HTTPResponse) -> str:
    """The value for If-Range: a strong ETag, otherwise the date of the last change."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_room(url: str, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DownloadError(
            f"{url}: expected {needed / 1e9:.1f} GB of free space in {folder} (for the rest of the file and "
            f"what it unpacks to), there are {free / 1e9:.1f}; make room or name another folder"
        )


def _reason(url: str, error: Exception) -> str:
    """The error in words. Raises DownloadError if another attempt would not help."""
    if isinstance(error, http.client.InvalidURL):
        raise DownloadError(f"--download: {error}") from error
    if isinstance(error, urllib.error.HTTPError):
        said = f"the server answers {error.code} {error.reason}"
        if 400 <= error.code < 500 and error.code not in (408, 416, 429):
            raise DownloadError(f"{url}: {said}; check the address") from error
        return said
    return str(getattr(error, "reason", error)) or type(error).__name__


def _check(path: Path, sha256: str | None, progress: Progress) -> None:
    if sha256 is None:
        return
    digest, total = hashlib.sha256(), path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            progress("checking", file.tell(), total)
    if digest.hexdigest() != sha256.lower():
        raise DownloadError(
            f"{path}: expected the SHA-256 {sha256.lower()}, got {digest.hexdigest()}; "
            "correct --sha256, or delete this file and fetch it again"
        )


def unpack(archive: Path, folder: Path, last: Callable[[str], bool], progress: Progress) -> None:
    """Unpacks all files. Those whose names ``last`` accepts come last and prove that all are there.

    Raises ValueError, one line, for a file that is no zip, is damaged, has paths outside the folder or does
    not fit on the disk; OSError if it cannot write.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            for member in members:
                _check_inside(archive, member)
            folder.mkdir(parents=True, exist_ok=True)
            _check_room_to_unpack(archive, folder, members)
            total, so_far = sum(member.file_size for member in members), 0
            for member in sorted(members, key=lambda member: last(member.filename)):
                if not _there(member, folder):
                    _write(file, member, folder / member.filename)
                so_far += member.file_size
                progress("unpacking", so_far, total)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:  # or encrypted
        raise ValueError(
            f"{archive}: expected a whole zip file ({error}); delete it and fetch it again"
        ) from error


def _check_inside(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    leaves = name.startswith("/") or ".." in PurePosixPath(name).parts or ":" in name or "\\" in name
    if leaves or stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"{archive}: expected files within the folder, found {name!r}; nothing was unpacked")


def _there(member: zipfile.ZipInfo, folder: Path) -> bool:
    path = folder / member.filename
    return path.is_file() and path.stat().st_size == member.file_size


def _check_room_to_unpack(archive: Path, folder: Path, members: list[zipfile.ZipInfo]) -> None:
    needed = sum(member.file_size for member in members if not _there(member, folder))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"{archive}: expected {needed / 1e9:.1f} GB of free space in {folder} to unpack it, "
            f"there are {free / 1e9:.1f}; make room"
        )


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with file.open(member) as packed, part.open("wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)  # checks the CRC at its end
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
