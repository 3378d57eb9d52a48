"""Lists and opens real MIDI ports with python-rtmidi, which is imported only here.

``JackWatch`` checks whether the JACK server of a virtual port still runs. A client whose server has died is
not notified: it still lists all ports, and its messages are lost. It cannot check with a second client,
since JACK then frees the first one while it is in use. So a thread starts a short process every few seconds,
which checks.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from ..processes import python
from ..system import out_of_reach
from .devices import quiet_libraries

CLIENT = "hppnet"
#: python-rtmidi's names of MIDI systems -> ours, best first.
SYSTEMS = {
    "LINUX_ALSA": "alsa",
    "MACOSX_CORE": "coremidi",
    "WINDOWS_MM": "winmm",
    "UNIX_JACK": "jack",
}
WITHOUT_VIRTUAL = ("winmm",)
#: Numbers of clients and ports, which change when a synthesiser is restarted.
_NUMBERS = re.compile(r"\s*(\(\d+(:\d+)?\)|\b\d+:\d+$)")
_THROUGH = re.compile(r"midi through", re.IGNORECASE)
JACK_EVERY_S = 5.0  #: interval between checks
ANSWER_WITHIN_S = 20.0
_QUESTION = """
import sys, rtmidi
names = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name="hppnet-watch").get_ports()
sys.exit(0 if any(name.endswith(":" + sys.argv[1]) for name in names) else 1)
"""


class PortFault(Exception):
    """A MIDI port is missing or was lost. The message names the port and the fault in one line."""


class Wire(Protocol):
    """A connection that takes MIDI messages. ``send`` may raise anything, and may block."""

    name: str

    def send(self, message: list[int]) -> None: ...

    def alive(self) -> bool:
        """Whether the receiver is still there."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class MidiPort:
    """A port that MIDI can be sent to."""

    name: str
    system: str  #: alsa, jack, coremidi, winmm

    def __str__(self) -> str:
        return f"{self.name} ({self.system})"


class Nowhere:
    """Discards all messages: ``--output none``."""

    name = "none"

    def send(self, message: list[int]) -> None: ...

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...


class RtMidiWire:
    """An open port of python-rtmidi. ``port`` is None for a virtual port, which others connect to."""

    def __init__(self, midi: Any, name: str, port: MidiPort | None, watch: JackWatch | None = None) -> None:
        self.name = name
        self.lasting_name = name if port is None else lasting_name(port)
        self._midi, self._port, self._watch = midi, port, watch

    def send(self, message: list[int]) -> None:
        self._midi.send_message(message)

    def alive(self) -> bool:
        # On ALSA and JACK, sending to a port that has gone raises nothing.
        if self._port is not None:
            return self._port.name in self._midi.get_ports()
        return self._watch is None or self._watch.alive()

    def close(self) -> None:
        with quiet_libraries():  # JACK prints an error if its server has gone
            self._midi.close_port()
            self._midi.delete()


def midi_library() -> ModuleType:
    """Returns the module rtmidi. Raises PortFault, with what to install, if it is missing."""
    try:
        import rtmidi
    except ImportError:
        raise PortFault(f"MIDI ports need python-rtmidi: {how_to_get_rtmidi()}") from None
    return rtmidi


def how_to_get_rtmidi() -> str:
    """Returns instructions in one line. Version 1.5.8 has built packages up to Python 3.12."""
    if sys.version_info < (3, 13):
        return "pip install 'hppnet[live]'"
    needs = {
        "linux": "sudo apt-get install g++ python3-dev libasound2-dev libjack-dev",
        "darwin": "xcode-select --install",
    }.get(sys.platform, "Visual Studio's C++ build tools")
    python = ".".join(map(str, sys.version_info[:2]))
    return f"for Python {python} it must be built: {needs}; pip install python-rtmidi"


def midi_systems() -> list[str]:
    """The MIDI systems that answer on this machine, best first. Raises PortFault without python-rtmidi."""
    systems = []
    for system, midi in _clients(None):
        systems.append(system)
        midi.delete()
    return systems


def virtual_systems(systems: list[str]) -> list[str]:
    """Returns the MIDI systems that let a program make ports."""
    return [system for system in systems if system not in WITHOUT_VIRTUAL]


def list_ports(system: str | None = None) -> list[MidiPort]:
    """All ports that can be sent to, of one system or of all. Raises PortFault without python-rtmidi."""
    ports = []
    for name, midi in _clients(system):
        ports += [MidiPort(port, name) for port in midi.get_ports()]
        midi.delete()
    return ports


