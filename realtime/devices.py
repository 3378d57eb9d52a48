"""Sound inputs: which there are, and which one a name means. Only here the sound library is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from .blocks import InputFault
from .quiet import quiet_libraries


@dataclass(frozen=True)
class SoundInput:
    """A device that sound can be taken from."""

    index: int  #: PortAudio's; it shifts when devices come and go
    name: str
    system: str  #: PortAudio's host API: ALSA, JACK, Core Audio, Windows WASAPI, ...
    channels: int
    sample_rate: int  #: Hz, the device's own
    is_default: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({self.system})"


def sound_library() -> ModuleType:
    """The module sounddevice. Raises InputFault, saying what to install, where it or PortAudio is missing."""
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # asking what is there must not start a server
    try:
        with quiet_libraries():
            import sounddevice
    except ImportError:
        raise InputFault("sound input needs the live extra: pip install 'hppnet[live]'") from None
    except OSError:
        raise InputFault(
            "the PortAudio library was not found; on Debian and Ubuntu: sudo apt-get install libportaudio2"
        ) from None
    return sounddevice


def list_inputs(library: Any = None, refresh: bool = False) -> list[SoundInput]:
    """All inputs. ``refresh`` looks anew, which ends every open PortAudio stream of this process.

    Raises InputFault where there is no sound library.
    """
    library = library or sound_library()
    with quiet_libraries():
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
    """Names of PortAudio's host APIs. Raises InputFault where there is no sound library."""
    return [str(system["name"]) for system in (library or sound_library()).query_hostapis()]


def look_anew(library: Any) -> None:
    """PortAudio lists devices once, when it starts. sounddevice offers no public way to start it again."""
    library._terminate()
    library._initialize()


def choose_input(wanted: int | str | None, inputs: list[SoundInput]) -> SoundInput:
    """The input with this index, this name, this part of a name (``name (system)``), or the usual one.

    Raises InputFault, naming what is there.
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
    ):
        found = [one for one in inputs if fits(one)]
        if found:
            return next((one for one in found if one.is_default), found[0])
    there = ", ".join(f"{one.index}: {one}" for one in inputs)
    raise InputFault(f"no sound input {wanted!r}; there is {there}")


def _default_index(library: Any, devices: Any) -> int:
    """The default input, or the first one where the default system has none; -1 without any."""
    index = int(library.default.device[0])
    if index >= 0:
        return index
    for system in library.query_hostapis():
        if system["default_input_device"] >= 0:
            return int(system["default_input_device"])
    return next((i for i, device in enumerate(devices) if device["max_input_channels"] > 0), -1)
