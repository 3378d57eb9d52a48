"""Processes that work for this one: started, given things to do over a pipe, ended; a lock for all.

What they do with them, and what they answer, is their callers' own. Only the thread that started a worker
may use it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker, util
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from . import system

Item = TypeVar("Item")
#: Whether Python itself can leave the working folder out of where it imports from.
SAFE_PATH = sys.version_info >= (3, 11)
#: One that cannot is given this code with -c, and then what it is to do. No file is sys: it is built in.
_LEAVE_FOLDER = """
import sys
if sys.path[0] == "":
    del sys.path[0]
_, way, what, *sys.argv[1:] = sys.argv
if way == "-m":
    import runpy
    runpy.run_module(what, run_name="__main__", alter_sys=True)
else:
    exec(what)
"""


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass
class Worker(Generic[Item]):
    """A process and what it has to do."""

    process: Any  # multiprocessing's SpawnProcess
    pipe: Connection
    item: Item | None = None  #: None: it waits

    def give(self, item: Item, message: object) -> None:
        """Sends ``message``, to do ``item``. A worker that has died says so when its answer is read."""
        self.item = item
        with suppress(BrokenPipeError):
            self.pipe.send(message)

    def bury(self, patience_s: float) -> str:
        """After a worker that died: how it did."""
        self.process.join(patience_s)
        self.pipe.close()
        code = self.process.exitcode
        killed = code is not None and code < 0
        return f"by signal {-code}, perhaps for want of memory" if killed else f"with exit status {code}"


def start(work: Callable[..., None], *arguments: object) -> Worker[Any]:
    """A process of its own that calls ``work(pipe, *arguments)``; a fork may hang PyTorch's threads."""
    context = multiprocessing.get_context("spawn")
    keep_to_installed_modules()
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
    with interrupts_held_back():
        process.start()
    theirs.close()  # so that reading ours ends when the worker does
    return Worker(process, ours)


def end(workers: Sequence[Worker[Any]], patience_s: float) -> None:
    """Asks all to end; kills those that have not after so long."""
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        worker.process.join(patience_s)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Waits until no other process holds this file, which the system releases when a process ends.

    On a file system without locks it does not wait.
    """
    with lock.open("w") as file:
        system.lock(file)
        yield


def python(*arguments: str) -> list[str]:
    """The command for a new Python with ``-m MODULE`` or ``-c CODE`` and what follows.

    It imports nothing from the working folder: whoever transcribes a folder must not run its numpy.py.
    """
    return [sys.executable, *(("-P",) if SAFE_PATH else ("-c", _LEAVE_FOLDER)), *arguments]


def keep_to_installed_modules() -> None:
    """Has the Python processes that multiprocessing starts from here import nothing from the working folder.

    Nor do other children, from Python 3.11 on; before, they are started with ``python``.
    """
    if SAFE_PATH:
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    else:
        # Workers, the resource tracker and the fork server are all started with these and -c CODE.
        util._args_from_interpreter_flags = _flags_and_leave_folder  # type: ignore[attr-defined]


def _flags_and_leave_folder() -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [*flags, "-c", _LEAVE_FOLDER]


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """A worker inherits the block: Ctrl-C, which the terminal sends to all, is the parent's to answer."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    keep_to_installed_modules()
    resource_tracker.ensure_running()  # starting it, the first worker would lift the block again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
