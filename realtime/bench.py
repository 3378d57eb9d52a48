"""Measures live transcription on this machine: latency, jitter and accuracy.

By default, a file is played in real time through a session in this process. ``measure`` accepts other ways
too, such as JACK into ``hppnet live``.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import soundfile

from ..model.device import set_threads
from ..model.notes import Note
from ..model.timebase import FRAME_S, LATENCIES, latency_s
from ..model.transcriber import DEFAULT_LATENCY_MS, Transcriber
from ..processes import python
from .bench_notes import make_test_piece, note_sound
from .bench_round_trip import RoundTrip, compare, play_in_process
from .inputs import Block
from .live_decoder import LiveDecoder

SMALLEST_LATENCY_MS = round(1000 * latency_s(LATENCIES["fast"]))
RATE = 48_000  #: Hz, the usual rate of sound cards
COMPUTE_RUNS = 3
READY = "in all"  #: begins the last line that ``hppnet live`` prints before it listens


class BenchError(RuntimeError):
    """A measured program did not start or failed. The message names the program and the cause."""


@dataclass(frozen=True)
class BenchTask:
    """The model and the sound to measure with."""

    transcriber: Transcriber
    sound: np.ndarray  #: [n] at RATE
    notes: Sequence[Note]  #: the notes in ``sound``
    options: Sequence[str] = ()  #: command line of ``hppnet live``: the same checkpoint and device


Way = Callable[[BenchTask, float], RoundTrip]  #: sends the task's sound through a session, at a latency in ms


def make_task(
    transcriber: Transcriber,
    seconds: float = 30.0,
    checkpoint: Path | None = None,
    device: str = "auto",
    recording: tuple[np.ndarray, Sequence[Note]] | None = None,
) -> BenchTask:
    """Makes a task from ``seconds`` of ``recording`` (samples [n] at RATE, notes) or of the test piece."""
    sound, notes = recording or make_test_piece(seconds, RATE)
    sound = sound[: round(seconds * RATE)]
    options = ["--device", device] + (["--checkpoint", str(checkpoint)] if checkpoint else [])
    return BenchTask(transcriber, sound, [n for n in notes if n.onset_s < len(sound) / RATE], options)


def in_process(task: BenchTask, latency_ms: float) -> RoundTrip:
    """The default way. Measures the start-up time of ``hppnet live``. Raises BenchError."""
    trip = play_in_process(task.transcriber, latency_ms, task.sound, RATE)
    return replace(trip, startup_s=startup_s(task.options))


def measure(
    task: BenchTask,
    threads: int = 1,
    report: Callable[[str], object] = lambda stage: None,
    way: Way = in_process,
) -> dict[str, Any]:
    """Measures everything and returns figures ready for JSON. Calls ``report`` with each stage's name.

    Sets the number of threads that compute in this process. Raises BenchError when the live program fails,
    and ValueError when no note came back.
    """
    set_threads(threads)
    report("algorithmic latency")
    latencies = {"smallest": SMALLEST_LATENCY_MS, "default": DEFAULT_LATENCY_MS}
    transcriber = task.transcriber
    reported = {name: 1000 * transcriber.stream(ms, RATE).latency_s for name, ms in latencies.items()}
    impulse = {name: impulse_latency_ms(transcriber, ms) for name, ms in latencies.items()}
    report("computing")
    runs_ms = [1000 * steps_s(task) for _ in range(COMPUTE_RUNS)]
    # The median of each step over the runs, since other programs interrupt a different step in each run.
    compute_ms = np.median(runs_ms, axis=0)
    report(f"end to end at {DEFAULT_LATENCY_MS} ms, in real time")
    usual = _trip_figures(task, DEFAULT_LATENCY_MS, way)
    report(f"end to end at {SMALLEST_LATENCY_MS} ms, in real time")
    smallest = _trip_figures(task, SMALLEST_LATENCY_MS, way)
    return {
        "algorithmic_latency_ms": reported,
        "compute_ms": {"median": _percentile(compute_ms, 50), "p99": _percentile(compute_ms, 99)},
        "end_to_end_ms": {
            "median": usual["median_ms"],
            "p99": usual["p99_ms"],
            "smallest_median": smallest["median_ms"],
        },
        "jitter_ms": usual["jitter_ms"],
        "f1_gap": usual["f1_gap"],
        "startup_s": usual["startup_s"],
        "detail": {
            "seconds": len(task.sound) / RATE,
            "threads": threads,
            "impulse_latency_ms": impulse,
            "compute_p99_ms_of_each_run": [_percentile(run, 99) for run in runs_ms],
            "default": usual,
            "smallest": smallest,
        },
    }


def startup_s(options: Sequence[str]) -> float:
    """Seconds from the start of ``hppnet live`` in a new process until it listens. Raises BenchError."""
    with TemporaryDirectory() as folder:
        silence = Path(folder) / "silence.wav"
        soundfile.write(silence, np.zeros(RATE // 100, dtype=np.float32), RATE)
        command = python("-m", "hppnet", "live", "--from-file", str(silence), "--output", "none")
        began = perf_counter()
        process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},  # each line as soon as it is printed
        )
        with process:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith(READY):
                    return perf_counter() - began
    raise BenchError(f"hppnet live did not start: {''.join(lines).strip()}")


def _trip_figures(task: BenchTask, latency_ms: float, way: Way) -> dict[str, Any]:
    trip = way(task, latency_ms)
    if trip.exit_code:
        raise BenchError(f"hppnet live ended with {trip.exit_code}: {trip.output.strip()}")
    streamed = task.transcriber.transcribe_blocks([task.sound], RATE, latency_ms=latency_ms).notes
    return compare(trip, task.notes, streamed)


def impulse_latency_ms(transcriber: Transcriber, latency_ms: float) -> float | None:
    """Algorithmic latency in ms, measured with one note: from its frame's centre to its event.

    Feeds the sound a millisecond at a time, at RATE. None if the network does not detect the note.
    """
    computed = [0]  # frames
    eager = transcriber.with_thresholds(onset=0.1, frame=0.05)  # low: only the time of detection matters
    stream = eager.stream(latency_ms, RATE, lambda frames: computed.__setitem__(0, computed[0] + len(frames)))
    onset_s = 20 * FRAME_S  # a frame's centre
    sound = np.zeros(RATE, dtype=np.float32)
    tone = note_sound(Note(onset_s, 1.0, 60, 100), RATE)
    start, step = round(onset_s * RATE), RATE // 1000
    sound[start:] += tone[: RATE - start]
    for position in range(0, RATE, step):
        if stream.feed(sound[position : position + step]):  # a pedal event would come at the same time
            # The onset's frame is the last but one: a peak needs its right neighbour.
            found_s = (computed[0] - 2) * FRAME_S
            return 1000 * ((position + step) / RATE - found_s)
    return None


def steps_s(task: BenchTask) -> np.ndarray:
    """Seconds that the live decoder takes for each 20 ms of sound [n], at the default latency."""
    decoder = LiveDecoder(task.transcriber, RATE, DEFAULT_LATENCY_MS)
    step = round(FRAME_S * RATE)
    took = []
    for start in range(0, len(task.sound) - step + 1, step):
        block = Block(task.sound[start : start + step], start / RATE, sample_rate=RATE)
        began = perf_counter()
        decoder.feed(block)
        took.append(perf_counter() - began)
    return np.array(took)


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent))
