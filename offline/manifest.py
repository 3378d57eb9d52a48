"""What has been done with which weights and settings: ``manifest.csv``, a line for every recording.

One process writes a manifest, whoever does the work: each line is one write, at the end of the file, so
two commands on one machine may share it. Network file systems do not promise that between machines; there
each part of a job array (``--shard``) has a manifest of its own beside the others, and all are read.
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from .job import Outcome
from .outputs import Job
from .remote import Place, Url
from .settings import Settings
from .shards import Shard

NAME = "manifest.csv"
COLUMNS = ("input", "output", "duration_s", "notes", "checkpoint", "settings", "seconds", "error")


def describe_settings(settings: Settings) -> str:
    """All that the notes depend on beside the weights, in one line: equal words, equal notes."""

    def said(value: float | str | None) -> str:
        return "default" if value is None else value if isinstance(value, str) else f"{value:g}"

    context = "full" if settings.latency_ms is None else f"{settings.latency_ms:g}ms"
    thresholds = (settings.onset_threshold, settings.frame_threshold, settings.offset_threshold)
    heard = f"context={context} tuning={said(settings.tuning)} thresholds={'/'.join(map(said, thresholds))}"
    read = {"channel": settings.channel, "track": settings.track}
    chosen = "".join(f" {name}={value}" for name, value in read.items() if value is not None)
    return f"{heard} offsets={settings.offsets}{chosen}"


class Manifest:
    """The manifest of one run. Use with ``with``; the file appears with the first line."""

    def __init__(self, path: Path, checkpoint: str, settings: Settings, shard: Shard | None = None) -> None:
        """``checkpoint``: the digest of the weights."""
        self.path = path if shard is None else path.with_name(f"{path.stem}-{shard.label}{path.suffix}")
        self._main = path
        self._checkpoint, self._settings = checkpoint, describe_settings(settings)
        self._file: int | None = None

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, outcome: Outcome) -> None:
        """Raises OSError when it cannot be written."""
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
        )
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(" ".join(str(field).splitlines()) for field in row)
        if self._file is None:
            self._file = self._open()
        os.write(self._file, line.getvalue().encode("utf-8", "surrogateescape"))

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if os.fstat(file).st_size == 0:
            os.write(file, f"{','.join(COLUMNS)}\n".encode())
        elif not _ends_in_a_line(self.path):
            os.write(file, b"\n")  # of a machine that was switched off: half a line is nobody's
        return file

    def _named(self, output: Place) -> str:
        """Below the manifest's folder without it, so that the whole may be moved."""
        if isinstance(output, Url):
            return str(output)
        whole, folder = os.path.abspath(output), os.path.abspath(self.path.parent)
        below = os.path.relpath(whole, folder)
        return whole if below.startswith("..") else Path(below).as_posix()

    # --- what is done ---

    def left(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs that are not done yet: by these weights, with these settings, all outputs there.

        Where there is no manifest yet, an output that is there counts as done, whoever made it.
        """
        known = self._read()
        for job in jobs:
            if not job.finished or (known is not None and not self._trusts(known, job)):
                yield job

    def _trusts(self, known: sqlite3.Connection, job: Job) -> bool:
        output = self._named(next(iter(job.outputs.values())))
        row = known.execute("SELECT input, kinds FROM done WHERE output = ?", (_bytes(output),)).fetchone()
        if row is None:
            return False
        wanted = {place.suffix[1:] for place in job.outputs.values()}
        return os.fsdecode(row[0]) == job.source.name and wanted <= set(row[1].split("+"))

    def _read(self) -> sqlite3.Connection | None:
        """Outputs whose last line says that they were made as they would be now; None without a manifest."""
        files = [self._main, *self._main.parent.glob(f"{self._main.stem}-*-of-*{self._main.suffix}")]
        files = [file for file in files if file.is_file()]
        if not files:
            return None
        known = sqlite3.connect("", isolation_level=None)  # a temporary file of its own
        known.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN")
        known.execute("CREATE TABLE done (output BLOB PRIMARY KEY, input BLOB, kinds TEXT)")
        for file in sorted(files, key=lambda file: file.stat().st_mtime):
            for row in self._rows(file):
                output = _bytes(row["output"])
                settings, _, kinds = row["settings"].rpartition(" formats=")
                same = row["checkpoint"] == self._checkpoint and settings == self._settings
                if same and not row["error"]:
                    name = _bytes(row["input"].split("::")[0].replace("\\", "/").rsplit("/", 1)[-1])
                    known.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", (output, name, kinds))
                elif row["output"]:
                    known.execute("DELETE FROM done WHERE output = ?", (output,))
        known.execute("COMMIT")
        return known

    def _rows(self, file: Path) -> Iterator[dict[str, str]]:
        with open(file, newline="", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:  # each by itself: half a line does not take the next with it
                row = next(csv.reader([line.replace("\0", "")]), [])
                if len(row) == len(COLUMNS) and tuple(row) != COLUMNS:
                    yield dict(zip(COLUMNS, row, strict=True))


def _ends_in_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _bytes(text: str) -> bytes:
    return os.fsencode(text)
