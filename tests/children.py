"""Processes that tests start and send signals to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

HPPNET = [sys.executable, "-m", "hppnet"]
PATIENCE_S = 120.0  #: how long a condition may take on a busy machine; what never comes is a failure


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """A process with the default actions of the signals that end one.

    A job that a shell runs in the background ignores SIGINT, and its children would inherit that.
    """
    return subprocess.Popen(list(map(str, command)), text=True, preexec_fn=_default_signals, **options)


def _default_signals() -> None:
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def wait_until(
    condition: Callable[[], Any], what: str = "it", process: subprocess.Popen[str] | None = None
) -> Any:
    """What the condition gives once that is true; fails where it is not in time, or the process has ended."""
    end_s = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert process is None or process.poll() is None, f"{what} did not come: {process.communicate()}"
        assert time.monotonic() < end_s, f"{what} did not come within {PATIENCE_S:g} s"
        time.sleep(0.02)
    return value


def all_gone(group: int) -> bool:
    """Whether the process group is empty soon: no worker is left behind."""

    def gone() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    return bool(wait_until(gone, "the end of all processes"))


@contextmanager
def no_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard output is a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as out:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            yield
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # takes what closing still writes
