"""``hppnet transcribe``: recordings in, MIDI files out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import Checkpoint, Device, Threshold, latency_ms

if TYPE_CHECKING:
    from ..offline.batch import Heard
    from ..offline.inputs import Search
    from ..offline.job import Outcome
    from ..offline.outputs import Job
    from ..offline.progress import BatchScreen
    from ..offline.settings import Settings


def transcribe(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, quoted patterns.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A folder, or FILE.mid for one recording.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Any of mid,csv,json; default: mid.")
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Also a piano roll (PNG) with probabilities.")] = False,
    streaming: Annotated[bool, typer.Option("--streaming", help="What live would have given.")] = False,
    latency: Annotated[
        str | None,
        typer.Option(help="With --streaming: ms or fast, balanced, accurate; default: accurate (132 ms)."),
    ] = None,
    tuning: Annotated[
        str | None, typer.Option(metavar="CENTS|auto", help="Of the piano against A = 440 Hz.")
    ] = None,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    onset_threshold: Threshold = None,
    frame_threshold: Threshold = None,
    offset_threshold: Threshold = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Recordings at once; default: by cores and files.")
    ] = None,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out what is done.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the notes as a table.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show where errors arose.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Write down recordings as MIDI: a .mid beside each, or under -o.

    One bad file does not stop the others. Exit code: 0 done, 1 a file failed, 2 wrong use, 130 Ctrl-C.
    """
    from ..offline.inputs import find_recordings
    from ..offline.outputs import plan_outputs
    from ..offline.settings import Settings

    try:
        settings = Settings(
            checkpoint=None if checkpoint is None else str(checkpoint),
            device=device.value,
            latency_ms=latency_ms(latency, streaming),
            tuning=_tuning(tuning),
            onset_threshold=onset_threshold,
            frame_threshold=frame_threshold,
            offset_threshold=offset_threshold,
            picture=plot,
            keep_notes=show,
        )
        search = find_recordings(paths)
        planned, remarks = plan_outputs(search.found, _kinds(formats, output, plot), output)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)
    if dry_run:
        raise typer.Exit(_rehearse(planned, search, skip_existing))
    raise typer.Exit(_transcribe_all(planned, search, settings, jobs, skip_existing, show, verbose, quiet))


def _tuning(tuning: str | None) -> float | str | None:
    if tuning is None or tuning == "auto":
        return tuning
    try:
        return float(tuning)
    except ValueError:
        raise ValueError(f"--tuning: expected cents or auto, got {tuning!r}") from None


def _kinds(formats: str | None, output: Path | None, plot: bool) -> list[str]:
    """What to write for each recording; the name after -o may ask for a format."""
    from ..offline.outputs import output_kind
    from ..offline.writing import FORMATS

    named = None if output is None else output_kind(output)
    kinds = [kind.strip().lower() for kind in formats.split(",")] if formats else [named or "mid"]
    for kind in kinds:
        if kind not in FORMATS:
            raise ValueError(f"--format: expected any of {', '.join(FORMATS)}, got {kind!r}")
    if named and named not in kinds:
        raise ValueError(f"-o {output} asks for {named}, --format for {formats}: change one")
    return list(dict.fromkeys(kinds)) + (["png"] if plot else [])


def _rehearse(jobs: Sequence[Job], search: Search, skip_existing: bool) -> int:
    refused = 0
    for job in jobs:
        skipped = skip_existing and job.finished
        try:
            if not skipped:
                job.check_free()
        except OSError as error:
            print(f"error: {job.source}: {error.filename}: {error.strerror}", file=sys.stderr)
            refused += 1
            continue
        replaced = [path.name for path in job.outputs.values() if path.exists()]
        remark = " (exists: skipped)" if skipped else f" (replaces {', '.join(replaced)})" if replaced else ""
        print(f"{job.source} -> {', '.join(map(str, job.outputs.values()))}{remark}")
    for path, why in search.failures:
        print(f"error: {path}: {why}", file=sys.stderr)
    print(f"{len(jobs)} file{'' if len(jobs) == 1 else 's'}; nothing was written")
    return 1 if search.failures or refused else 0


def _transcribe_all(
    jobs: Sequence[Job],
    search: Search,
    settings: Settings,
    processes: int | None,
    skip_existing: bool,
    show: bool,
    verbose: bool,
    quiet: bool,
) -> int:
    """Run the jobs and say what happened; returns the exit code."""
    from ..offline.job import Outcome
    from ..offline.progress import BatchScreen, show_notes

    todo = [job for job in jobs if not (skip_existing and job.finished)]
    screen = BatchScreen(todo, quiet=quiet, verbose=verbose)
    code = 0
    with screen:
        for path, why in search.failures:
            screen.finished(Outcome(path, f"{path}: {why}"))
        try:
            code = _run(todo, settings, processes, screen, show_notes if show else None)
        except KeyboardInterrupt:
            print("interrupted: finished files stay, unfinished ones were not written", file=sys.stderr)
            code = 130
    if not quiet:
        print(screen.summary(skipped=len(jobs) - len(todo)))
    return code or int(any(outcome.error for outcome in screen.outcomes))


def _run(
    jobs: Sequence[Job],
    settings: Settings,
    processes: int | None,
    screen: BatchScreen,
    show: Callable[[Outcome], None] | None,
) -> int:
    """Every job's outcome to the screen; 1 when the model cannot be loaded, else 0."""
    from ..offline.batch import LoadError

    with closing(_outcomes(jobs, settings, processes, screen.heard)) as outcomes:  # however the loop ends
        try:
            for outcome in outcomes:
                screen.finished(outcome)
                if show and outcome.error is None:
                    show(outcome)
        except LoadError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0


def _outcomes(
    jobs: Sequence[Job], settings: Settings, processes: int | None, heard: Heard
) -> Generator[Outcome, None, None]:
    """In this process or in several."""
    from ..offline import batch, workers

    processes = min(processes or workers.sensible_processes(len(jobs), settings.device), len(jobs))
    if processes > 1:
        yield from workers.run(jobs, settings, processes, heard)
    elif jobs:
        yield from batch.run(jobs, settings, heard)
