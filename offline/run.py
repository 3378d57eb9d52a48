"""Runs a request: chooses the executor, and reports outcomes to the manifest and the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..failure import printable
from ..model.files import remove_dead_parts
from .jobs import Job, Outcome
from .places import Url, remove_dead_copies
from .request import TranscribeRequest, count_shower

if TYPE_CHECKING:
    from .executors.executor import Executor
    from .manifest import Manifest
    from .progress import BatchScreen

#: Up to this many jobs, the bar looks up the length of each recording.
_FEW = 200
_FOLDERS = 1000  #: so many output folders are remembered


def dry_run(request: TranscribeRequest) -> int:
    """Print what would be done. Returns the exit code."""
    from .recording_task import failed

    refused = 0
    try:
        manifest = request.open_manifest()
        existing = request.existing_outputs(manifest)
    except OSError as error:
        return _refuse(error)
    for job in request.plan:
        named = request.pipes.with_user_names(Outcome(job.source, outputs=list(job.outputs.values())))
        try:
            if manifest is not None:
                manifest.check_apart(job)
            skipped = existing.pending(job) is None
            replaced = [place.name for place in job.outputs.values() if place.exists()]
        except Exception as error:  # each store has errors of its own
            print(f"error: {printable(str(failed(job, error).error))}", file=sys.stderr)
            refused += 1
            continue
        remark = " (exists: skipped)" if skipped else f" (replaces {', '.join(replaced)})" if replaced else ""
        print(printable(f"{named.source} -> {', '.join(map(str, named.outputs))}{remark}"))
    for place, why in request.failures:
        print(printable(f"error: {place}: {why}"), file=sys.stderr)
    print(f"{len(request.plan)} file{'' if len(request.plan) == 1 else 's'}; nothing was written")
    return 1 if request.failures or refused else 0


def _refuse(error: OSError) -> int:
    print(printable(f"error: {error.filename}: {error.strerror}"), file=sys.stderr)
    return 1


def transcribe_all(request: TranscribeRequest, *, show: bool, verbose: bool, quiet: bool) -> int:
    """Transcribe all recordings and print the results. Returns the exit code."""
    from ..model.tuning import AUTO_LIMIT
    from .progress import BatchScreen, show_notes

    if request.settings.tuning == "auto" and not quiet:
        _say(AUTO_LIMIT)
    remove_dead_copies()
    try:
        manifest = request.open_manifest()
    except OSError as error:
        return _refuse(error)
    pending = _PendingJobs(request, manifest)
    # Those that are done are read for their digests, which may take hours.
    with count_shower("recordings that are done already", quiet or not request.skip_existing) as tell:
        pending.tell_skipped = lambda: tell(pending.skipped)
        first = list(islice(pending, _FEW + 1))
    few = first if len(first) <= _FEW else []
    screen = BatchScreen(few, len(request.plan), pending.skipped, quiet=quiet, verbose=verbose)
    pending.tell_skipped = screen.skip
    code = 0
    with manifest or nullcontext(), screen:
        for place, why in request.failures:
            screen.finished(Outcome(place, f"{place}: {why}"))
        try:
            if first:
                code = _run(
                    request, len(few), chain(first, pending), screen, manifest, show_notes if show else None
                )
        except KeyboardInterrupt:
            print("interrupted: finished files stay, unfinished ones were not written", file=sys.stderr)
            code = 130
        for outcome in pending.refused:
            screen.finished(outcome)
    pending.clean_again()
    if not quiet:
        print(screen.summary())
    return code or int(screen.failed > 0)


class _PendingJobs:
    """Iterates over the jobs to be done, without those that are done or refused.

    Removes files that killed processes left unfinished from each new output folder.
    """

    def __init__(self, request: TranscribeRequest, manifest: Manifest | None) -> None:
        self._jobs = iter(request.plan)
        self._existing = request.existing_outputs(manifest)
        self._manifest = manifest
        self._pipes = request.pipes
        self._cleaned: dict[Path, None] = {}  #: the latest output folders
        self.refused: list[Outcome] = []
        self.skipped = 0
        self.tell_skipped: Callable[[], object] = lambda: None  #: called for each recording that is left out

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        from .recording_task import failed

        for job in self._jobs:
            try:
                folder = next(iter(job.outputs.values())).parent
                if not isinstance(folder, Url):
                    self._clean(folder)
                if self._manifest is not None:
                    self._manifest.check_apart(job)
                pending = self._existing.pending(job)
            except Exception as error:  # each store has errors of its own
                self.refused.append(self._pipes.with_user_names(failed(job, error)))
                continue
            if pending is not None:
                return self._pipes.with_alias(pending)
            self.skipped += 1
            self.tell_skipped()
        raise StopIteration

    def _clean(self, folder: Path) -> None:
        if folder in self._cleaned:
            return
        remove_dead_parts(folder)
        self._cleaned[folder] = None
        if len(self._cleaned) > _FOLDERS:
            del self._cleaned[next(iter(self._cleaned))]

    def clean_again(self) -> None:
        """Clean the folders once more: workers of a killed run may have ended after this one began."""
        for folder in self._cleaned:
            remove_dead_parts(folder)


def _run(
    request: TranscribeRequest,
    few: int,
    jobs: Iterator[Job],
    screen: BatchScreen,
    manifest: Manifest | None,
    show: Callable[[Outcome], None] | None,
) -> int:
    """Report each job's outcome to the manifest and the screen. Returns 1 if the run had to stop, else 0."""
    from .errors import LoadError, MissingExtra

    running = _executor(request, few).run(jobs, request.settings, screen.report_read)
    with closing(running) as outcomes:  # ends the executor however the loop ends
        try:
            for outcome in map(request.pipes.with_user_names, outcomes):
                if manifest is not None:
                    _add_to_manifest(outcome, manifest)
                screen.finished(outcome)
                if show and outcome.error is None:
                    show(outcome)
        except (LoadError, MissingExtra, ManifestError) as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return 1
    return 0


class ManifestError(Exception):
    """The manifest cannot be written, so later runs would not know what is done."""


def _add_to_manifest(outcome: Outcome, manifest: Manifest) -> None:
    try:
        manifest.add(outcome)
    except OSError as error:
        raise ManifestError(f"cannot write {manifest.path}: {error.strerror or error}") from error


def _executor(request: TranscribeRequest, few: int) -> Executor:
    """The executor: cluster, batches, several processes or this one. ``few``: number of jobs; 0: many."""
    settings = request.settings
    count = few or len(request.plan)
    if request.cluster is not None:
        from .executors.cluster import Cluster

        return Cluster(request.cluster, request.digest(), _say)
    if count > 1 and settings.latency_ms is None and (settings.batch or _has_gpu(settings.device)):
        from .executors.pipeline import Pipeline

        return Pipeline(request.processes)
    if (processes := _processes(request, count)) > 1:
        from .executors.worker_processes import WorkerProcesses

        return WorkerProcesses(processes)
    from .executors.executor import OneProcess

    return OneProcess(request.pipes.tell)


def _processes(request: TranscribeRequest, count: int) -> int:
    from .executors.worker_processes import default_processes

    return min(request.processes or default_processes(count, request.settings.device), count)


def _has_gpu(device: str) -> bool:
    """Whether the device is a CUDA GPU. Does not load PyTorch where there can be none."""
    from ..model.device import gpus

    return device == "cuda" or (device == "auto" and "cuda" in gpus())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
