"""Whether the JACK server that a virtual port lives in is still there.

A client whose server has died is told nothing, sees all ports as before and sends into nowhere; and it may
not ask with a second client, which makes JACK free the first one under its feet. So a short process asks,
every few seconds, started by a thread of its own.
"""

from __future__ import annotations

import subprocess
import threading
import time

from ..processes import python

EVERY_S = 5.0
ANSWER_WITHIN_S = 20.0
_QUESTION = """
import sys, rtmidi
names = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name="hppnet-watch").get_ports()
sys.exit(0 if any(name.endswith(":" + sys.argv[1]) for name in names) else 1)
"""


class JackWatch:
    """``alive`` never waits: it gives the last answer, and has it asked again from time to time."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._answer = True
        self._next_s = time.monotonic() + EVERY_S
        self._thread: threading.Thread | None = None

    def alive(self) -> bool:
        if time.monotonic() >= self._next_s and not (self._thread and self._thread.is_alive()):
            self._next_s = time.monotonic() + EVERY_S
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()
        return self._answer

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                python("-c", _QUESTION, self._port), capture_output=True, timeout=ANSWER_WITHIN_S
            )
        except (OSError, subprocess.TimeoutExpired):  # the machine is busy: no answer is no bad news
            return
        self._answer = done.returncode == 0
