"""All pieces of a data set: those that are not there yet are made, on several cores."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from .piece import How, Outcome, Source, attempt
from .workers import in_processes

UNFINISHED = ".unfinished"


@contextmanager
def unfinished_in(out: Path) -> Iterator[Path]:
    """A folder in ``out`` for what is not whole yet; gone in the end, with what an earlier run left there.

    Raises ValueError where another run is at work in ``out``, OSError where nothing can be written.
    """
    folder = out / UNFINISHED
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{out}: another hppnet prepare is at work in this folder; wait for it"
            ) from None
        except OSError:
            pass  # a file system without locks
        try:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run(sources: Sequence[Source], how: How, jobs: int) -> Generator[Outcome, None, None]:
    """The outcome of each, as they get done; ends early where none could be written any more.

    Closing the iterator, or Ctrl-C, ends all processes; no file is left half written.
    """
    if min(jobs, len(sources)) <= 1:
        yield from _while_hopeful(attempt(source, how) for source in sources)
        return
    work = partial(attempt, how=how)
    with closing(in_processes(work, sources, jobs, _died)) as outcomes:
        yield from _while_hopeful(outcomes)


def _while_hopeful(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        if outcome.hopeless:
            return


def _died(source: Source, why: str) -> Outcome:
    return Outcome(source.name, source.folder, why=f"{why}; fewer --jobs may help")
