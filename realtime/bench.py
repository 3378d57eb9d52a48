"""What a machine makes of live transcription: how late, how regular, how faithful.

The sound goes the whole way: over JACK into ``hppnet live`` in a process of its own and back over a real
MIDI port, where JACK is there; else through a session in this process, as a file played in real time.
"""

from __future__ import annotations

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
from ..model.notes import Note, NoteOn
from ..model.timebase import FRAME_S, LATENCIES, latency_s
from ..model.transcriber import DEFAULT_LATENCY_MS, Transcriber
from ..processes import python
from . import jack
from .arrivals import Delays, Onset, delays, matched, onset_f1
from .blocks import Block
from .engine import Engine
from .jack_ends import READY, SYNTH, environment
from .journey import Journey, travel, travel_inside
from .piece import piece, struck

SMALLEST_LATENCY_MS = round(1000 * latency_s(LATENCIES["fast"]))
RATE = 48_000  #: Hz, as sound cards have it; of the JACK server too
JITTER_TOLERANCE_S = 0.05
COMPUTE_RUNS = 3


@dataclass(frozen=True)
class Task:
    """What is measured with."""

    transcriber: Transcriber
    sound: np.ndarray  #: [n] at RATE
    notes: Sequence[Note]  #: what is played in it
    options: Sequence[str] = ()  #: for ``hppnet live``: the same checkpoint and device


def task(
    transcriber: Transcriber,
    seconds: float = 30.0,
    checkpoint: Path | None = None,
    device: str = "auto",
    recording: tuple[np.ndarray, Sequence[Note]] | None = None,
) -> Task:
    """With ``seconds`` of a recording (samples [n] at RATE and what was played) or of a made-up piece."""
    sound, notes = recording or piece(seconds, RATE)
    sound = sound[: round(seconds * RATE)]
    options = ["--device", device] + (["--checkpoint", str(checkpoint)] if checkpoint else [])
    return Task(transcriber, sound, [note for note in notes if note.onset_s < len(sound) / RATE], options)


def measure(
    task: Task, threads: int = 1, report: Callable[[str], object] = lambda stage: None
) -> dict[str, Any]:
    """All figures, ready for JSON. ``report`` is told what comes next.

    Sets the number of threads that compute in this process. Raises JackError when the live program fails, and
    ValueError when not a single note came back.
    """
    set_threads(threads)
    report("algorithmic latency")
    latencies = {"smallest": SMALLEST_LATENCY_MS, "default": DEFAULT_LATENCY_MS}
    transcriber = task.transcriber
    reported = {name: 1000 * transcriber.stream(ms, RATE).latency_s for name, ms in latencies.items()}
    impulse = {name: impulse_latency_ms(transcriber, ms) for name, ms in latencies.items()}
    report("computing")
    runs_ms = [1000 * steps_s(task) for _ in range(COMPUTE_RUNS)]
    # The same step each time: what other programs took in between does not come at the same place again.
    compute_ms = np.median(runs_ms, axis=0)
    report(f"end to end at {DEFAULT_LATENCY_MS} ms, in real time")
    way = Way.find()
    usual = _journey_figures(task, DEFAULT_LATENCY_MS, way)
    report(f"end to end at {SMALLEST_LATENCY_MS} ms, in real time")
    smallest = _journey_figures(task, SMALLEST_LATENCY_MS, way)
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
            "way": way.name,
            "why_not_jack": way.why_not_jack,
            "seconds": len(task.sound) / RATE,
            "threads": threads,
            "impulse_latency_ms": impulse,
            "compute_p99_ms_of_each_run": [_percentile(run, 99) for run in runs_ms],
            "default": usual,
            "smallest": smallest,
        },
    }


@dataclass(frozen=True)
class Way:
    """Which way the sound goes."""

    why_not_jack: str | None

    @classmethod
    def find(cls) -> Way:
        return cls(jack.missing())

    @property
    def name(self) -> str:
        return "a session in this process" if self.why_not_jack else "JACK, from process to process"

    def go(self, task: Task, latency_ms: float) -> Journey:
        """Raises JackError when a program does not do its part."""
        if self.why_not_jack:
            journey = travel_inside(task.transcriber, latency_ms, task.sound, RATE)
            return replace(journey, startup_s=startup_s(task.options))
        with jack.JackServer(RATE) as server:
            return travel([*live_command(latency_ms), *task.options], task.sound, server)


def live_command(latency_ms: float) -> list[str]:
    """``hppnet live`` between the ends of a journey over JACK."""
    ends = ["--input", "system", "--output", SYNTH, "--latency", f"{latency_ms:g}"]
    return python("-m", "hppnet", "live", *ends)


