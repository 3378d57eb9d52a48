"""What Windows lacks is taken away here, and what it has put in its place."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile

from hppnet import system
from hppnet.model import files
from hppnet.model.notes import read_midi
from hppnet.realtime import midi_ports

from . import children
from .sounds import TONE_WEIGHTS, three_notes


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for module in (files, system):
        monkeypatch.setattr(module, "WINDOWS", True)
    return monkeypatch


class Kernel:
    """Knows processes 1 to 3: one runs, one has ended and is remembered, one is somebody else's."""

    def __init__(self) -> None:
        self.open: list[int] = []

    def OpenProcess(self, rights: int, inherit: bool, process: int) -> int:
        if process in (1, 2):
            self.open.append(process)
        return process if process in (1, 2) else 0

    def GetLastError(self) -> int:
        return 5

    def WaitForSingleObject(self, handle: int, milliseconds: int) -> int:
        return 0x102 if handle == 1 else 0

    def CloseHandle(self, handle: int) -> None:
        self.open.remove(handle)


def test_looking_for_a_process_does_not_end_it(windows: pytest.MonkeyPatch) -> None:
    kernel = Kernel()
    windows.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    windows.setattr(os, "kill", lambda *_: pytest.fail("os.kill ends processes on Windows"))
    assert [files.runs(process) for process in (1, 2, 3)] == [True, False, True]
    windows.setattr(kernel, "GetLastError", lambda: 87)  # no such process
    assert not files.runs(3) and kernel.open == []


def test_looking_for_a_process_here() -> None:
    assert files.runs(os.getpid())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert not files.runs(gone.pid)


