"""Shared parts of the commands of ``hppnet prepare``: options, download, making pieces, the report."""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import closing
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from ..processes import cores

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from ..training.data.sounds import Opener
    from ..training.prepare.convert import How, PreparationOutcome, RecordingSource
    from ..training.prepare.pairs import FolderContents
    from ..training.prepare.report import PreparationPlan


class NoteEnds(str, enum.Enum):
    keys = "keys"
    sounding = "sounding"


Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the results; what is there is kept.")]
Ends = Annotated[
    NoteEnds, typer.Option(help="keys: notes end with their keys; sounding: with the pedal (CC64 >= 64).")
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, show_default="one per core", help="Pieces to make at once, each in a process."),
]
Arrays = Annotated[
    bool,
    typer.Option("--arrays", help="Also write features (float16, dB) and targets as .npy, a folder each."),
]
Pattern = Annotated[
    str,
    typer.Option(
        "--only", metavar="PATTERN", help="Make only pieces whose names match (* and ? are wildcards)."
    ),
]


def opener_for(channel: int | None, track: int | None) -> Opener:
    """An opener of recordings. It refuses truncated ones, whose labels are longer."""
    from ..offline.reading import open_saying

    return partial(open_saying, channel=channel, track=track, whole=True)


def read_as(channel: int | None, track: int | None) -> dict[str, object]:
    """The choices for the report; a later run with other ones is refused in the same folder."""
    chosen = {"input_channel": channel, "track": track}
    return {name: value for name, value in chosen.items() if value is not None}


def fetch(url: str, folder: Path, sha256: str | None) -> None:
    """Downloads and unpacks a data set into ``folder``, unless it is there already."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as Speed

    from ..training.prepare import maestro
    from ..training.prepare.download import download, unpack

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    try:
        if maestro.contents(folder) is not None:  # the table of contents is unpacked last
            return
        with Progress(*columns, console=_console()) as bar:
            tasks: dict[str, TaskID] = {}

            def progress(what: str, done: int, total: int | None) -> None:
                if what not in tasks:
                    tasks[what] = bar.add_task(what, completed=done, total=total)
                bar.update(tasks[what], completed=done, total=total)

            known = maestro.SHA256 if url == maestro.URL else None
            archive = download(url, folder, progress, sha256 or known)
            unpack(archive, folder, lambda name: name.endswith((".csv", ".json")), progress)
    except (ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"interrupted: what has come is kept in {folder}, the same command goes on", code=130)


def carry_out(
    find: Callable[[], FolderContents],
    out: Path,
    plan: PreparationPlan,
    jobs: int | None,
    arrays: bool,
    pattern: str,
) -> None:
    from ..training.prepare.convert import How, claimed
    from ..training.prepare.report import by_folder
    from ..training.prepare.run import unfinished_in

    try:
        with _console().status("looking for pieces"):
            found = find()
            if not any(fnmatchcase(source.name, pattern) for source in found.sources):
                raise ValueError(
                    f"--only {pattern}: none of {len(found.sources)} pieces has a name that fits"
                )
            if out.exists() and not out.is_dir():
                raise ValueError(f"{out}: expected a folder for the results, this is a file")
            plan.check(out, (path for source in found.sources for path in claimed(source, arrays)))
        with unfinished_in(out) as unfinished:
            outcomes = _make(
                found, out, plan, How(plan.note_ends, unfinished, arrays), jobs or cores(), pattern
            )
    except ValueError as error:
        fail(str(error), code=2)
    except FileExistsError as error:
        fail(f"{error.filename}: {error.strerror}")
    except OSError as error:
        fail(f"{out}: cannot be written ({error})")
    totals = by_folder(out, outcomes)
    for name, total in totals.items():
        print(f"{out / name}: {total}")
    print(f"notes end: {plan.note_ends}; report: {out / 'prepared.json'}")
    raise typer.Exit(1 if any(total.skipped for total in totals.values()) else 0)


def _make(
    found: FolderContents, out: Path, plan: PreparationPlan, how: How, jobs: int, pattern: str
) -> list[PreparationOutcome]:
    """Makes the missing pieces, with a bar and a line for each skipped one; writes the report."""
    from ..training.prepare.convert import done
    from ..training.prepare.report import write_report
    from ..training.prepare.run import run

    outcomes = [outcome for outcome in found.lonely if fnmatchcase(outcome.name, pattern)]
    todo: list[RecordingSource] = []
    for source in found.sources:
        if outcome := done(source, how.arrays):
            outcomes.append(outcome)
        elif fnmatchcase(source.name, pattern):
            todo.append(source)
    write_report(out, plan, outcomes, len(todo))  # so that it says from the start where notes end
    missing = len(todo)
    try:
        with _bar(bool(todo)) as bar, closing(run(todo, how, jobs)) as made:
            for outcome in outcomes:
                _say(bar.console, outcome)
            for outcome in bar.track(made, total=len(todo), description="preparing"):
                outcomes.append(outcome)
                missing -= 1
                _say(bar.console, outcome)
    except KeyboardInterrupt:
        fail(f"interrupted: {missing} pieces are still to be made, the same command goes on", code=130)
    finally:
        write_report(out, plan, outcomes, missing)
    if outcomes and outcomes[-1].hopeless:
        fail(f"{out}: stopped, what was just said concerns every piece; {missing} are still to be made")
    return outcomes


def _say(console: Console, outcome: PreparationOutcome) -> None:
    if outcome.why is not None:
        console.print(f"skipped {outcome.name}: {outcome.why}", markup=False, highlight=False, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _bar(shown: bool) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=_console(), disable=not shown)