def startup_s(options: Sequence[str]) -> float:
    """From starting ``hppnet live`` in a new process to where it listens. Raises JackError if it does not."""
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
            env=environment(),
        )
        with process:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith(READY):
                    return perf_counter() - began
    raise jack.JackError(f"hppnet live did not start: {''.join(said).strip()}")


def _journey_figures(task: Task, latency_ms: float, way: Way) -> dict[str, Any]:
    journey = way.go(task, latency_ms)
    if journey.exit_code:
        raise jack.JackError(f"hppnet live ended with {journey.exit_code}: {journey.output.strip()}")
    streamed = task.transcriber.transcribe_blocks([task.sound], RATE, latency_ms=latency_ms).notes
    return compare(journey, task.notes, streamed)


def compare(journey: Journey, played: Sequence[Note], streamed: Sequence[Note]) -> dict[str, Any]:
    """What came back, against what was played and what ``transcribe --streaming`` finds in it."""
    truth = [(float(journey.wall_s(note.onset_s)), note.pitch) for note in played]
    arrived = [(e.time_s, e.pitch) for e in journey.events() if isinstance(e, NoteOn)]
    found: Delays = delays(truth, arrived)
    # On the recording's own time: whatever the journey bent or lost counts.
    usual_s = found.median_ms / 1000
    heard: list[Onset] = [(float(journey.sound_s(when - usual_s)), pitch) for when, pitch in arrived]
    labelled: list[Onset] = [(note.onset_s, note.pitch) for note in played]
    offline: list[Onset] = [(note.onset_s, note.pitch) for note in streamed]
    f1_live, f1_streaming = onset_f1(labelled, heard), onset_f1(labelled, offline)
    return {
        "median_ms": found.median_ms,
        "p99_ms": found.p99_ms,
        "jitter_ms": found.jitter_ms,
        "jitter_against_streaming_ms": _jitter_ms(offline, heard),
        "f1_gap": abs(f1_live - f1_streaming),
        "f1_live": f1_live,
        "f1_streaming": f1_streaming,
        "f1_between_the_two": onset_f1(offline, heard),
        "notes": {"played": len(played), "arrived": len(arrived), "streaming": len(streamed)},
        "startup_s": journey.startup_s,
    }


def _jitter_ms(offline: Sequence[Onset], heard: Sequence[Onset]) -> float:
    """What the way alone adds: the model's own errors in onset times are in both."""
    pairs = matched(offline, heard, -JITTER_TOLERANCE_S, JITTER_TOLERANCE_S)
    return 1000 * float(np.std([heard[j][0] - offline[i][0] for i, j in pairs])) if pairs else 0.0


def impulse_latency_ms(transcriber: Transcriber, latency_ms: float) -> float | None:
    """Algorithmic latency as one stroke measures it: from its frame's centre to its announcement.

    Fed a millisecond at a time, at RATE. None if the network does not hear the stroke.
    """
    judged = [0]
    eager = transcriber.with_thresholds(onset=0.1, frame=0.05)  # when it is found matters here, not whether
    stream = eager.stream(latency_ms, RATE, lambda frames: judged.__setitem__(0, judged[0] + len(frames)))
    onset_s = 20 * FRAME_S  # a frame's centre
    sound = np.zeros(RATE, dtype=np.float32)
    tone = struck(Note(onset_s, 1.0, 60, 100), RATE)
    start, step = round(onset_s * RATE), RATE // 1000
    sound[start:] += tone[: RATE - start]
    for position in range(0, RATE, step):
        if stream.feed(sound[position : position + step]):  # the pedal would be told as soon as an onset
            found_s = (judged[0] - 2) * FRAME_S  # judged when its right neighbour was known
            return 1000 * ((position + step) / RATE - found_s)
    return None


def steps_s(task: Task) -> np.ndarray:
    """Seconds that each 20 ms of sound [n] takes the engine, at the default latency."""
    engine = Engine(task.transcriber, RATE, DEFAULT_LATENCY_MS)
    step = round(FRAME_S * RATE)
    took = []
    for start in range(0, len(task.sound) - step + 1, step):
        block = Block(task.sound[start : start + step], start / RATE, sample_rate=RATE)
        began = perf_counter()
        engine.feed(block)
        took.append(perf_counter() - began)
    return np.array(took)


def _percentile(values: np.ndarray, percent: float) -> float:
    return float(np.percentile(values, percent))
