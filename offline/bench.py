"""Measures speed, memory and start-up time on this machine, with a synthetic piano-like sound.

Apart from ``bench_batches`` nothing is read but the checkpoint, so the figures cover the path from samples to
notes; reading and resampling a file come on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from ..model.device import keep_memory, set_threads
from ..model.timebase import HOP, SAMPLE_RATE
from ..model.transcriber import Transcriber
from . import bench_batches
from .bench_machine import fresh_peak_rss_mib, help_s, machine, startup_s, unit_ms
from .bench_parts import where_time_goes
from .settings import Settings

LATENCY_MS = 132
NOTES_PER_SECOND = 8
PARTIALS = 8
PROFILED_S = 20  #: seconds of streaming that are profiled; more are not needed


def measure(
    seconds: float = 60,
    repeats: int = 3,
    threads: int = 1,
    checkpoint: Path | None = None,
    device: str = "auto",
    report: Callable[[str], object] = lambda stage: None,
) -> dict[str, Any]:
    """All figures, ready for JSON: medians over ``repeats`` runs with ``seconds`` of sound.

    ``report`` is called with the name of each stage. Sets the number of compute threads in this process.
    Raises what ``Transcriber.load`` raises, and RuntimeError if a fresh process fails.
    """
    keep_memory()  # as a transcribing process does
    transcriber = Transcriber.load(checkpoint, device=device).with_threads(threads)
    set_threads(threads)
    sound = piano_like(seconds)
    warm_up = sound[: 2 * SAMPLE_RATE]
    units_ms = [unit_ms()]  # before, between and after the runs: other load slows both alike
    report("whole recordings")
    offline_s(transcriber, warm_up)
    whole_s = [offline_s(transcriber, sound) for _ in range(repeats)]
    units_ms.append(unit_ms())
    report("streaming")
    steps_s(transcriber, warm_up)
    steps = [steps_s(transcriber, sound) for _ in range(repeats)]
    units_ms.append(unit_ms())
    report("where the time goes")
    where = _where(transcriber, sound) if transcriber.device == "cpu" else {}
    settings = Settings(None if checkpoint is None else str(checkpoint), transcriber.device)
    batches = bench_batches.measure(transcriber, settings, sound, repeats, report)
    report("memory and start-up, in fresh processes")
    return {
        "offline_x_realtime": seconds / median(whole_s),
        "streaming_x_realtime": seconds / median(run.sum() for run in steps),
        "peak_rss_mib": fresh_peak_rss_mib(checkpoint, device, threads, seconds),
        "startup_s": median(startup_s(checkpoint, device) for _ in range(repeats)),
        "detail": {
            "machine": machine(transcriber),
            "seconds": seconds,
            "repeats": repeats,
            "threads": threads,
            "unit_ms": median(units_ms),
            "offline": {
                "units_a_second": 1000 * median(whole_s) / seconds / median(units_ms),
                "runs_x_realtime": [seconds / run for run in whole_s],
            },
            "streaming": {"latency_ms": LATENCY_MS, **_step_figures(steps, seconds, median(units_ms))},
            "where_percent": where,
            "batches": batches,
            "help_s": median(help_s() for _ in range(repeats)),
        },
    }


def _step_figures(runs: list[np.ndarray], seconds: float, unit: float) -> dict[str, Any]:
    together_ms = 1000 * np.concatenate(runs)
    return {
        "step_median_ms": float(np.median(together_ms)),
        "step_p99_ms": float(np.percentile(together_ms, 99)),
        "step_longest_ms": float(together_ms.max()),
        "step_median_units": float(np.median(together_ms)) / unit,
        "step_p99_units": float(np.percentile(together_ms, 99)) / unit,
        "runs_x_realtime": [float(seconds / run.sum()) for run in runs],
    }


def _where(transcriber: Transcriber, sound: np.ndarray) -> dict[str, dict[str, float]]:
    short = sound[: PROFILED_S * SAMPLE_RATE]
    return {
        "offline": where_time_goes(lambda: offline_s(transcriber, sound)),
        "streaming": where_time_goes(lambda: steps_s(transcriber, short)),
    }


def piano_like(seconds: float, seed: int = 1) -> np.ndarray:
    """A dense piano-like sound: float32 [n] at 16 kHz, peak 0.5. The same seed gives the same sound."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(round(seconds * SAMPLE_RATE), dtype=np.float32)
    for onset_s in rng.uniform(0, seconds, round(seconds * NOTES_PER_SECOND)):
        start = int(onset_s * SAMPLE_RATE)
        length = min(int(rng.uniform(0.1, 1.5) * SAMPLE_RATE), len(sound) - start)
        sound[start : start + length] += _struck(int(rng.integers(30, 90)), length) * rng.uniform(0.1, 1.0)
    return sound * np.float32(0.5 / max(np.abs(sound).max(initial=0.0), 1e-9))


def _struck(pitch: int, length: int) -> np.ndarray:
    """One note, float32 [length]: decaying partials, the high ones decaying faster."""
    t = np.arange(length, dtype=np.float32) / SAMPLE_RATE
    hz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    note = np.minimum(t / 0.003, 1.0)
    partials = [h for h in range(1, PARTIALS + 1) if h * hz < SAMPLE_RATE / 2]
    return note * sum(np.sin(2 * np.pi * h * hz * t) * np.exp(-(1.0 + h) * t) / h for h in partials)


def offline_s(transcriber: Transcriber, sound: np.ndarray) -> float:
    """Seconds needed to transcribe a sound [n] at 16 kHz with full context."""
    began = time.perf_counter()
    transcriber.transcribe_blocks(_blocks(sound, SAMPLE_RATE), SAMPLE_RATE)
    return time.perf_counter() - began


def steps_s(transcriber: Transcriber, sound: np.ndarray) -> np.ndarray:
    """Seconds needed for each step [n] when a sound is fed frame by frame (20 ms) at 132 ms latency."""
    stream = transcriber.stream(latency_ms=LATENCY_MS, sample_rate=SAMPLE_RATE)
    took = []
    for block in _blocks(sound, HOP):
        began = time.perf_counter()
        stream.feed(block)
        took.append(time.perf_counter() - began)
    return np.array(took)


def _blocks(sound: np.ndarray, samples: int) -> Iterator[np.ndarray]:
    return (sound[i : i + samples] for i in range(0, len(sound), samples))
