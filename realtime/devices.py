"""Lists sound inputs and chooses one by name. The sound library is imported only here.

ALSA, JACK and PortAudio print to the process's standard error; ``quiet_libraries`` suppresses that.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .inputs import InputFault

#: ALSA's number of a card, which may be another one after the device was plugged in again.
_CARD = re.compile(r" \(hw:\d+,\d+\)")
_lock = threading.Lock()
_depth = 0  # number of quiet_libraries blocks entered
_kept = -1  # a copy of standard error's descriptor


@dataclass(frozen=True)
class SoundInput:
    """A device that sound can be recorded from."""

    index: int  #: PortAudio's index, which shifts when devices come and go
    name: str
    system: str  #: name of PortAudio's host API: ALSA, JACK, Core Audio, Windows WASAPI, ...
    channels: int
    sample_rate: int  #: Hz, the device's default
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.system})"


def sound_library() -> ModuleType:
    """Returns the module sounddevice. Raises InputFault, with advice, if it or PortAudio is missing."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # listing devices must not start a server
    try:
        with quiet_libraries():
            import sounddevice
    except ImportError:
        raise InputFault("sound input needs the live extra: pip install 'hppnet[live]'") from None
    except OSError:
        raise InputFault(
            "the PortAudio library was not found; on Debian and Ubuntu: sudo apt-get install libportaudio2"
        ) from None
    except Exception as error:  # sounddevice's own: it starts PortAudio when it is imported
        raise InputFault(
            f"PortAudio does not start ({error}); to see why: HPPNET_LIBRARY_MESSAGES=1 hppnet devices"
        ) from None
    return sounddevice


def list_inputs(library: Any = None, refresh: bool = False) -> list[SoundInput]:
    """Returns all inputs. ``refresh`` rescans, which closes all open PortAudio streams of this process.

    Raises InputFault if there is no sound library.
    """
    library = library or sound_library()
    if refresh:
        look_anew(library)
    devices, systems = library.query_devices(), library.query_hostapis()
    usual = _default_index(library, devices)
    return [
        SoundInput(
            index,
            str(device["name"]),
            str(systems[device["hostapi"]]["name"]),
            int(device["max_input_channels"]),
            round(device["default_samplerate"]),
            index == usual,
        )
        for index, device in enumerate(devices)
        if device["max_input_channels"] > 0
    ]


def sound_systems(library: Any = None) -> list[str]:
    """Names of PortAudio's host APIs. Raises InputFault if there is no sound library."""
    return [str(system["name"]) for system in (library or sound_library()).query_hostapis()]


def look_anew(library: Any) -> None:
    """Restarts PortAudio, which lists devices only at its start. sounddevice has no public way to do so."""
    library._terminate()
    library._initialize()


def choose_input(wanted: int | str | None, inputs: list[SoundInput]) -> SoundInput:
    """Returns the input with this index, name or part of ``name (system)``; for None the default input.

    Raises InputFault, which lists the inputs, if none matches.
    """
    if not inputs:
        raise InputFault("no sound input found; plug in a microphone, or use --from-file")
    if wanted is None:
        return next((one for one in inputs if one.is_default), inputs[0])
    number = int(wanted) if str(wanted).isdigit() else None
    text = str(wanted).casefold()
    for fits in (
        lambda one: one.index == number,
        lambda one: text in (one.name.casefold(), str(one).casefold()),
        lambda one: text in str(one).casefold(),
        lambda one: _CARD.sub("", text) == _CARD.sub("", str(one).casefold()),
    ):
        found = [one for one in inputs if fits(one)]
        if found:
            return next((one for one in found if one.is_default), found[0])
    there = ", ".join(f"{one.index}: {one}" for one in inputs)
    raise InputFault(f"no sound input {wanted!r}; choose from {there}")


def _default_index(library: Any, devices: Any) -> int:
    """Index of PortAudio's default input, else of another system's default, else of any input, else -1."""
    index = int(library.default.device[0])
    if index >= 0:
        return index
    for system in library.query_hostapis():
        if system["default_input_device"] >= 0:
            return int(system["default_input_device"])
    return next((i for i, device in enumerate(devices) if device["max_input_channels"] > 0), -1)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Redirects standard error's file descriptor to the null device within the block.

    HPPNET_LIBRARY_MESSAGES=1 prevents that. Keep the block short: lines that Python writes to standard error
    meanwhile are lost too.
    """
    if os.name == "nt" or os.environ.get("HPPNET_LIBRARY_MESSAGES"):
        yield
        return
    _silence()
    try:
        yield
    finally:
        _restore()


def _silence() -> None:
    global _depth, _kept
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        _flush()
        try:
            _kept = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
        except OSError:  # standard error is closed: nothing to silence
            _kept = -1


def _restore() -> None:
    global _depth, _kept
    with _lock:
        _depth -= 1
        if _depth or _kept < 0:
            return
        _flush()
        os.dup2(_kept, 2)
        os.close(_kept)
        _kept = -1


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
