"""A request of ``hppnet transcribe``: settings, recordings, outputs, and how the work is shared.

``-`` stands for standard input or output. Temporary files replace them while the command runs.
"""

from __future__ import annotations

import errno
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..failure import printable
from ..model.files import file_above
from .inputs import find_listed, find_recordings
from .jobs import output_kind
from .places import Place, temporary_folder
from .plan import Plan, Shard
from .settings import Settings
from .writing import FORMATS

if TYPE_CHECKING:
    from rich.console import Console

    from .existing_outputs import ExistingOutputs
    from .inputs import FoundRecording
    from .jobs import Job, Outcome
    from .manifest import Manifest

_MOST_REMARKS = 20


PIPE = "-"
_IN = "standard-input"


class ReaderGone(BaseException):
    """Standard output has no reader any more. A BaseException: ``except Exception`` must not catch it."""


class StandardOutputLines:
    """Writes lines to standard output and flushes it. Raises ReaderGone, or OSError, as for a full disk."""

    def __init__(self, out: TextIO) -> None:
        self.used = False
        self._out = out

    def __call__(self, lines: str) -> None:
        self.used = True
        try:
            self._out.write(lines)
            self._out.flush()
        except BrokenPipeError:
            raise ReaderGone from None


@dataclass(frozen=True)
class Pipes:
    """Temporary files in place of standard input and output; None where ``-`` is not used."""

    recording: Path | None = None
    output: Path | None = None
    tell: StandardOutputLines | None = None  #: receives JSONL lines instead of ``output``

    def with_alias(self, job: Job) -> Job:
        """The job, which knows if its recording came from standard input."""
        return replace(job, alias=PIPE) if job.source == self.recording else job

    def with_user_names(self, outcome: Outcome) -> Outcome:
        """The outcome with ``-``, "standard input" and "standard output" instead of temporary file names."""
        error = outcome.error
        if self.output is not None:
            outcome = replace(outcome, outputs=[Path(PIPE)] * len(outcome.outputs))
            error = error and error.replace(str(self.output), "standard output")
        if self.recording is not None and outcome.source == self.recording:
            outcome = replace(outcome, source=Path(PIPE))
            error = error and error.replace(str(self.recording), "standard input")
        return replace(outcome, error=error)


def check_options(
    paths: list[str] | None,
    list_file: str | None,
    cluster: str | None,
    jobs: int | None,
    batch: int | None,
    streaming: bool,
    force_and_skip: bool,
) -> None:
    """Raises ValueError for options that exclude each other."""
    if force_and_skip:
        raise ValueError(
            "expected --force (do everything again) or --skip-existing (only what is not done), got both"
        )
    if not paths and list_file is None:
        raise ValueError("expected PATH... (files, folders, patterns, URLs) or --list FILE, got neither")
    if cluster is not None and jobs is not None:
        raise ValueError(
            "--jobs has no effect on a cluster: leave it out, or use --cluster local:N for N workers here"
        )
    kind, _, count = (cluster or "").partition(":")
    if cluster == "" or (kind == "local" and count and (not count.isdecimal() or int(count) < 1)):
        raise ValueError(f"--cluster: expected an address, local or local:N with N workers, got {cluster!r}")
    if batch is not None and streaming:
        raise ValueError("--streaming transcribes one recording at a time: leave out --batch")


def check_pipes(
    paths: list[str], output: str | None, formats: str | None, plot: bool, cluster: str | None
) -> None:
    """Raises ValueError for a ``-`` that contradicts the other options."""
    if cluster is not None and PIPE in (*paths, output):
        raise ValueError("--cluster cannot use this machine's standard input and output: name files")
    if PIPE in paths:
        if paths.count(PIPE) > 1:
            raise ValueError("expected - once: there is one standard input")
        if output is None:
            raise ValueError(
                "a recording from standard input lies in no folder: name the output, -o FILE.mid or -o -"
            )
        if sys.stdin is None or sys.stdin.isatty():
            raise ValueError(
                "- reads a recording from standard input: expected a pipe or a file, got a terminal"
            )
    if output == PIPE:
        if plot or (formats and "," in formats):
            raise ValueError("-o - takes one output: expected one --format, and no --plot")
        if formats is not None and formats.strip().lower() not in FORMATS:
            raise ValueError(f"--format: expected any of {', '.join(FORMATS)}, got {formats!r}")


@contextmanager
def piped(
    paths: list[str], output: str | None, formats: str | None
) -> Iterator[tuple[list[str], str | None, Pipes]]:
    """Yields the paths and the output with temporary files instead of ``-``, and the Pipes.

    If the output is ``-``, text printed in the ``with`` block goes to standard error. After the block the
    output, if there is one, is copied to standard output; JSONL lines are written as they come. Raises
    OSError if standard input cannot be saved or standard output has no reader.
    """
    if PIPE not in paths and output != PIPE:
        yield paths, output, Pipes()
        return
    with temporary_folder() as name:
        folder = Path(name)
        pipes = Pipes(
            folder / _IN if PIPE in paths else None,
            folder / f"standard-output.{(formats or 'mid').strip().lower()}" if output == PIPE else None,
        )
        if pipes.recording is not None:
            with open(pipes.recording, "wb") as kept:
                shutil.copyfileobj(sys.stdin.buffer, kept, 1 << 20)
        paths = [str(pipes.recording) if path == PIPE else path for path in paths]
        if pipes.output is None:
            yield paths, output, pipes
            return
        out = sys.stdout
        tell = StandardOutputLines(out) if pipes.output.suffix == ".jsonl" else None
        with redirect_stdout(sys.stderr):
            try:
                yield paths, str(pipes.output), replace(pipes, tell=tell)
            except ReaderGone:
                raise BrokenPipeError(errno.EPIPE, "nobody reads standard output") from None
        if pipes.output.exists() and not (tell and tell.used):
            out.flush()
            out.buffer.write(pipes.output.read_bytes())
            out.flush()


