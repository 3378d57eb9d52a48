"""What a worker of a cluster does with a group of recordings."""

from __future__ import annotations

import os
import pickle
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..batch import Load
from ..errors import LoadError
from ..recording_task import Outcome, attempt, load_transcriber, one_line
from ..jobs import Job
from ..settings import Settings
from ..writing import machine

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber

_loading = threading.Lock()
_models: dict[Settings, Any] = {}  #: of this process; the last one only
_TELL_S = 0.5  #: how often a recording's progress is told of


@dataclass(frozen=True)
class Report:
    """A worker's word about one recording: the seconds that it has heard, or the outcome."""

    number: int
    machine: str
    process: int
    said: float | Outcome


class Unwanted(BaseException):
    """The driver has stopped or is gone: what is not finished is left."""


def transcribe_group(
    jobs: dict[int, Job],
    settings: Settings,
    digest: str | None,
    topic: str,
    load: Load = load_transcriber,
) -> tuple[list[tuple[int, Outcome]], float]:
    """Outcomes by their numbers, and the seconds all took. Each is told of under ``topic`` as it comes.

    Raises LoadError where there is no model, or not the one that the driver has.
    """
    started = time.monotonic()
    model = _model(settings, digest, load)
    teller = _Teller(topic)
    done = []
    try:
        for number, outcome in _outcomes(jobs, model, settings, teller):
            teller.tell(number, outcome)
            done.append((number, outcome))
    except Unwanted:
        pass
    return done, time.monotonic() - started


class _Teller:
    """Tells the driver, and asks whether it still listens."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self._worker, self._topic = get_worker(), topic
        self._key = self._worker.get_current_task()
        self._machine, self._process = machine(), os.getpid()
        self._told_s = 0.0

    def heard(self, number: int, seconds: float) -> None:
        """Raises Unwanted when the task was cancelled."""
        task = self._worker.state.tasks.get(self._key)
        if task is None or task.state in ("cancelled", "resumed"):
            raise Unwanted
        if seconds == 0 or time.monotonic() - self._told_s > _TELL_S:
            self._told_s = time.monotonic()
            self.tell(number, seconds)

    def tell(self, number: int, said: float | Outcome) -> None:
        report = Report(number, self._machine, self._process, said)
        self._worker.log_event(self._topic, pickle.dumps(report))


def _outcomes(
    jobs: dict[int, Job], model: Any, settings: Settings, teller: _Teller
) -> Iterator[tuple[int, Outcome]]:
    """One after the other; where there is a GPU, together."""
    from .batched_worker import Batched

    if isinstance(model, Batched):
        numbers = {str(job.source): number for number, job in jobs.items()}
        heard = lambda job, seconds: teller.heard(numbers[str(job.source)], seconds)  # noqa: E731
        for outcome in model.run(jobs.values(), settings, heard):
            yield numbers[str(outcome.source)], outcome
        return
    for number, job in jobs.items():
        teller.heard(number, 0.0)
        yield number, attempt(job, model, settings, partial(teller.heard, number))


def _model(settings: Settings, digest: str | None, load: Load) -> Any:
    """A transcriber, or one with what it needs for batches; loaded once, for all threads of a worker."""
    from .batched_worker import Batched, batched

    with _loading:
        if settings not in _models:
            try:
                transcriber = load(settings)
            except Exception as error:
                raise LoadError(f"on {platform.node()}: {one_line(error)}") from None
            _check(transcriber, digest)
            _models.clear()
            _models[settings] = (
                Batched(transcriber, settings) if batched(transcriber, settings) else transcriber
            )
        return _models[settings]


def _check(transcriber: Transcriber, digest: str | None) -> None:
    own = transcriber.checkpoint_name.rsplit(" ", 1)[-1]
    if digest is not None and own != digest:
        raise LoadError(
            f"on {platform.node()}: expected the weights {digest}, found {own}; "
            "install one version everywhere, or put the --checkpoint where all machines see it"
        )
