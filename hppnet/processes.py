"""Worker processes: starts them, sends them work over a pipe, ends them; and a lock between processes.

The callers define the messages and the answers. Only the thread that started a worker may use it.
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
#: Whether Python has an option (-P) to import nothing from the working folder.
SAFE_PATH = sys.version_info >= (3, 11)
#: Without -P, Python gets this code with -c, then the real arguments. sys is built in: no file replaces it.
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
    """A worker process and the item it works on."""

    process: Any  # multiprocessing's SpawnProcess
    pipe: Connection
    item: Item | None = None  #: None: the worker is idle

    def give(self, item: Item, message: object) -> None:
        """Sends ``message`` as the order for ``item``. A dead worker is noticed when its answer is read."""
        self.item = item
        with suppress(BrokenPipeError):
            self.pipe.send(message)

    def bury(self, patience_s: float) -> str:
        """Cleans up after a dead worker; returns how it died."""
        self.process.join(patience_s)
        self.pipe.close()
        code = self.process.exitcode
        killed = code is not None and code < 0
        return f"by signal {-code}, perhaps out of memory" if killed else f"with exit status {code}"


def start(work: Callable[..., None], *arguments: object) -> Worker[Any]:
    """Spawns a process that calls ``work(pipe, *arguments)``: after a fork, PyTorch's threads may hang."""
    context = multiprocessing.get_context("spawn")
    keep_to_installed_modules()
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *arguments), daemon=True)
    with interrupts_held_back():
        process.start()
    theirs.close()  # so that reading from ``ours`` ends when the worker ends
    return Worker(process, ours)


def end(workers: Sequence[Worker[Any]], patience_s: float) -> None:
    """Terminates all workers; kills those still alive after ``patience_s``."""
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
    """Locks a file; waits while another process holds it. The system releases it when a process ends.

    On a file system without locks it does not wait.
    """
    with lock.open("w") as file:
        system.lock(file)
        yield


def python(*arguments: str) -> list[str]:
    """The command for a new Python with ``-m MODULE`` or ``-c CODE`` and their arguments.

    It imports nothing from the working folder: a numpy.py among the recordings must not be run.
    """
    return [sys.executable, *(("-P",) if SAFE_PATH else ("-c", _LEAVE_FOLDER)), *arguments]


def keep_to_installed_modules() -> None:
    """Keeps the processes that multiprocessing starts from importing from the working folder.

    From Python 3.11 on this holds for other child processes too; before, start them with ``python``.
    """
    if SAFE_PATH:
        os.environ.setdefault("PYTHONSAFEPATH", "1")
    else:
        # Workers, the resource tracker and the fork server are all started with these flags and -c CODE.
        util._args_from_interpreter_flags = _flags_and_leave_folder  # type: ignore[attr-defined]


def _flags_and_leave_folder() -> list[str]:
    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return [*flags, "-c", _LEAVE_FOLDER]


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Blocks SIGINT. A worker started here inherits the block, so that only the parent handles Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    keep_to_installed_modules()
    resource_tracker.ensure_running()  # started later, by the first worker, it would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
