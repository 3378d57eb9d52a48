"""A JACK server of one's own: sound and MIDI from program to program, without a sound card.

It has a name of its own, so that it disturbs no other server on the machine, and the dummy driver, whose
inputs are silent and whose outputs nobody receives. Needs Debian's ``jackd2`` and ``libportaudio2``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from types import TracebackType
from typing import IO

READY_WITHIN_S = 10.0
_BOILERPLATE = re.compile(
    r"jackdmp|Copyright|under certain conditions|JACK server starting|self-connect-mode|\s*$"
)
_UNFINISHED = re.compile(r"XRun: client (?:= )?(.+?) (?:was not finished|finished after)")
#: JACK remembers eight servers on a machine, also those that were killed, until one of the same name starts.
#: So the names are few and used again; as many servers can run at once.
NAMES = tuple(f"hppnet-{number}" for number in range(4))
CLIENT_TIMEOUT_MS = 1000  #: a busy machine is no reason to throw a client out


class JackError(RuntimeError):
    """The server did not start, or a process did not do its part; the message says which and why."""


def missing() -> str | None:
    """What JACK needs and this machine lacks, in a line; None if all is there."""
    for program in ("jackd", "jack_lsp", "jack_connect"):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: jackd2)"
    try:
        import rtmidi
        import sounddevice  # noqa: F401  # OSError where PortAudio is not there
    except (ImportError, OSError) as error:
        return f"{error}; pip install 'hppnet[live]', Debian: libportaudio2"
    if rtmidi.API_UNIX_JACK not in rtmidi.get_compiled_api():
        return "python-rtmidi was built without JACK"
    return None


def may_run_realtime() -> bool:
    """Whether the system grants real-time priority, by asking for it and giving it back."""
    try:
        policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))  # jackd's own
        os.sched_setscheduler(0, policy, parameters)
    except (OSError, AttributeError):
        return False
    return True


class JackServer:
    """Runs ``jackd`` while ``with`` lasts. Raises JackError if it does not start."""

    def __init__(self, sample_rate: int = 48_000, block: int = 256) -> None:
        self.sample_rate, self.block = sample_rate, block
        self.name = NAMES[0]
        self._log: IO[str]
        self._process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to use this server and no other."""
        return os.environ | {"JACK_DEFAULT_SERVER": self.name, "JACK_NO_START_SERVER": "1"}

    def __enter__(self) -> JackServer:
        first = os.getpid() % len(NAMES)  # another run beside this one most likely begins elsewhere
        complaints = []
        for self.name in NAMES[first:] + NAMES[:first]:
            if self._answers():
                complaints.append(f"{self.name} is in use")
            elif self._starts():
                return self
            else:
                complaints.append(self._complaint())
                self._stop()
        raise JackError(f"jackd did not start: {'; '.join(dict.fromkeys(complaints))}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _starts(self) -> bool:
        """Whether the server answers in time."""
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by _stop
        # Real-time priority keeps the cycles regular on a busy machine; without the right to it, do without.
        # Not --sync: there a client that leaves can stop the whole server.
        priority = "--realtime" if may_run_realtime() else "--no-realtime"
        self._process = subprocess.Popen(
            [
                *("jackd", priority, "--timeout", str(CLIENT_TIMEOUT_MS), "--name", self.name),
                *("-d", "dummy", "--rate", str(self.sample_rate), "--period", str(self.block)),
            ],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"JACK_NO_AUDIO_RESERVATION": "1"},
        )
        give_up = time.monotonic() + READY_WITHIN_S
        while self._process.poll() is None and time.monotonic() < give_up:
            if self._answers():
                return True
            time.sleep(0.1)
        return False

    def _answers(self) -> bool:
        """Whether a server of this name runs; one that hangs counts."""
        try:
            done = subprocess.run(["jack_lsp"], env=self.environment, capture_output=True, timeout=5)
        except subprocess.TimeoutExpired:
            return True
        return done.returncode == 0

    def ports(self) -> dict[str, list[str]]:
        """Every port with those that it is connected to."""
        return parse_ports(self._run("jack_lsp", "--connections"))

    def connect(self, source: str, target: str) -> None:
        """Raises JackError if a port is not there."""
        self._run("jack_connect", source, target)

    def unfinished(self) -> dict[str, int]:
        """How many cycles each client did not finish in time; JACK then drops the cycle's sound."""
        self._log.seek(0)
        return dict(Counter(_UNFINISHED.findall(self._log.read())))

    def _run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise JackError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _complaint(self) -> str:
        self._log.seek(0)
        lines = [line for line in self._log.read().strip().splitlines() if not _BOILERPLATE.match(line)]
        return "; ".join(lines[:3]) or f"no answer in {READY_WITHIN_S:g} s"


def parse_ports(listing: str) -> dict[str, list[str]]:
    """From ``jack_lsp --connections``: ports, each followed by its peers, indented."""
    ports: dict[str, list[str]] = {}
    port = ""
    for line in listing.splitlines():
        if line.startswith(" "):
            ports[port].append(line.strip())
        elif line.strip():
            port = line.strip()
            ports[port] = []
    return ports
