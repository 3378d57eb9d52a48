"""The MIDI port: keeps track of the keys and the pedal that are down on it, and leaves nothing sounding.

Calls may block as long as the system's MIDI driver does; the sender's thread makes them. A lock guards
them, so that any thread may close.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType

from ..model.notes import Event, NoteOn, Pedal
from .midi_ports import Nowhere, PortFault, Wire, open_port, open_virtual

NOTE_OFF, NOTE_ON, CONTROL = 0x80, 0x90, 0xB0
SUSTAIN, ALL_NOTES_OFF = 64, 123
CLOSE_WITHIN_S = 1.0  #: a send that blocks longer keeps the lock; then nothing more can be sent anyway


class MidiOutput:
    """A port by name or part of it, a new ``virtual`` one, or "none"; ``channel`` 1 to 16.

    ``wire`` replaces the real port (tests, other libraries): called at every opening. Raises ValueError
    for bad arguments, PortFault from ``open`` when the port is not there and from sending when that fails.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        virtual: str | None = None,
        channel: int = 1,
        system: str | None = None,
        wire: Callable[[], Wire] | None = None,
    ) -> None:
        if not 1 <= channel <= 16:
            raise ValueError(f"MIDI channels are 1 to 16, got {channel}")
        if name is not None and virtual is not None:
            raise ValueError("expected a port's name or virtual, got both")
        self.name = name or virtual or "no port"
        self._channel = channel - 1
        self._open_wire = wire or _opener(name, virtual, system)
        self._wire: Wire | None = None
        self._sounding: set[int] = set()
        self._pedal_down = False
        self._lock = threading.RLock()

    def __enter__(self) -> MidiOutput:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sounding(self) -> frozenset[int]:
        """Pitches that are down, or that a port which failed may have left down."""
        return frozenset(self._sounding)

    @property
    def pedal_down(self) -> bool:
        """Whether the pedal is down, or may have been left down by a port which failed."""
        return self._pedal_down

    def open(self) -> None:
        """Opens, or opens again: then what sounded before is ended first. Raises PortFault."""
        with self._lock:
            if self._wire is not None:
                return
            self._wire = self._open_wire()
            self.name = self._wire.name
            if self._is_dirty:
                self.panic()

    def send(self, event: Event) -> None:
        """A NoteOn, NoteOff or Pedal. Raises PortFault."""
        if isinstance(event, Pedal):
            self.pedal(event.down)
        elif isinstance(event, NoteOn):
            self.note_on(event.pitch, event.velocity)
        else:
            self.note_off(event.pitch)

    def note_on(self, pitch: int, velocity: int) -> None:
        """Pitch 0 to 127, velocity 1 to 127. A key that is down comes up first. Raises PortFault."""
        with self._lock:
            if pitch in self._sounding:
                self.note_off(pitch)
            # Before sending: a send that fails may still have got through.
            self._sounding.add(pitch)
            self._send(NOTE_ON, pitch, max(1, min(127, velocity)))

    def note_off(self, pitch: int) -> None:
        """Nothing is sent for a key that is up. Raises PortFault."""
        with self._lock:
            if pitch in self._sounding:
                self._send(NOTE_OFF, pitch, 64)
                self._sounding.discard(pitch)

    def pedal(self, down: bool) -> None:
        """The sustain pedal as controller 64: 127 or 0. Nothing is sent where it is so. Raises PortFault."""
        with self._lock:
            if down == self._pedal_down:
                return
            self._pedal_down = True  # before sending, and until it certainly came up
            self._send(CONTROL, SUSTAIN, 127 if down else 0)
            self._pedal_down = down

    def panic(self) -> None:
        """Ends each sounding note by its own note-off, then sustain off, all notes off. Raises PortFault."""
        with self._lock:
            ends: list[Callable[[], None]]
            ends = [partial(self.note_off, pitch) for pitch in sorted(self._sounding)]
            ends += [self._lift_pedal, partial(self._send, CONTROL, ALL_NOTES_OFF, 0)]
            fault = None
            for end in ends:
                try:
                    end()
                except PortFault as error:
                    fault = error  # the next one may get through
            if fault:
                raise fault

    def check(self) -> None:
        """Raises PortFault when the other end has gone."""
        with self._lock:
            try:
                here = self._wire is not None and self._wire.alive()
            except Exception:
                here = False
            if not here:
                raise PortFault(f"{self.name} has gone")

    def drop(self) -> None:
        """After a fault: lets go of the port. What sounds is remembered and ended when it is opened again."""
        with self._lock:
            wire, self._wire = self._wire, None
            with suppress(Exception):  # it may be broken already
                if wire is not None:
                    wire.close()

    def close(self) -> None:
        """Silences the port and closes it. May be called twice; never raises, never waits for long.

        A port that failed may be back by now: it is tried once more where it was left sounding.
        """
        if not self._lock.acquire(timeout=CLOSE_WITHIN_S):
            return
        try:
            if self._wire is not None:
                with suppress(PortFault):
                    self.panic()
            self.drop()
            if self._is_dirty:
                with suppress(Exception):
                    self.open()
                self.drop()
        finally:
            self._lock.release()

    @property
    def _is_dirty(self) -> bool:
        return bool(self._sounding) or self._pedal_down

    def _lift_pedal(self) -> None:
        """Sends it even if the pedal is up here: another program may have left it down."""
        self._send(CONTROL, SUSTAIN, 0)
        self._pedal_down = False

    def _send(self, status: int, first: int, second: int) -> None:
        if self._wire is None:
            raise PortFault(f"{self.name} is not open")
        try:
            self._wire.send([status | self._channel, first, second])
        except Exception as error:  # each system's library raises its own
            raise PortFault(f"{self.name}: {error}") from error


def _opener(name: str | None, virtual: str | None, system: str | None) -> Callable[[], Wire]:
    if virtual is not None:
        return lambda: open_virtual(virtual, system)
    if name == "none":
        return Nowhere
    wanted = [name]

    def open_again() -> Wire:
        wire = open_port(wanted[0], system)
        wanted[0] = wanted[0] or wire.lasting_name  # the first choice stays the choice
        return wire

    return open_again