def held(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """``os.replace`` is refused so often, as where a player has the file open; how often it was tried."""
    real, tries = os.replace, [0]

    def replace(part: Any, target: Any) -> None:
        tries[0] += 1
        if tries[0] <= times:
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        real(part, target)

    monkeypatch.setattr(os, "replace", replace)
    return tries


def test_a_file_that_another_program_holds_for_a_moment_is_replaced(
    windows: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    windows.setattr(files, "LOOK_S", 0)
    tries = held(windows, 3)
    (tmp_path / "part").write_text("new")
    (tmp_path / "take.mid").write_text("old")
    files.replace(tmp_path / "part", tmp_path / "take.mid")
    assert (tmp_path / "take.mid").read_text() == "new" and tries == [4]


def test_a_file_that_stays_held_is_named(windows: pytest.MonkeyPatch, tmp_path: Path) -> None:
    windows.setattr(files, "REPLACE_WITHIN_S", 0)
    held(windows, 1000)
    with pytest.raises(PermissionError, match=r"take\.mid"):
        files.replace(tmp_path / "part", tmp_path / "take.mid")


def test_elsewhere_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = held(monkeypatch, 1000)
    with pytest.raises(PermissionError):
        files.replace(tmp_path / "part", tmp_path / "take.mid")
    assert tries == [1]


def test_locks_of_windows_are_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusals = [errno.EACCES, errno.EDEADLK]

    def locking(file: int, mode: int, size: int) -> None:
        if refusals:
            raise OSError(refusals.pop(), "locked")

    monkeypatch.setattr(system, "LOOK_S", 0)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with (tmp_path / "lock").open("w") as file:
        assert system.lock(file)
        assert not refusals
        refusals.append(errno.EACCES)
        assert not system.lock(file, wait=False)


def test_locks_here_are_waited_for(tmp_path: Path) -> None:
    has = threading.Event()
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        system.lock(first)
        assert not system.lock(second, wait=False)
        waiting = threading.Thread(target=lambda: (system.lock(second), has.set()))
        waiting.start()
        assert not has.wait(0.2)
        first.close()
        waiting.join(children.PATIENCE_S)
        assert has.is_set()


def test_children_are_out_of_the_reach_of_ctrl_c(windows: pytest.MonkeyPatch) -> None:
    assert system.out_of_reach() == {"creationflags": 0x200}
    windows.setattr(system, "WINDOWS", False)
    assert system.out_of_reach() == {"start_new_session": True}


def test_meanwhile_all_that_is_started_runs_before_other_programs() -> None:
    usual, inside = os.sched_getscheduler(0), []
    with system.before_other_programs() as granted:
        thread = threading.Thread(target=lambda: inside.append(os.sched_getscheduler(0)))
        thread.start()
        thread.join()
        code = "import os; print(os.sched_getscheduler(0))"
        inside.append(int(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout))
    assert inside == 2 * [os.SCHED_RR if granted else usual]
    assert os.sched_getscheduler(0) == usual


@pytest.mark.parametrize("why", ["refused", "one core", "limited", "no such call"])
def test_where_the_system_grants_no_priority_all_goes_on(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if why == "one core":
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    elif why == "refused":
        monkeypatch.setattr(os, "sched_setscheduler", refuse)
    elif why == "limited":
        monkeypatch.setattr(resource, "getrlimit", lambda which: (200_000, 200_000))
    else:
        monkeypatch.delattr(os, "sched_setscheduler")
    usual = os.sched_getscheduler(0)
    with system.before_other_programs() as granted:
        assert not granted and os.sched_getscheduler(0) == usual


def test_windows_gives_a_high_priority_and_takes_it_back(windows: pytest.MonkeyPatch) -> None:
    classes, grants = [0x20], [True]

    def set_class(process: int, wanted: int) -> bool:
        if grants[0]:
            classes.append(wanted)
        return grants[0]

    kernel = SimpleNamespace(
        GetCurrentProcess=lambda: -1,
        GetPriorityClass=lambda process: classes[-1],
        SetPriorityClass=set_class,
    )
    windows.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    with system.before_other_programs() as granted:
        assert granted and classes == [0x20, 0x80]
    assert classes == [0x20, 0x80, 0x20]
    grants[0] = False
    with system.before_other_programs() as granted:
        assert not granted
    assert classes == [0x20, 0x80, 0x20]


def test_a_reader_that_is_gone(windows: pytest.MonkeyPatch) -> None:
    invalid = OSError(errno.EINVAL, "Invalid argument")
    assert system.is_reader_gone(invalid) and system.is_reader_gone(BrokenPipeError())
    assert not system.is_reader_gone(OSError(errno.EINVAL, "Invalid argument", "a:b.mid"))
    windows.setattr(system, "WINDOWS", False)
    assert not system.is_reader_gone(invalid)


@pytest.mark.parametrize(
    ("version", "platform", "words"),
    [
        ((3, 12, 1), "linux", "pip install 'hppnet[live]'"),
        ((3, 13, 0), "linux", "for Python 3.13 it must be built: sudo apt-get install g++"),
        ((3, 14, 0), "win32", "C++ build tools; pip install python-rtmidi"),
    ],
)
def test_where_there_is_no_package_of_rtmidi_a_line_says_how_to_build_it(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], platform: str, words: str
) -> None:
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    monkeypatch.setattr(midi_ports.sys, "version_info", version)
    monkeypatch.setattr(midi_ports.sys, "platform", platform)
    with pytest.raises(midi_ports.PortFault) as fault:
        midi_ports.midi_library()
    assert words in str(fault.value) and "\n" not in str(fault.value)


#: Before anything of hppnet is imported; asyncio's own part for Unix is not what is tried here.
_WITHOUT_POSIX = """
import asyncio, os, select, signal, socket, subprocess, sys, tempfile, threading
for name in ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "pthread_sigmask"):
    delattr(signal, name)
for name in ("O_NONBLOCK", "getloadavg", "fork", "geteuid", "getuid", "mkfifo"):
    delattr(os, name)
for name in ("sched_getaffinity", "sched_getscheduler", "sched_setscheduler"):
    delattr(os, name)
del select.poll
import hppnet.system
from hppnet.cli import main
main()
"""


def test_files_and_live_go_without_what_posix_alone_has(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "three.wav", three_notes(), 16_000)
    weights = ("--checkpoint", str(TONE_WEIGHTS))
    for arguments in (
        ("transcribe", "three.wav", "--jobs", "1", *weights),
        ("live", "--from-file", "three.wav", "--output", "none", "--record", "live.mid", *weights),
    ):
        command = [sys.executable, "-c", _WITHOUT_POSIX, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    for name in ("three.mid", "live.mid"):
        assert [note.pitch for note in read_midi(tmp_path / name)] == [60, 64, 67]