def choose_port(wanted: str | None, ports: list[MidiPort]) -> MidiPort:
    """Returns the port with this name or part of ``name (system)``; for None the first except loopbacks.

    Raises PortFault, which lists the ports, if none matches.
    """
    if not ports:
        raise PortFault(
            "no MIDI port found; start a synthesiser, make a port with --virtual NAME, "
            "or play nowhere with --output none"
        )
    if wanted is None:
        return next((port for port in ports if not _THROUGH.search(port.name)), ports[0])
    text = wanted.casefold()
    for fits in (
        lambda port: text in (port.name.casefold(), str(port).casefold()),
        lambda port: text in str(port).casefold() or text in lasting_name(port).casefold(),
        lambda port: _lasting(text.removesuffix(f" ({port.system})")) == lasting_name(port).casefold(),
    ):
        found = [port for port in ports if fits(port)]
        if found:
            return found[0]
    raise PortFault(f"no MIDI port {wanted!r}; choose from {', '.join(map(str, ports))}")


def lasting_name(port: MidiPort) -> str:
    """The port's name without the numbers that change when its synthesiser is restarted."""
    return _lasting(port.name)


def _lasting(name: str) -> str:
    return _NUMBERS.sub("", name).strip() or name


def open_port(wanted: str | None, system: str | None = None) -> RtMidiWire:
    """Connects to a port. Raises PortFault when it is not there or refuses."""
    chosen = choose_port(wanted, list_ports(system))
    for _, midi in _clients(chosen.system):
        try:
            with quiet_libraries():
                midi.open_port(midi.get_ports().index(chosen.name), name="out")
        except Exception as error:  # it went away in between, or another program holds it
            midi.delete()
            raise PortFault(f"{chosen} cannot be opened: {error}") from None
        return RtMidiWire(midi, str(chosen), chosen)
    raise PortFault(f"{chosen} cannot be opened: {chosen.system} does not answer any more")


def open_virtual(name: str, system: str | None = None) -> RtMidiWire:
    """Makes a port that other programs connect to. Raises PortFault where the system has none."""
    silent: list[str] = []
    for found, midi in _clients(system, client=name):
        if found in WITHOUT_VIRTUAL:
            midi.delete()
            silent.append(found)
            continue
        try:
            with quiet_libraries():
                midi.open_virtual_port(name)
        except Exception as error:  # rtmidi.SystemError is an OSError
            midi.delete()
            raise PortFault(f"the virtual port {name!r} cannot be made: {error}") from None
        watch = JackWatch(name) if found == "jack" else None
        return RtMidiWire(midi, f"{name} (virtual, {found})", None, watch)
    if silent:
        raise PortFault(
            "Windows makes no virtual MIDI ports: get loopMIDI (tobias-erichsen.de/software/loopmidi.html), "
            f"make a port and name it with --output instead of --virtual {name}"
        )
    raise PortFault("no MIDI system answers here (ALSA, JACK, Core MIDI); play nowhere with --output none")


def _clients(system: str | None, client: str = CLIENT) -> Iterator[tuple[str, Any]]:
    """Yields a new client of each MIDI system that answers. The caller deletes it."""
    library = midi_library()
    numbers = {name: getattr(library, f"API_{key}") for key, name in SYSTEMS.items()}
    compiled = library.get_compiled_api()
    for name, number in numbers.items():
        if number not in compiled or system not in (None, name):
            continue
        try:
            with quiet_libraries():
                midi = library.MidiOut(number, name=client)
        except Exception:  # rtmidi.SystemError: the system does not run
            continue
        yield name, midi


class JackWatch:
    """Checks now and then, in another process, that JACK has the port. ``alive`` returns the last result."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._answer = True
        self._next_s = time.monotonic() + JACK_EVERY_S
        self._thread: threading.Thread | None = None

    def alive(self) -> bool:
        if time.monotonic() >= self._next_s and not (self._thread and self._thread.is_alive()):
            self._next_s = time.monotonic() + JACK_EVERY_S
            self._thread = threading.Thread(target=self._ask, daemon=True)
            self._thread.start()
        return self._answer

    def _ask(self) -> None:
        try:
            done = subprocess.run(
                python("-c", _QUESTION, self._port),
                capture_output=True,
                timeout=ANSWER_WITHIN_S,
                **out_of_reach(),  # Ctrl-C would look like a port that has gone
            )
        except (OSError, subprocess.TimeoutExpired):  # the machine may be busy: keep the last answer
            return
        self._answer = done.returncode == 0
