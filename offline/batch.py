"""Many recordings, one after the other: a bad one is an outcome, not an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from .errors import LoadError
from .recording_task import Outcome, attempt, load_transcriber, one_line
from .jsonl import Tell
from .jobs import Job
from .settings import Settings

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber

#: Called with a job and the seconds of it that have been read.
Heard = Callable[[Job, float], None]
Load = Callable[[Settings], "Transcriber"]


def run(
    jobs: Iterable[Job],
    settings: Settings,
    heard: Heard,
    load: Load = load_transcriber,
    tell: Tell | None = None,
) -> Iterator[Outcome]:
    """One outcome a job, in order, in this process; ``workers.run`` does it in several.

    ``tell``: receives the lines of jsonl as they are known, in place of its files.

    Raises LoadError, one line, when there is no model to do it.
    """
    transcriber = None
    for job in jobs:
        transcriber = transcriber or loaded(settings, load)
        yield attempt(job, transcriber, settings, partial(heard, job), tell)


def loaded(settings: Settings, load: Load) -> Transcriber:
    """Raises LoadError for whatever stands in the way."""
    try:
        return load(settings)
    except Exception as error:  # CheckpointError, ValueError or what a device's driver raises
        raise LoadError(one_line(error)) from error
