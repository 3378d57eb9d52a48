"""The processes of a round trip over JACK: the program under test, and what plays to it and receives from it.

All are used with ``with``, and however that ends, no process is left behind. JackError says which of them did
not do its part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from hppnet.processes import python
from hppnet.realtime.bench import READY

from .jack_server import JackError, JackServer

ROOT = Path(__file__).parents[2]
SYNTH = "hppnet-synth"  #: the MIDI port at the end of the round trip
READY_WITHIN_S = 120.0
LEAVES_WITHIN_S = 60.0

P = TypeVar("P", bound="JackPeer")


def environment(server: JackServer | None = None) -> dict[str, str]:
    """For a new Python: its lines can be read as soon as they are printed."""
    of_server = server.environment if server else dict(os.environ)
    return of_server | {"PYTHONUNBUFFERED": "1"}


class JackPeer:
    """A process of ``jack_peer_program``, ready for orders."""

    def __init__(self, role: str, what: str, server: JackServer, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            python("-m", "tests.rigs.jack_peer_program", role, what, str(log)),
            env=environment(server) | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self: P) -> P:
        self._expect("ready")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._process)

    def order(self, word: str) -> None:
        """Returns when it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        self._expect(f"done {word}")

    def leave(self) -> np.ndarray:
        """Ends it; returns what it has recorded."""
        self.order("leave")
        try:
            self._process.wait(LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise JackError("a peer did not leave") from None
        table: np.ndarray = np.load(self._log)
        return table

    def _expect(self, wanted: str) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if line != wanted:
            raise JackError(f"a peer: expected {wanted!r}, got {line!r}")


class PianoPeer(JackPeer):
    """Plays samples [n] (float32, at the server's rate). ``leave`` gives its cycles [c, 2]."""

    def __init__(self, sound: np.ndarray, server: JackServer, folder: Path) -> None:
        np.save(folder / "sound.npy", sound.astype(np.float32))
        super().__init__("piano", str(folder / "sound.npy"), server, folder / "piano.npy")
        self._server = server

    def play(self, inputs: Sequence[str]) -> None:
        """Starts the sound, into these ports of JACK."""
        ports = self._server.ports()
        [source] = [port for port in ports if any("playback" in peer for peer in ports[port])]
        for port in inputs:
            self._server.connect(source, port)
        self.order("play")


class SynthPeer(JackPeer):
    """Receives MIDI on SYNTH. ``leave`` gives the messages [m, 4]."""

    def __init__(self, server: JackServer, folder: Path) -> None:
        super().__init__("synth", SYNTH, server, folder / "synth.npy")


class LiveProgram:
    """A command line that takes its sound from JACK, as ``hppnet live`` does."""

    def __init__(self, command: Sequence[str], server: JackServer, folder: Path) -> None:
        self._file = folder / "output"
        self._server = server
        self._began_s = time.monotonic()
        with open(self._file, "w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                command,
                env=environment(server),
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=default_signals,
            )

    def __enter__(self) -> LiveProgram:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._process)

    @property
    def output(self) -> str:
        """What it has printed so far, on standard output and standard error."""
        return self._file.read_text(encoding="utf-8")

    def listening(self) -> tuple[list[str], float]:
        """Waits until it listens; gives its inputs (those connected to the system), and after how many s."""
        give_up = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up and self._process.poll() is None:
            if self.printed(READY):
                startup_s = time.monotonic() - self._began_s
                ports = self._server.ports()
                return [port for port in ports if any("capture" in peer for peer in ports[port])], startup_s
            time.sleep(0.02)
        raise JackError(f"the program does not listen; it printed: {self.output.strip()!r}")

    def printed(self, beginning: str) -> bool:
        """Whether a line of its output begins so."""
        return any(line.startswith(beginning) for line in self.output.splitlines())

    def leave(self, ending: signal.Signals = signal.SIGINT) -> int:
        """Its exit code after this signal. Raises JackError if it stays."""
        self._process.send_signal(ending)
        try:
            return self._process.wait(LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            raise JackError(
                f"the program did not leave within {LEAVES_WITHIN_S:g} s of {ending.name}; "
                f"it printed: {self.output.strip()!r}"
            ) from None


def default_signals() -> None:
    """In the new process: a job in the background ignores SIGINT, and what it starts would inherit that."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_DFL)


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
