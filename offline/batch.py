"""Many recordings, one after the other: a bad one is an outcome, not an end."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .errors import AudioError
from .job import Outcome, load_transcriber, transcribe_job
from .outputs import Job
from .settings import Settings
from .writing import cannot_write

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber

#: Called with a job's number and the seconds of it that have been read.
Heard = Callable[[int, float], None]
Load = Callable[[Settings], "Transcriber"]


class LoadError(RuntimeError):
    """The checkpoint or the device cannot be used: no recording could be transcribed."""


def run(
    jobs: Sequence[Job], settings: Settings, heard: Heard, load: Load = load_transcriber
) -> Iterator[Outcome]:
    """One outcome a job, in order, in this process; ``workers.run`` does it in several.

    Raises LoadError, one line, when there is no model to do it.
    """
    try:
        transcriber = load(settings)
    except Exception as error:  # CheckpointError, ValueError or what a device's driver raises
        raise LoadError(one_line(error)) from error
    for number, job in enumerate(jobs):
        yield attempt(job, transcriber, settings, partial(heard, number))


def attempt(
    job: Job, transcriber: Transcriber, settings: Settings, heard: Callable[[float], None]
) -> Outcome:
    """``transcribe_job`` with whatever goes wrong in its outcome. Ctrl-C passes."""
    started = time.monotonic()
    try:
        outcome = transcribe_job(job, transcriber, settings, heard)
    except AudioError as error:
        outcome = Outcome(job.source, str(error), traceback.format_exc())
    except OSError as error:  # reading has its own error, so this is writing
        outcome = Outcome(job.source, f"{job.source}: {cannot_write(error)}", traceback.format_exc())
    except Exception as error:  # whatever one file brings about, the next ones are not to suffer
        outcome = Outcome(job.source, f"{job.source}: {one_line(error)}", traceback.format_exc())
    outcome.wall_s = time.monotonic() - started
    return outcome


def one_line(error: Exception) -> str:
    """An error's words without line breaks; those of errors that are not ours, with their kind."""
    said = " ".join(str(error).split())
    ours = type(error).__module__.startswith(__name__.split(".")[0]) or isinstance(error, ValueError)
    return said if ours and said else f"{type(error).__name__}: {said or 'no further words'}"
