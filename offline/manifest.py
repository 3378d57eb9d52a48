"""The manifest ``manifest.csv``: a line for every recording, with the weights and settings used.

Only the command's own process writes a manifest, not its workers. Each line is a single write at the end of
the file, so two commands on one machine may share it. Network file systems do not guarantee this between
machines, so each part of a job array (``--shard``) writes its own manifest beside the others. All are read.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..model.files import replacing
from ..system import BINARY
from .jobs import Job, Outcome
from .places import Place, Url
from .plan import Shard
from .provenance import Origin, place_digest
from .settings import Settings, describe_settings

MANIFEST_NAME = "manifest.csv"
#: The first manifests had these; those of version 0.1 lack only the last of today's.
FIRST_COLUMNS = ("input", "output", "duration_s", "notes", "checkpoint", "settings", "seconds", "error")
COLUMNS = (*FIRST_COLUMNS, "warning", "digest", "place", "engine")
#: Columns of manifests by earlier versions. Each is a prefix of COLUMNS.
_OLDER_COLUMNS = (FIRST_COLUMNS, COLUMNS[:-1])
_HEADER, *_OLDER_HEADERS = (",".join(names).encode() + b"\n" for names in (COLUMNS, *_OLDER_COLUMNS))
_TABLE = "CREATE TABLE made (output BLOB PRIMARY KEY, input BLOB, origin BLOB)"


class Manifest:
    """The manifest of one run, a context manager. The file is created with the first line.

    Raises FileExistsError if the file exists and is not a manifest, unless ``force`` is set.
    """

    def __init__(
        self,
        path: Path,
        checkpoint: str,
        settings: Settings,
        shard: Shard | None = None,
        force: bool = False,
    ) -> None:
        """``checkpoint``: the digest of the weights."""
        self.path = path if shard is None else path.with_name(f"{path.stem}-{shard.label}{path.suffix}")
        self._main = path
        self._checkpoint, self._settings = checkpoint, describe_settings(settings)
        self._file: int | None = None
        self._made: sqlite3.Connection | None = None
        self._force = force
        if not force:
            check_manifest(self.path)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check_apart(self, job: Job) -> None:
        """Raises FileExistsError if an output of the job has the name of this manifest."""
        for output in job.outputs.values():
            if not isinstance(output, Url) and os.path.abspath(output) == os.path.abspath(self.path):
                why = "the manifest of all recordings has this name; rename the recording"
                raise FileExistsError(errno.EEXIST, why, str(output))

    def add(self, outcome: Outcome) -> None:
        """Append the line of an outcome. Raises OSError if that fails; earlier lines stay."""
        done = outcome.error is None
        kinds = "+".join(sorted(output.suffix[1:] for output in outcome.outputs))
        row = (
            str(outcome.source),
            self._named(outcome.outputs[0]) if outcome.outputs else "",
            f"{outcome.duration_s:.3f}" if done else "",
            outcome.note_count if done else "",
            self._checkpoint,
            f"{self._settings} formats={kinds}",
            f"{outcome.wall_s:.3f}",
            outcome.error or "",
            "; ".join(outcome.warnings),
            outcome.digest,
            place_digest(outcome.source) if done else "",
            outcome.engine if done else "",
        )
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(" ".join(str(field).splitlines()) for field in row)
        if self._file is None:
            self._file = self._open()
        _write_whole(self._file, line.getvalue().encode("utf-8", "surrogateescape"))

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._force and os.path.lexists(self.path) and not _is_manifest(self.path):
            with replacing(self.path) as part:
                part.write_bytes(_HEADER)
        elif _first_line(self.path) in _OLDER_HEADERS:
            _rewrite(self.path)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY, 0o666)
        if os.fstat(file).st_size == 0:
            _write_whole(file, _HEADER)
        elif not _ends_in_a_line(self.path):
            _write_whole(file, b"\n")  # end an incomplete line, as a power failure leaves it
        return file

    def _named(self, output: Place) -> str:
        """An output's path, relative within the manifest's folder, so that the folder may be moved."""
        if isinstance(output, Url):
            return str(output)
        whole, folder = Path(os.path.abspath(output)), os.path.abspath(self.path.parent)
        return whole.relative_to(folder).as_posix() if whole.is_relative_to(folder) else str(whole)

    # --- finished outputs ---

    def origin(self, output: Place) -> Origin | None:
        """The origin of an output by the latest line of any manifest; None if there is none."""
        row = self._row("origin", output)
        return None if row is None else _origin(row)

    def input_of(self, output: Place) -> str:
        """The recording that an output was made from, as the manifest names it; "" if unknown."""
        return self._row("input", output) or ""

    def _row(self, column: str, output: Place) -> str | None:
        if self._made is None:
            self._made = self._read()
        query = f"SELECT {column} FROM made WHERE output = ?"
        row = self._made.execute(query, (os.fsencode(self._named(output)),)).fetchone()
        return None if row is None else os.fsdecode(row[0])

    def _read(self) -> sqlite3.Connection:
        """All outputs listed by the manifests of this folder, in a temporary database."""
        made = sqlite3.connect("", isolation_level=None)
        made.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN; {_TABLE}")
        files = [self._main, *self._main.parent.glob(f"{self._main.stem}-*-of-*{self._main.suffix}")]
        for file in sorted((file for file in files if _is_manifest(file)), key=lambda f: f.stat().st_mtime):
            for row in _rows(file):
                if row["error"] or not row["output"]:
                    continue  # nothing was written, so earlier outputs are still there
                stem = row["output"].rpartition(".")[0]
                for kind in row["settings"].rpartition(" formats=")[2].split("+"):
                    fields = (f"{stem}.{kind}", row["input"], "\n".join(row.values()))
                    made.execute(
                        "INSERT OR REPLACE INTO made VALUES (?, ?, ?)", tuple(map(os.fsencode, fields))
                    )
        made.execute("COMMIT")
        return made


def check_manifest(path: Path) -> None:
    """Raises FileExistsError if the file exists and is not a manifest of hppnet."""
    if os.path.lexists(path) and not _is_manifest(path):
        why = "it is no manifest of hppnet; name another with --manifest, or replace it with --force"
        raise FileExistsError(errno.EEXIST, why, str(path))


def _is_manifest(path: Path) -> bool:
    return path.is_file() and _first_line(path) in (_HEADER, *_OLDER_HEADERS, b"")


def _first_line(path: Path) -> bytes:
    with suppress(FileNotFoundError), open(path, "rb") as file:
        return file.readline(len(_HEADER) + 1).replace(b"\r\n", b"\n")
    return b""


def _rows(file: Path) -> Iterator[dict[str, str]]:
    with open(file, newline="", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:  # parsed one by one: an incomplete line does not affect the next
            row = next(csv.reader([line.replace("\0", "")]), [])
            if any(len(row) == len(names) and tuple(row) != names for names in _OLDER_COLUMNS):
                row += [""] * (len(COLUMNS) - len(row))
            if len(row) == len(COLUMNS) and tuple(row) != COLUMNS:
                yield dict(zip(COLUMNS, row, strict=True))


def _origin(row: str) -> Origin:
    said = dict(zip(COLUMNS, row.split("\n"), strict=True))
    settings, _, kinds = said["settings"].rpartition(" formats=")
    name = said["input"].split("::")[0].replace("\\", "/").rsplit("/", 1)[-1]
    notes = int(said["notes"]) if said["notes"].isdecimal() else None
    return Origin(name, said["place"], said["digest"], said["checkpoint"], settings, kinds, notes)


def _rewrite(path: Path) -> None:
    """Add the columns of today to a manifest of an earlier version; its lines keep their content."""
    count = len(next(csv.reader([_first_line(path).decode()])))
    more = "," * (len(COLUMNS) - count)
    with replacing(path) as part, open(path, "rb") as old, open(part, "wb") as new:
        new.write(_HEADER)
        old.readline()
        for line in old:
            fields = next(csv.reader([line.decode("utf-8", "surrogateescape").replace("\0", "")]), [])
            whole = line.endswith(b"\n") and len(fields) == count
            new.write(line.rstrip(b"\r\n") + more.encode() + b"\n" if whole else line)


def _write_whole(file: int, data: bytes) -> None:
    """Write all data or nothing. Raises OSError."""
    before = os.fstat(file).st_size
    written = 0
    try:
        while written < len(data):
            written += os.write(file, data[written:])
    except OSError:
        if os.fstat(file).st_size == before + written:  # no other process has written since
            os.ftruncate(file, before)
        raise


def _ends_in_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
