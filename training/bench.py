"""Measures the speed of training: whole steps on synthetic sound, features computed on the fly."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from lightning.fabric import Fabric

from ..model.timebase import FRAME_S, SAMPLE_RATE
from ..processes import cores
from .data.augmentation import Augmentation
from .data.dataset import detuned
from .data.sources import batches
from .kernels import compiled
from .launch import fabric_for, launch
from .loop import check_batches, set_up
from .settings import DataSource, TrainingSettings
from .step import StepClock

PARTS = ("data", "forward", "backward", "optimiser")
RECORDINGS, RECORDING_S = 4, 60
WARM_UP = 2  #: steps before the clock starts


def measure(
    seconds: float, processes: int | None, threads: int, device: str, config: str = "default", batch: int = 4
) -> dict[str, Any]:
    """Trains for ``seconds`` on synthetic sound, with every augmentation; returns the measurements.

    ``audio_s_per_s`` counts the excerpts of all processes. Raises ValueError for a device or a number of
    processes that is not available, and for a batch that cannot be divided among the processes.
    """
    with _made_up() as folder:
        settings = TrainingSettings(
            sources=(DataSource(str(folder / "music")),),
            folder=str(folder / "run"),
            cache=str(folder / "cache"),
            config=config,
            batch=batch,
            held_out=0,
            augmentation=Augmentation(rooms=str(folder / "rooms"), noises=str(folder / "noises")),
        )
        load_before, usable = os.getloadavg()[0], cores()
        if processes is None and (device == "cpu" or not torch.cuda.is_available()):
            processes = math.gcd(batch, usable)
        fabric = fabric_for(settings.precision, device, processes)
        check_batches(settings, fabric)
        compiled()  # built here once, rather than in every process
        figures = launch(fabric, partial(_work, settings=settings, seconds=seconds, threads=threads))
    figures["detail"] |= {
        "config": config,
        "batch": batch,
        "processes": fabric.world_size,
        "threads": threads,
        "cores": usable,
        "load_before": load_before,
        "device": str(fabric.device),
    }
    return figures


def _work(fabric: Fabric, settings: TrainingSettings, seconds: float, threads: int) -> dict[str, Any]:
    """Trains in one process and returns its measurements; :func:`measure` uses the first process's."""
    torch.set_num_threads(threads)
    stepper = set_up(fabric, settings)
    _warm_front_ends(settings.augmentation)
    coming = iter(batches(settings, 0, fabric.device.type == "cuda", fabric.global_rank, fabric.world_size))
    for _ in range(WARM_UP):
        stepper.take(next(coming))
    settle = torch.cuda.synchronize if fabric.device.type == "cuda" else lambda: None
    stepper.clock = clock = StepClock(settle)
    fabric.barrier()
    began, used, steps = time.perf_counter(), time.process_time(), 0
    going = True
    while going:
        with clock("data"):
            batch = next(coming)
        stepper.take(batch)
        steps += 1
        # The first process decides, so that all take the same number of steps.
        going = bool(fabric.broadcast(time.perf_counter() - began < seconds))
    took, used = time.perf_counter() - began, time.process_time() - used
    audio_s = steps * settings.batch * settings.frames * FRAME_S
    shares = {part: 100 * clock.seconds[part] / took for part in PARTS}
    return {
        "audio_s_per_s": audio_s / took,
        "detail": {
            "audio_s_per_core_s": audio_s / fabric.world_size / used,
            "step_ms": 1000 * took / steps,
            "steps": steps,
            "where_percent": {**shares, "other": max(0.0, 100 - sum(shares.values()))},
            "kernels": fabric.device.type == "cpu" and compiled() is not None,
        },
    }


def _warm_front_ends(how: Augmentation) -> None:
    """Builds the front ends of all transpositions and tunings, which a run has cached after some minutes."""
    for keys in range(-how.keys, how.keys + 1):
        for steps in range(-int(how.cents // 5), int(how.cents // 5) + 1):
            detuned(5 * steps - 100 * keys)


@contextmanager
def _made_up() -> Iterator[Path]:
    """A temporary folder of synthetic music, rooms and noises that take as long to process as real ones."""
    folder = Path(tempfile.mkdtemp(prefix="hppnet-bench-"))
    try:
        rng = np.random.default_rng(0)
        for name in ("music", "rooms", "noises"):
            (folder / name).mkdir()
        for n in range(RECORDINGS):
            _make_recording(folder / "music" / f"{n}", rng)
        fade = np.exp(-np.arange(SAMPLE_RATE) / 3000)
        _write(folder / "rooms" / "room.wav", rng.standard_normal(SAMPLE_RATE) * fade)
        _write(folder / "noises" / "noise.wav", rng.standard_normal(20 * SAMPLE_RATE))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_recording(path: Path, rng: np.random.Generator) -> None:
    """Writes a minute of sound with ten notes a second, and its labels."""
    onsets = np.sort(rng.uniform(0, RECORDING_S - 1, 10 * RECORDING_S))
    sound = 0.001 * rng.standard_normal(RECORDING_S * SAMPLE_RATE)
    times = np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE
    lines = ["onset\toffset\tnote\tvelocity"]
    for onset in onsets:
        pitch = int(rng.integers(21, 109))
        first = round(onset * SAMPLE_RATE)
        tone = np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * times) * np.exp(-times * 6)
        sound[first : first + len(tone)] += tone
        lines.append(f"{onset:.4f}\t{onset + 0.4:.4f}\t{pitch}\t{int(rng.integers(20, 110))}")
    _write(path.with_suffix(".wav"), sound)
    path.with_suffix(".tsv").write_text("\n".join(lines) + "\n")


def _write(path: Path, sound: np.ndarray) -> None:
    soundfile.write(path, 0.5 * sound / np.abs(sound).max(), SAMPLE_RATE)
