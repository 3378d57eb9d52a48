"""The MIDI port: keeps track of the keys and the pedal that are down on it, and leaves nothing sounding.

The sender's thread makes the calls, which may block as long as the system's MIDI driver does. A lock guards
them, so that any thread may close the port.
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
    """A port by name or part of it, a new ``virtual`` port, or "none"; ``channel`` 1 to 16.

    ``wire`` is called at every opening and replaces the real port (tests, other libraries). Raises
    ValueError for bad arguments. PortFault is raised if the port is missing or sending fails.
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
        """Pitches that are down, or may have been left down by a port that failed."""
        return frozenset(self._sounding)

    @property
    def pedal_down(self) -> bool:
        """Whether the pedal is down, or may have been left down by a port that failed."""
        return self._pedal_down

    def open(self) -> None:
        """Opens the port; first ends what was left sounding before. Raises PortFault."""
        with self._lock:
            if self._wire is not None:
                return
            try:
                self._wire = self._open_wire()
            except PortFault:
                raise
            except Exception as error:  # each system's library raises its own errors
                raise PortFault(f"{self.name}: {error}") from error
            self.name = self._wire.name
            if self._is_dirty:
                self.panic()

    def send(self, event: Event) -> None:
        """Sends a NoteOn, NoteOff or Pedal. Raises PortFault."""
        if isinstance(event, Pedal):
            self.pedal(event.down)
        elif isinstance(event, NoteOn):
            self.note_on(event.pitch, event.velocity)
        else:
            self.note_off(event.pitch)

    def note_on(self, pitch: int, velocity: int) -> None:
        """Sends a note on (pitch 0-127, velocity 1-127), first a note off if needed. Raises PortFault."""
        with self._lock:
            if pitch in self._sounding:
                self.note_off(pitch)
            # Before sending: a send that fails may still have got through.
            self._sounding.add(pitch)
            self._send(NOTE_ON, pitch, max(1, min(127, velocity)))

    def note_off(self, pitch: int) -> None:
        """Sends a note off if the key is down. Raises PortFault."""
        with self._lock:
            if pitch in self._sounding:
                self._send(NOTE_OFF, pitch, 64)
                self._sounding.discard(pitch)

    def pedal(self, down: bool) -> None:
        """Sends the sustain pedal (controller 64: 127 or 0) if it changes. Raises PortFault."""
        with self._lock:
            if down == self._pedal_down:
                return
            self._pedal_down = True  # before sending, and until it has certainly come up
            self._send(CONTROL, SUSTAIN, 127 if down else 0)
            self._pedal_down = down

    def panic(self) -> None:
        """Sends each sounding note's note off, then sustain off and all notes off. Raises PortFault."""
        with self._lock:
            ends: list[Callable[[], None]]
            ends = [partial(self.note_off, pitch) for pitch in sorted(self._sounding)]
            ends += [self._lift_pedal, partial(self._send, CONTROL, ALL_NOTES_OFF, 0)]
            fault = None
            for end in ends:
                try:
                    end()
                except PortFault as error:
                    fault = error  # the next message may get through
            if fault:
                raise fault

    def check(self) -> None:
        """Raises PortFault if the receiver has gone."""
        with self._lock:
            try:
                here = self._wire is not None and self._wire.alive()
            except Exception:
                here = False
            if not here:
                raise PortFault(f"{self.name} has gone")

    def drop(self) -> None:
        """Closes the port after a fault. What was left sounding is ended by the next ``open``."""
        with self._lock:
            wire, self._wire = self._wire, None
            with suppress(Exception):  # it may be broken already
                if wire is not None:
                    wire.close()

    def close(self) -> None:
        """Silences the port and closes it. May be called twice; never raises, never waits for long.

        A port that failed and was left sounding is opened once more, since it may be back.
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
        """Sends sustain off even if the pedal is up here: another program may have left it down."""
        self._send(CONTROL, SUSTAIN, 0)
        self._pedal_down = False

    def _send(self, status: int, first: int, second: int) -> None:
        if self._wire is None:
            raise PortFault(f"{self.name} is not open")
        try:
            self._wire.send([status | self._channel, first, second])
        except Exception as error:  # each system's library raises its own errors
            raise PortFault(f"{self.name}: {error}") from error


def _opener(name: str | None, virtual: str | None, system: str | None) -> Callable[[], Wire]:
    if virtual is not None:
        return lambda: open_virtual(virtual, system)
    if name == "none":
        return Nowhere
    wanted = [name]

    def open_again() -> Wire:
        wire = open_port(wanted[0], system)
        wanted[0] = wanted[0] or wire.lasting_name  # later openings keep the first choice
        return wire

    return open_again
