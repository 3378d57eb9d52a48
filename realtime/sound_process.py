"""The part of the module sounddevice that AudioInput uses, run in a process of its own (``sound_child``).

``InputStream.start`` starts a thread that waits for blocks and calls the callback.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np

from ..processes import python
from ..system import out_of_reach
from .inputs import InputFault
from .sound_child import HEADER

ANSWER_WITHIN_S = 20.0  #: enough for a busy machine; a slower driver counts as dead
END_WITHIN_S = 1.0


class PortAudioError(Exception):
    """A device that cannot be opened."""


class SoundProcess:
    """A sound library whose process can be replaced. Raises InputFault if there is no library."""

    PortAudioError = PortAudioError

    def __init__(self) -> None:
        self._initialize()

    @property
    def default(self) -> SimpleNamespace:
        return SimpleNamespace(device=[self._there["default"], -1])

    def query_devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = self._there["devices"]
        return devices

    def query_hostapis(self) -> list[dict[str, Any]]:
        systems: list[dict[str, Any]] = self._there["systems"]
        return systems

    def InputStream(self, callback: Callable[..., None], **options: Any) -> ChildStream:
        """Opens the device. The process serves only this stream. Raises PortAudioError."""
        return ChildStream(self._child, callback, options)

    def close(self) -> None:
        self._child.end()

    def _initialize(self) -> None:
        self._child = Child()
        try:
            self._there = self._child.answer()
        except PortAudioError as error:
            self._child.end()
            raise InputFault(str(error)) from None

    def _terminate(self) -> None:
        self._child.end()


class Child:
    """The child process, and the lines of JSON to and from it. Raises InputFault if it cannot start."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                python("-m", f"{__package__}.sound_child"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # ALSA and JACK print there whatever they do not find
                **out_of_reach(),  # Ctrl-C while it starts would look like a library that does not answer
            )
        except OSError as error:
            raise InputFault(
                f"cannot start the process that reads the sound device: {error.strerror or error}"
            ) from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self.out: BinaryIO = self._process.stdout  # type: ignore[assignment]

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any]) -> None:
        with suppress(OSError):  # ``answer`` will raise then
            self._in.write(json.dumps(request).encode() + b"\n")
            self._in.flush()

    def answer(self) -> dict[str, Any]:
        """Reads one answer. Raises PortAudioError for a reported fault or no answer."""
        watchdog = threading.Timer(ANSWER_WITHIN_S, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        line = self.out.readline()
        watchdog.cancel()
        try:
            found: dict[str, Any] = json.loads(line)
        except ValueError:
            raise PortAudioError("the sound system does not answer") from None
        if "fault" in found:
            raise PortAudioError(found["fault"])
        return found

    def end(self) -> None:
        """Closes the process's input, which ends it; kills it if it hangs. May be called twice."""
        with suppress(OSError):
            self._in.close()
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Times:
    """The times passed to the callback, in place of PortAudio's."""

    arrived_s: float  #: time of ``time.perf_counter``, which all processes of a machine share


class ChildStream:
    """An open device."""

    def __init__(self, child: Child, callback: Callable[..., None], options: dict[str, Any]) -> None:
        self._child, self._callback = child, callback
        child.ask(options)
        child.answer()
        self._thread = threading.Thread(target=self._run, name="hppnet-sound", daemon=True)

    @property
    def active(self) -> bool:
        return self._child.alive

    def start(self) -> None:
        self._thread.start()

    def abort(self) -> None:
        self._child.end()

    def close(self) -> None:
        self._child.end()

    def _run(self) -> None:
        with suppress(OSError, ValueError):  # closed meanwhile
            while len(head := self._child.out.read(HEADER.size)) == HEADER.size:
                frames, channels, arrived_s, lossy = HEADER.unpack(head)
                data = self._child.out.read(4 * frames * channels)
                if len(data) < 4 * frames * channels:
                    return
                samples = np.frombuffer(data, dtype=np.float32).reshape(frames, channels)
                self._callback(samples, frames, Times(arrived_s), SimpleNamespace(input_overflow=lossy))
