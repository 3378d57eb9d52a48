"""Recordings judged together in one process, without helpers: what a worker of a cluster does on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, cast

from ..model.decoder import Probable
from ..model.frames import Row
from ..model.transcriber import Transcriber
from .batch import Heard
from .batching import Batcher
from .hands import Model, Sound, Work, attempt
from .job import Outcome
from .outputs import Job
from .settings import Settings

Going = tuple[Work, Any, Sound]  #: a recording under way, and its next window


def batched(transcriber: Transcriber, settings: Settings) -> bool:
    """Whether recordings are judged together: on a GPU, or where it is asked for; never as live would."""
    return settings.latency_ms is None and (settings.batch is not None or transcriber.device == "cuda")


class Batched:
    """As ``run``, without other processes: reading, the network and writing take turns."""

    def __init__(self, transcriber: Transcriber, settings: Settings) -> None:
        self._model = Model.of(transcriber)
        self._batcher = Batcher(transcriber, settings.batch)

    def run(self, jobs: Iterable[Job], settings: Settings, heard: Heard) -> Iterator[Outcome]:
        waiting = iter(jobs)
        going: list[Going] = []
        while True:
            while len(going) < self._batcher.size and (job := next(waiting, None)) is not None:
                heard(job, 0.0)
                work = attempt(job, self._model, settings, partial(heard, job))
                yield from _go_on(going, work, None, self._batcher.windows.start())
            if not going:
                return
            rows = [Row(past, sound.samples, sound.last) for _, past, sound in going]
            try:
                count, judged = self._batcher.judge(rows)
            except MemoryError as error:
                yield from _go_on(going, going[0][0], error, going.pop(0)[1])
                continue
            taken, going = going[:count], going[count:]
            for (work, _, _), past, said in zip(taken, judged.pasts, judged.wait(), strict=True):
                yield from _go_on(going, work, said, past)


def _go_on(going: list[Going], work: Work, said: Probable | Exception | None, past: Any) -> Iterator[Outcome]:
    """Tells a recording what it waits for: it has a next window, or comes to its end."""
    try:
        sound = work.throw(said) if isinstance(said, Exception) else work.send(cast("Probable", said))
        going.append((work, past, sound))
    except StopIteration as stop:
        yield stop.value
