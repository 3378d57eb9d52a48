"""What is wrong on a machine, judging by the facts that ``hppnet doctor`` found, and how to mend it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What the extras whose lack is told are for.
_EXTRAS = {"live": "microphones and MIDI ports (hppnet live)", "web": "the page (hppnet serve)"}
_BUSY = 1.0  #: load for each core from which other programs disturb a measurement
_SOUND_DEVICES = Path("/dev/snd")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong."""

    what: str
    mend: str  #: what to do or type, one line
    stops_live: bool = False  #: ``hppnet live`` cannot run


def problems(facts: dict[str, Any]) -> list[Problem]:
    """All that is wrong; what stops ``hppnet live`` first."""
    found = [*_packages(facts), *_network(facts), *_sound(facts), *_midi(facts), *_programs(facts)]
    return sorted(found, key=lambda problem: not problem.stops_live)


def _packages(facts: dict[str, Any]) -> Iterator[Problem]:
    from ..realtime.wires import how_to_get_rtmidi

    if facts["missing"]:
        names = " ".join(facts["missing"])
        yield Problem(f"hppnet needs packages that are missing: {names}", f"pip install {names}", True)
    for extra, purpose in _EXTRAS.items():
        missing = facts["extras"].get(extra)
        if missing:
            what = f"{', '.join(missing)} not installed: needed for {purpose}"
            stops = extra == "live" and "sounddevice" in missing
            alone = missing == ["python-rtmidi"]  # of which not every Python has a built package
            yield Problem(what, how_to_get_rtmidi() if alone else f"pip install 'hppnet[{extra}]'", stops)


def _network(facts: dict[str, Any]) -> Iterator[Problem]:
    fault = facts.get("network_fault")
    if fault is not None:
        mend = "pip install --force-reinstall hppnet, or another file with --checkpoint"
        yield Problem(f"the network cannot be computed: {fault}", mend, True)
        return
    paces = facts["paces"]
    following = [pace for pace in paces if pace["follows"]]
    load, cores = facts["load"], facts["cores"]
    if load is not None and load > _BUSY * cores:
        what = f"other programs keep the processor busy (load {load:.1f} on {cores} cores)"
        yield Problem(what, "end them and run hppnet doctor again: the times above are too long")
    if not following:
        fastest = min(pace["mean_ms"] for pace in paces)
        what = f"a step takes {fastest:.0f} ms, and a new one is due every 20 ms"
        yield Problem(what, "end other programs, or transcribe recordings: hppnet transcribe", True)
    elif len(following) < len(paces):
        best = following[-1]["name"]
        yield Problem("this processor is too slow for the highest latency", f"hppnet live --latency {best}")
    elif not all(pace["is_steady"] for pace in paces):
        what = "one step in a hundred takes longer than 20 ms: notes may be late now and then"
        yield Problem(what, "end other programs; plug in the power supply; choose a lower --latency")


def _sound(facts: dict[str, Any]) -> Iterator[Problem]:
    if "sounddevice" in facts["extras"].get("live", ()):
        return  # already said
    fault = facts.get("inputs_fault")
    if fault is not None:
        what, _, mend = fault.partition(": ")
        yield Problem(what if mend else fault, mend or "hppnet devices", True)
    elif not facts["inputs"] and _forbidden(_SOUND_DEVICES):
        what = "this user may not use the sound devices"
        yield Problem(what, "sudo usermod -aG audio $USER, then log in again", True)
    elif not facts["inputs"]:
        yield Problem(
            "no microphone was found",
            "plug one in, or try a recording: hppnet live --from-file take.wav --output none",
            True,
        )


def _midi(facts: dict[str, Any]) -> Iterator[Problem]:
    if "python-rtmidi" in facts["extras"].get("live", ()):
        return
    if facts.get("ports_fault") is not None:
        what, _, mend = facts["ports_fault"].partition(": ")
        yield Problem(what if mend else facts["ports_fault"], mend or "hppnet devices")
    elif not facts["midi_systems"]:
        linux = "sudo modprobe snd-seq, or start a JACK server; " if sys.platform == "linux" else ""
        what = "no MIDI system answers, so live cannot play on a port"
        yield Problem(what, f"{linux}without one: hppnet live --output none --record take.mid")
    elif not facts["ports"] and facts.get("virtual_ports"):
        mend = "hppnet live --virtual hppnet makes one; or start a synthesiser"
        yield Problem("there is no MIDI port to play on", mend)
    elif not facts["ports"]:
        mend = "start a synthesiser, or make a port with loopMIDI; without one: hppnet live --output none"
        yield Problem("there is no MIDI port to play on", mend)


def _programs(facts: dict[str, Any]) -> Iterator[Problem]:
    if facts["ffmpeg"] is None:
        how = {"linux": "sudo apt-get install ffmpeg", "darwin": "brew install ffmpeg"}
        mend = how.get(sys.platform, "winget install ffmpeg")
        yield Problem("ffmpeg not installed: m4a files and videos cannot be read", mend)


def _forbidden(folder: Path) -> bool:
    """Whether it holds devices, none of which this user may read."""
    try:
        devices = [entry.path for entry in os.scandir(folder) if not entry.is_dir()]
    except OSError:
        return folder.exists()
    return bool(devices) and not any(os.access(device, os.R_OK) for device in devices)
