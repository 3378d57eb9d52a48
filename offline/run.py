"""What ``hppnet transcribe`` does with its recordings: who does the work, and what is told of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from itertools import chain, islice
from typing import TYPE_CHECKING

from ..failure import printable
from .jobs import Job
from .places import Place, Url
from .writing import remove_dead_parts
from .request import Task

if TYPE_CHECKING:
    from .batch import Heard
    from .recording_task import Outcome
    from .manifest import Manifest
    from .progress import BatchScreen

#: So few that the bar may look up how long each is.
_FEW = 200


def rehearse(task: Task) -> int:
    """Says what would be done; returns the exit code."""
    refused = 0
    try:
        former = task.former(task.open_manifest())
    except OSError as error:
        return _refuse(error)
    for job in task.plan:
        try:
            skipped = former.left(job) is None
        except OSError as error:
            print(printable(f"error: {job.source}: {error.filename}: {error.strerror}"), file=sys.stderr)
            refused += 1
            continue
        replaced = [place.name for place in job.outputs.values() if place.exists()]
        remark = " (exists: skipped)" if skipped else f" (replaces {', '.join(replaced)})" if replaced else ""
        print(printable(f"{job.source} -> {', '.join(map(str, job.outputs.values()))}{remark}"))
    for place, why in task.failures:
        print(printable(f"error: {place}: {why}"), file=sys.stderr)
    print(f"{len(task.plan)} file{'' if len(task.plan) == 1 else 's'}; nothing was written")
    return 1 if task.failures or refused else 0


def _refuse(error: OSError) -> int:
    print(printable(f"error: {error.filename}: {error.strerror}"), file=sys.stderr)
    return 1


def transcribe_all(task: Task, *, show: bool, verbose: bool, quiet: bool) -> int:
    """Does the work and says what happened; returns the exit code."""
    from ..model.tuning import AUTO_LIMIT
    from .recording_task import Outcome
    from .progress import BatchScreen, show_notes

    if task.settings.tuning == "auto" and not quiet:
        _say(AUTO_LIMIT)
    try:
        manifest = task.open_manifest()
    except OSError as error:
        return _refuse(error)
    left = _Left(task, manifest)
    first = list(islice(left, _FEW + 1))
    few = first if len(first) <= _FEW else []
    screen = BatchScreen(few, len(task.plan), quiet=quiet, verbose=verbose)
    code = 0
    with manifest or nullcontext(), screen:
        for place, why in task.failures:
            screen.finished(Outcome(place, f"{place}: {why}"))
        try:
            if first:
                code = _run(
                    task, len(few), chain(first, left), screen, manifest, show_notes if show else None
                )
        except KeyboardInterrupt:
            print("interrupted: finished files stay, unfinished ones were not written", file=sys.stderr)
            code = 130
        for outcome in left.refused:
            screen.finished(outcome)
    if not quiet:
        screen.skipped = left.skipped
        print(screen.summary())
    return code or int(screen.failed > 0)


class _Left:
    """The jobs that are to be done, as they are taken, without those that are done or cannot be.

    Each new folder is cleaned of what a killed process left half written.
    """

    def __init__(self, task: Task, manifest: Manifest | None) -> None:
        self._jobs = iter(task.plan)
        self._former, self._told = task.former(manifest), task.pipes.told
        self._folder: Place | None = None
        self.refused: list[Outcome] = []
        self.skipped = 0

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        from .recording_task import failed

        for job in self._jobs:
            self._clean(next(iter(job.outputs.values())).parent)
            try:
                left = self._former.left(job)
            except OSError as error:
                self.refused.append(self._told(failed(job, error)))
                continue
            if left is not None:
                return left
            self.skipped += 1
        raise StopIteration

    def _clean(self, folder: Place) -> None:
        if folder != self._folder and not isinstance(folder, Url):
            remove_dead_parts(folder)
        self._folder = folder


def _run(
    task: Task,
    few: int,
    jobs: Iterator[Job],
    screen: BatchScreen,
    manifest: Manifest | None,
    show: Callable[[Outcome], None] | None,
) -> int:
    """Every job's outcome to the manifest and the screen; 1 when nothing can go on, else 0."""
    from .errors import LoadError, MissingExtra

    with closing(_outcomes(task, few, jobs, screen.heard)) as outcomes:  # however the loop ends
        try:
            for outcome in map(task.pipes.told, outcomes):
                if manifest is not None:
                    _note_down(outcome, manifest)
                screen.finished(outcome)
                if show and outcome.error is None:
                    show(outcome)
        except (LoadError, MissingExtra, ManifestFault) as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            return 1
    return 0


class ManifestFault(Exception):
    """The manifest cannot be written: nobody would know what is done."""


def _note_down(outcome: Outcome, manifest: Manifest) -> None:
    try:
        manifest.add(outcome)
    except OSError as error:
        raise ManifestFault(f"cannot write {manifest.path}: {error.strerror or error}") from error


def _outcomes(task: Task, few: int, jobs: Iterator[Job], heard: Heard) -> Generator[Outcome, None, None]:
    """On a cluster, in batches, in several processes or in this one. ``few``: how many jobs; 0: many."""
    from . import batch, workers

    settings = task.settings
    count = few or len(task.plan)
    if task.cluster is not None:
        from .executors import cluster

        digest = task.digest()
        yield from cluster.run(jobs, settings, task.cluster, heard, digest, say=_say)
    elif count > 1 and settings.latency_ms is None and (settings.batch or _has_gpu(settings.device)):
        from .executors import pipeline

        yield from pipeline.run(jobs, settings, task.processes, heard)
    elif (processes := _processes(task, count)) > 1:
        yield from workers.run(jobs, settings, processes, heard)
    else:
        yield from batch.run(jobs, settings, heard, tell=task.pipes.tell)


def _processes(task: Task, count: int) -> int:
    from .executors.processes import sensible_processes

    return min(task.processes or sensible_processes(count, task.settings.device), count)


def _has_gpu(device: str) -> bool:
    """Whether a GPU of PyTorch's kind cuda is meant; without loading PyTorch where there can be none."""
    from ..model.device import gpus

    return device == "cuda" or (device == "auto" and "cuda" in gpus())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