@dataclass
class TranscribeRequest:
    """The options of the command, and what follows from them: recordings, outputs and pending jobs."""

    settings: Settings
    arguments: list[str]
    list_file: str | None
    output: Place | None
    formats: str | None
    shard: Shard | None
    manifest: Path | None
    skip_existing: bool
    processes: int | None
    cluster: str | None
    force: bool = False
    pipes: Pipes = field(default_factory=Pipes)
    failures: list[tuple[Place, str]] = field(default_factory=list)  #: places without recordings, and why
    plan: Plan = field(init=False)

    def find(self, quiet: bool) -> None:
        """Find the recordings and make the plan. Raises ValueError for invalid arguments."""
        kinds = kinds_of(self.formats, self.output, self.settings.picture)
        self._check_manifest()
        with count_shower("looking for recordings", quiet) as tell:
            self.plan = Plan(_counted(self._found(), tell), kinds, self.output, self.shard)
        remarks = self.plan.remarks
        for remark in remarks[:_MOST_REMARKS]:
            print(f"note: {printable(remark)}", file=sys.stderr)
        if len(remarks) > _MOST_REMARKS:
            print(f"note: and {len(remarks) - _MOST_REMARKS} more such names", file=sys.stderr)

    def _found(self) -> Iterator[FoundRecording]:
        def failed(place: Place, why: str) -> None:
            self.failures.append((place, why))

        yield from find_recordings(self.arguments, failed)
        if self.list_file is not None:
            yield from find_listed(self.list_file, failed)

    def _check_manifest(self) -> None:
        path = self.manifest
        if path is not None and path.is_dir():
            raise ValueError(f"--manifest {path}: expected a file, this is a folder")
        if path is not None and (above := file_above(path)):
            raise ValueError(
                f"--manifest {path}: expected a folder at {above}, found a file; name another place"
            )

    @property
    def manifest_path(self) -> Path | None:
        """The path given by the user, else the default in an output folder, or None."""
        if self.manifest is None and isinstance(self.output, Path) and output_kind(self.output) is None:
            from .manifest import MANIFEST_NAME

            return self.output / MANIFEST_NAME
        return self.manifest

    def open_manifest(self) -> Manifest | None:
        """The manifest, or None. Raises OSError without a checkpoint, or for another file at its path."""
        from .manifest import Manifest

        path = self.manifest_path
        return None if path is None else Manifest(path, self.digest(), self.settings, self.shard, self.force)

    def existing_outputs(self, manifest: Manifest | None) -> ExistingOutputs:
        """The check of outputs that exist already."""
        from .existing_outputs import ExistingOutputs
        from .settings import describe_settings

        return ExistingOutputs(
            describe_settings(self.settings),
            self.digest,
            manifest,
            self.output,
            force=self.force,
            skip=self.skip_existing,
        )

    def digest(self) -> str:
        """The digest of the weights. Raises OSError."""
        from ..model.checkpoint import identity

        return identity(None if self.settings.checkpoint is None else Path(self.settings.checkpoint))


def kinds_of(formats: str | None, output: Place | None, plot: bool) -> list[str]:
    """The kinds of outputs, by --format or the suffix after -o; png with ``plot``. Raises ValueError."""
    named = None if output is None else output_kind(output)
    kinds = [kind.strip().lower() for kind in formats.split(",")] if formats else [named or "mid"]
    for kind in kinds:
        if kind not in FORMATS:
            raise ValueError(f"--format: expected any of {', '.join(FORMATS)}, got {kind!r}")
    if named and named not in kinds:
        raise ValueError(f"-o {output} asks for {named}, --format for {formats}: change one")
    return list(dict.fromkeys(kinds)) + (["png"] if plot else [])


def count_shower(words: str, quiet: bool) -> AbstractContextManager[Callable[[int], None]]:
    """Shows what is being done, and a count, if standard error is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return nullcontext(lambda count: None)
    return _ShownCount(console, words)


class _ShownCount(AbstractContextManager[Callable[[int], None]]):
    def __init__(self, console: Console, words: str) -> None:
        self._words = words
        self._status = console.status(words)

    def __enter__(self) -> Callable[[int], None]:
        self._status.__enter__()
        return lambda count: self._status.update(f"{self._words}: {count}")

    def __exit__(self, *raised: object) -> None:
        self._status.stop()


def _counted(found: Iterator[FoundRecording], tell: Callable[[int], None]) -> Iterator[FoundRecording]:
    for count, item in enumerate(found, 1):
        if count % 500 == 0:
            tell(count)
        yield item
