"""Examines a machine: hardware, speed and what is installed; finds its problems and how to fix them.

Nothing here raises for a missing part: that is a finding, under a key that ends in ``fault``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .system import before_other_programs

ReportStage = Callable[[str], object]  #: called with the name of the next step
_PATIENCE_S = 60.0  #: longest run of another program
#: The purposes of the extras that are reported if missing.
_EXTRAS = {"live": "microphones and MIDI ports (hppnet live)", "web": "the page (hppnet serve)"}
_RTMIDI = "python-rtmidi"  #: needed on newer Pythons too, which have no wheels and so do not require it
_BUSY = 1.0  #: load per core above which other programs disturb a measurement
_SOUND_DEVICES = Path("/dev/snd")


def examine_machine(checkpoint: Path | None, report: ReportStage) -> dict[str, Any]:
    """All facts, ready for JSON."""
    from .commands.devices import find_inputs, find_ports

    facts = versions()
    report("looking at the processor")
    facts |= machine()
    report("measuring the unit: products of matrices")
    facts |= unit()
    facts |= network(checkpoint, report)
    report("looking for microphones and MIDI ports")
    return facts | find_inputs() | find_ports() | programs()


def machine() -> dict[str, Any]:
    """Processor, cores, load, and whether live may run before other programs."""
    from .processes import cores

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    facts = {"processor": _processor(), "cores": cores(), "load": load, "system": platform.platform()}
    with before_other_programs() as granted:
        return {**facts, "runs_before_others": granted}


def _processor() -> str:
    try:
        from .offline.bench_machine import cpu_name
    except ImportError:  # a package is missing, which is reported elsewhere
        return platform.processor() or platform.machine()
    return cpu_name()


def unit() -> dict[str, Any]:
    """Milliseconds of the unit by which times are compared between machines."""
    try:
        from .offline.bench_machine import unit_ms

        return {"unit_ms": unit_ms()}
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        return {"unit_ms": None, "unit_fault": _one_line(error)}


def network(checkpoint: Path | None, report: ReportStage) -> dict[str, Any]:
    """The weights, the engine, and the time of a step at each named latency."""
    try:
        return _network(checkpoint, report)
    except Exception as error:  # a damaged file, a library that does not load, a processor that is too old
        return {"weights": None, "paces": [], "network_fault": _one_line(error)}


def _network(checkpoint: Path | None, report: ReportStage) -> dict[str, Any]:
    from .api import load
    from .listening import live_device
    from .model.checkpoint import DEFAULT, LICENCE
    from .model.device import one_thread
    from .model.timebase import LATENCIES, latency_s
    from .realtime.latency import measure_pace

    report("loading the weights")
    transcriber = load(checkpoint, live_device())
    one_thread()  # as live
    paces = []
    for name, look_ahead in LATENCIES.items():
        latency_ms = round(1000 * latency_s(look_ahead))
        report(f"measuring steps at {latency_ms} ms")
        with before_other_programs():  # as live
            pace = measure_pace(transcriber, latency_ms)
        paces.append({"name": name, **vars(pace), "follows": pace.follows, "is_steady": pace.is_steady})
    licence = transcriber.about.get("licence") or (LICENCE if checkpoint is None else None)
    size = (checkpoint or DEFAULT).stat().st_size
    weights = {"name": transcriber.checkpoint_name, "bytes": size, "licence": licence}
    return {"weights": weights, "engine": transcriber.engine, "paces": paces}


def programs() -> dict[str, Any]:
    """The version of ffmpeg; None if it is not installed."""
    from .offline.decoding.ffprobe import ffmpeg_commands

    commands = ffmpeg_commands()
    try:
        said = _output([commands[0], "-version"]).splitlines()[0] if commands else None
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        return {"ffmpeg": None, "ffmpeg_fault": _one_line(error)}
    return {"ffmpeg": said and re.sub(r"^ffmpeg version (\S+).*", r"\1", said)}


def versions() -> dict[str, Any]:
    """The versions of Python, hppnet and its packages; and for each extra the packages that are missing."""
    own, extras = _requirements()
    names = ["hppnet", *own, *(name for packages in extras.values() for name in packages)]
    found = {name: _version(name) for name in dict.fromkeys(names)}
    installed = {name: version for name, version in found.items() if version is not None}
    missing = {extra: [name for name in names if found[name] is None] for extra, names in extras.items()}
    return {
        "versions": {"python": platform.python_version(), **installed},
        "missing": [name for name in own if found[name] is None],
        "extras": missing,
    }


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The packages that hppnet needs, and those of each of the extras for users."""
    own: list[str] = []
    extras: dict[str, list[str]] = {}
    try:
        stated = importlib.metadata.requires("hppnet") or []
    except importlib.metadata.PackageNotFoundError:
        stated = []
    for requirement in stated:
        name = re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0]
        if not _is_for_this_python(requirement) and name != _RTMIDI:
            continue
        extra = re.search(r"extra\s*==\s*[\"']([\w-]+)[\"']", requirement)
        if extra is None:
            own.append(name)
        elif extra[1] not in ("all", "dev"):
            extras.setdefault(extra[1], []).append(name)
    return own, extras


def _is_for_this_python(requirement: str) -> bool:
    older = re.search(r"python_version\s*<\s*[\"'](\d+)\.(\d+)[\"']", requirement)
    return older is None or sys.version_info[:2] < (int(older[1]), int(older[2]))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True).stdout


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


# --- problems ---


@dataclass(frozen=True)
class Problem:
    """One problem of the machine."""

    what: str
    mend: str  #: what to do or type, one line
    stops_live: bool = False  #: ``hppnet live`` cannot run


def find_problems(facts: dict[str, Any]) -> list[Problem]:
    """All problems; those that stop ``hppnet live`` come first."""
    found = [*_packages(facts), *_weights(facts), *_sound(facts), *_midi(facts), *_programs(facts)]
    return sorted(found, key=lambda problem: not problem.stops_live)


def _packages(facts: dict[str, Any]) -> Iterator[Problem]:
    if facts["missing"]:
        names = " ".join(facts["missing"])
        yield Problem(f"hppnet needs packages that are missing: {names}", f"pip install {names}", True)
    for extra, purpose in _EXTRAS.items():
        missing = facts["extras"].get(extra)
        if missing:
            what = f"{', '.join(missing)} not installed: needed for {purpose}"
            stops = extra == "live" and "sounddevice" in missing
            yield Problem(what, _how_to_install(extra, missing), stops)


def _how_to_install(extra: str, missing: list[str]) -> str:
    if missing == [_RTMIDI]:  # not every Python has wheels of it
        from .realtime.midi_ports import how_to_get_rtmidi

        return how_to_get_rtmidi()
    return f"pip install 'hppnet[{extra}]'"


def _weights(facts: dict[str, Any]) -> Iterator[Problem]:
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
        return  # _packages reports it
    fault = facts.get("inputs_fault")
    if fault is not None:
        what, _, mend = fault.rpartition(": ")
        yield Problem(what or fault, mend if what else "hppnet devices", True)
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
    """Whether a folder holds devices but this user may read none of them."""
    try:
        devices = [entry.path for entry in os.scandir(folder) if not entry.is_dir()]
    except OSError:
        return folder.exists()
    return bool(devices) and not any(os.access(device, os.R_OK) for device in devices)
