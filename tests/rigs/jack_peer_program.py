"""What plays to ``hppnet live`` over JACK, and what receives its MIDI: programs for the rigs.

    python -m tests.rigs.jack_peer_program piano SOUND.npy LOG.npy
    python -m tests.rigs.jack_peer_program synth PORT_NAME LOG.npy

The piano plays float32 samples [n] (at the server's rate) into JACK through PortAudio; the synth receives
MIDI on a port of python-rtmidi. Two processes, on the one clock of the machine: python-rtmidi holds
Python's lock while it opens and closes, and PortAudio's callback, waiting for it, would hold up the server.

Each prints ``ready`` and then takes orders, a line each on standard input, and prints ``done ORDER``: the
piano ``play`` and ``wait`` (for the sound's end), the synth ``unplug`` and ``plug`` (its port), ``notes``
(until ``AWAITED_NOTES`` more have come) and ``end`` (until all notes off has come), both ``leave``.

Then the piano's LOG.npy holds its cycles [c, 2] (number of the first sample, ``time.monotonic()`` s when JACK
took it), the synth's the messages [m, 4] (``time.monotonic()`` s and up to three bytes).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

AWAITED_NOTES = 3
PATIENCE_S = 60.0  #: a synth waits no longer for what does not come
ALL_NOTES_OFF = [0xB0, 123, 0]


class SoundPlayer:
    """Silence until ``play``, then the sound, then silence."""

    def __init__(self, sound: np.ndarray) -> None:
        self._sound, self._position = sound, 0
        self._playing = False
        self._cycles: list[tuple[int, float]] = []

    def play(self) -> None:
        self._playing = True

    def wait(self) -> None:
        """Until the sound has been played."""
        while self._position < len(self._sound):
            time.sleep(0.05)

    def table(self) -> np.ndarray:
        return np.array(self._cycles, dtype=float).reshape(-1, 2)

    def __call__(self, out: np.ndarray, frames: int, when: Any, flags: Any) -> None:
        """PortAudio's callback; out [frames, 1]."""
        now = time.monotonic()
        part = self._sound[self._position : self._position + frames] if self._playing else self._sound[:0]
        out[: len(part), 0] = part
        out[len(part) :] = 0
        if self._playing:
            self._cycles.append((self._position, now))
            self._position += frames


class MidiReceiver:
    """Keeps each message with the time at which it came. The port can be closed and opened again."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._messages: list[tuple[float, list[int]]] = []
        self._midi: Any = None
        self.plug()

    def plug(self) -> None:
        import rtmidi

        self._midi = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=self._name)
        self._midi.set_callback(self)
        self._midi.open_virtual_port("in")

    def unplug(self) -> None:
        midi, self._midi = self._midi, None
        if midi is not None:
            midi.close_port()
            midi.delete()

    def await_notes(self) -> None:
        """Until more notes have come."""
        wanted = self._notes() + AWAITED_NOTES
        self._await(lambda: self._notes() >= wanted)

    def await_end(self) -> None:
        """Until the program has silenced the port, which is the last that it does."""
        self._await(lambda: bool(self._messages) and self._messages[-1][1] == ALL_NOTES_OFF)

    def _notes(self) -> int:
        return sum(message[0] & 0xF0 == 0x90 and message[2] > 0 for _, message in list(self._messages))

    def _await(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < give_up:
            time.sleep(0.02)

    def table(self) -> np.ndarray:
        rows = [[when, *[*message, 0, 0][:3]] for when, message in self._messages]
        return np.array(rows, dtype=float).reshape(-1, 4)

    def __call__(self, event: tuple[list[int], float], data: object = None) -> None:
        """python-rtmidi's callback."""
        self._messages.append((time.monotonic(), event[0]))


def play(sound_file: str, log_file: str) -> None:
    """The piano."""
    import sounddevice

    player = SoundPlayer(np.load(sound_file))
    rate = sounddevice.query_devices("system", "output")["default_samplerate"]
    settings = {"device": "system", "channels": 1, "dtype": "float32", "blocksize": 0}
    with sounddevice.OutputStream(rate, callback=player, **settings):
        obey({"play": player.play, "wait": player.wait})
    np.save(log_file, player.table())


def receive(port_name: str, log_file: str) -> None:
    """The receiver."""
    receiver = MidiReceiver(port_name)
    orders = {"plug": receiver.plug, "unplug": receiver.unplug}
    obey(orders | {"notes": receiver.await_notes, "end": receiver.await_end})
    receiver.unplug()
    np.save(log_file, receiver.table())


def obey(orders: dict[str, Callable[[], None]]) -> None:
    """Carries out the orders on standard input, until ``leave``."""
    print("ready", flush=True)
    for order in map(str.strip, sys.stdin):
        if order != "leave":
            orders[order]()
        print(f"done {order}", flush=True)
        if order == "leave":
            return


if __name__ == "__main__":
    {"piano": play, "synth": receive}[sys.argv[1]](*sys.argv[2:])
