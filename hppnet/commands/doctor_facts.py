"""What ``hppnet doctor`` finds out: the machine, how fast it is, and what is installed.

Nothing here raises for what is missing: that is a finding, under a key that ends in ``fault``.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Report = Callable[[str], object]
_PATIENCE_S = 60.0  #: for another program


def machine() -> dict[str, Any]:
    """Processor, cores, and how busy they are."""
    from ..processes import cores

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"processor": _processor(), "cores": cores(), "load": load, "system": platform.platform()}


def _processor() -> str:
    try:
        from ..offline.bench_machine import cpu_name
    except ImportError:  # a package is missing, which is told elsewhere
        return platform.processor() or platform.machine()
    return cpu_name()


def unit() -> dict[str, Any]:
    """Milliseconds of the unit in which times compare between machines."""
    try:
        from ..offline.bench_machine import unit_ms

        return {"unit_ms": unit_ms()}
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        return {"unit_ms": None, "unit_fault": _one_line(error)}


def network(checkpoint: Path | None, report: Report) -> dict[str, Any]:
    """The weights, what computes them, and the time of a step at each named latency."""
    try:
        return _network(checkpoint, report)
    except Exception as error:  # a damaged file, a library that does not load, a processor that is too old
        return {"weights": None, "paces": [], "network_fault": _one_line(error)}


def _network(checkpoint: Path | None, report: Report) -> dict[str, Any]:
    from ..api import load
    from ..listening import live_device
    from ..model.checkpoint import DEFAULT, LICENCE
    from ..model.device import one_thread
    from ..model.timebase import LATENCIES, latency_s
    from ..realtime.pace import measure_pace

    report("loading the weights")
    transcriber = load(checkpoint, live_device())
    one_thread()  # as live
    paces = []
    for name, look_ahead in LATENCIES.items():
        latency_ms = round(1000 * latency_s(look_ahead))
        report(f"measuring steps at {latency_ms} ms")
        pace = measure_pace(transcriber, latency_ms)
        paces.append({"name": name, **vars(pace), "follows": pace.follows, "is_steady": pace.is_steady})
    licence = transcriber.about.get("licence") or (LICENCE if checkpoint is None else None)
    size = (checkpoint or DEFAULT).stat().st_size
    weights = {"name": transcriber.checkpoint_name, "bytes": size, "licence": licence}
    return {"weights": weights, "engine": transcriber.engine, "paces": paces}


def programs() -> dict[str, Any]:
    """ffmpeg, and the versions of what is installed."""
    from ..offline.decoding.facts import ffmpeg_commands

    commands = ffmpeg_commands()
    try:
        said = _output([commands[0], "-version"]).splitlines()[0] if commands else None
    except (OSError, IndexError, subprocess.SubprocessError) as error:
        return {"ffmpeg": None, "ffmpeg_fault": _one_line(error)}
    return {"ffmpeg": said and re.sub(r"^ffmpeg version (\S+).*", r"\1", said)}


def versions() -> dict[str, Any]:
    """Of Python, hppnet and its packages; and for each extra the packages that are missing."""
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
        extra = re.search(r"extra\s*==\s*[\"']([\w-]+)[\"']", requirement)
        if extra is None:
            own.append(name)
        elif extra[1] not in ("all", "dev"):
            extras.setdefault(extra[1], []).append(name)
    return own, extras


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
