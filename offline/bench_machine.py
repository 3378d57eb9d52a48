"""Describes the measured machine, and measures fresh processes on it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..model.transcriber import Transcriber
from ..processes import cores, python

_START = """
import sys
from hppnet.model.transcriber import Transcriber
Transcriber.load(sys.argv[1] or None, device=sys.argv[2])
"""

_PEAK = """
import sys
from hppnet.model.device import keep_memory, peak_mib
from hppnet.model.device import set_threads
from hppnet.offline import bench
keep_memory()
transcriber = bench.Transcriber.load(sys.argv[1] or None, device=sys.argv[2])
set_threads(int(sys.argv[3]))
transcriber = transcriber.with_threads(int(sys.argv[3]))
sound = bench.piano_like(float(sys.argv[4]))
bench.offline_s(transcriber, sound)
bench.steps_s(transcriber, sound[:bench.SAMPLE_RATE])
print(peak_mib() or 0.0)
"""


_UNIT = """
import time
import numpy
a, took = numpy.random.default_rng(0).random((1024, 1024), dtype="float32"), []
for _ in range(20):
    began = time.perf_counter()
    a @ a
    took.append(time.perf_counter() - began)
print(1000 * float(numpy.median(took)))
"""


def startup_s(checkpoint: Path | None, device: str) -> float:
    """Seconds from starting Python until a transcriber is ready."""
    began = time.perf_counter()
    _python("-c", _START, str(checkpoint or ""), device)
    return time.perf_counter() - began


def help_s() -> float:
    """Seconds that ``hppnet --help`` takes."""
    began = time.perf_counter()
    _python("-m", "hppnet", "--help")
    return time.perf_counter() - began


def fresh_peak_rss_mib(checkpoint: Path | None, device: str, threads: int, seconds: float) -> float:
    """Peak memory, in MiB, of a new process that transcribes ``seconds`` of sound offline, and 1 s live."""
    return float(_python("-c", _PEAK, str(checkpoint or ""), device, str(threads), str(seconds)))


def unit_ms() -> float:
    """Milliseconds that NumPy needs to multiply two 1024 x 1024 float32 matrices with one thread.

    Figures in this unit are comparable between machines. A separate process measures it, without the
    settings that OpenBLAS may have in this one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    return float(_python("-c", _UNIT, environment={**kept, "OPENBLAS_NUM_THREADS": "1"}))


def _python(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run a new Python and return its output. Raises RuntimeError with the last line of its error output."""
    done = subprocess.run(python(*arguments), capture_output=True, text=True, env=environment)
    if done.returncode:
        complaint = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"a fresh process failed: {complaint[-1]}")
    return done.stdout


def machine(transcriber: Transcriber) -> dict[str, Any]:
    """The hardware and software that the figures were measured with."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "device": transcriber.device,
        "precision": transcriber.precision,
        "engine": transcriber.engine,
        "python": platform.python_version(),
        "system": platform.platform(),
        "checkpoint": transcriber.checkpoint_name,
    }


def cpu_name() -> str:
    """The name of the processor's model, on Linux as lscpu prints it."""
    try:
        if sys.platform == "darwin":
            return subprocess.run(
                ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=True
            ).stdout.strip()
        if (named := _from_lscpu()) is not None:
            return named
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration, subprocess.CalledProcessError):
        return platform.processor() or platform.machine()


def _from_lscpu() -> str | None:
    if (program := shutil.which("lscpu")) is None:
        return None
    environment = {**os.environ, "LC_ALL": "C"}
    said = subprocess.run([program], capture_output=True, text=True, env=environment).stdout
    named = (line.split(":", 1)[1].strip() for line in said.splitlines() if line.startswith("Model name:"))
    return next(named, None)
