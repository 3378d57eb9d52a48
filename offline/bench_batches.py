"""Finds what limits a batch of recordings: the network (by batch size), reading or decoding."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile
import soxr

from ..model.decoder import Decoder
from ..model.engines import WindowEngine
from ..model.frames import WINDOW_FRAMES, Row, Slices
from ..model.notes import notes_from, write_midi
from ..model.timebase import FRAME_S, HOP, SAMPLE_RATE
from ..model.transcriber import Transcriber
from .executors.batched_worker import Batcher
from .executors.executor import Executor, OneProcess
from .executors.pipeline import Pipeline, default_helpers
from .jobs import Job, Outcome
from .reading import open_recording
from .settings import Settings

FILE_RATE = 44_100
_ON_A_PROCESSOR = (1, 2, 4)  #: batch sizes; larger ones gain nothing on a CPU
_FILES_A_ROW = 4  #: recordings per row of a batch, enough to fill the pipeline
_WINDOW_S = WINDOW_FRAMES * FRAME_S


def measure(
    transcriber: Transcriber,
    settings: Settings,
    sound: np.ndarray,
    repeats: int,
    report: Callable[[str], object],
) -> dict[str, Any]:
    """Speed of each part and of the whole, in times real time, ready for JSON. ``sound``: [n] at 16 kHz."""
    batcher = Batcher(transcriber)
    report("batches: the network")
    on_cpu = transcriber.device == "cpu"
    network = {size: _network_x(batcher.windows, sound, size, repeats) for size in _sizes(batcher, on_cpu)}
    with tempfile.TemporaryDirectory(prefix="hppnet-bench-") as folder:
        file = Path(folder, "take.flac")
        soundfile.write(
            file, np.tile(soxr.resample(sound, SAMPLE_RATE, FILE_RATE)[:, None], (1, 2)), FILE_RATE
        )
        report("batches: reading and decoding")
        reading = median(_reading_x(transcriber, file) for _ in range(repeats))
        decoding = median(_decoding_x(transcriber, batcher.windows, sound, folder) for _ in range(repeats))
        report("batches: the whole")
        whole = _whole_x(transcriber, settings, batcher.size, file)
    helpers = default_helpers()
    beside = helpers / (1 / reading + 1 / decoding)
    best = network.get(batcher.size, max(network.values()))
    alone = on_cpu  # on a CPU each process does everything
    return {
        "batch": batcher.size,
        "network_x_realtime": {str(size): x for size, x in network.items()},
        "reading_x_realtime_a_process": reading,
        "decoding_x_realtime_a_process": decoding,
        "processes": 1 if alone else helpers,
        "reading_and_decoding_x_realtime": beside,
        "whole_x_realtime": whole,
        "bound_by": "the network" if alone or best <= beside else _slower(reading, decoding),
    }


def _slower(reading: float, decoding: float) -> str:
    return "reading" if reading < decoding else "decoding"


def _sizes(batcher: Batcher, on_cpu: bool) -> list[int]:
    if on_cpu:
        return list(_ON_A_PROCESSOR)
    return sorted({*(2**n for n in range(batcher.size.bit_length())), batcher.size})


def _network_x(windows: WindowEngine, sound: np.ndarray, size: int, repeats: int) -> float:
    """The network's speed for ``size`` windows of 20 s at once, without a first run that warms up."""
    rows = [_row(windows, sound)] * size
    windows.predict(rows).wait()
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        windows.predict(rows).wait()
        took.append(time.perf_counter() - began)
    return size * _WINDOW_S / median(took)


def _row(windows: WindowEngine, sound: np.ndarray) -> Row:
    """A window of 20 s; a shorter sound is repeated."""
    samples = np.resize(sound, (WINDOW_FRAMES - 1) * HOP + windows.span)
    return Row(windows.start(), samples, True)


def _reading_x(transcriber: Transcriber, file: Path) -> float:
    """Speed of decoding, resampling and cutting a stereo FLAC at 44.1 kHz, in one process."""
    began = time.perf_counter()
    with open_recording(file) as recording:
        slices = Slices(transcriber.config.front_end, recording.sample_rate)
        for _ in slices.slices(recording.blocks()):
            pass
        return (recording.duration_s or 0.0) / (time.perf_counter() - began)


def _decoding_x(transcriber: Transcriber, windows: WindowEngine, sound: np.ndarray, folder: str) -> float:
    """Speed from probabilities to a MIDI file, in one process."""
    ((keys, pedal),) = windows.predict([_row(windows, sound)]).wait()
    began = time.perf_counter()
    decoder = Decoder(transcriber.config.decoder)
    write_midi(notes_from(decoder.feed(keys, pedal) + decoder.flush()), Path(folder, "take.mid"))
    return _WINDOW_S / (time.perf_counter() - began)


def _whole_x(transcriber: Transcriber, settings: Settings, size: int, file: Path) -> float:
    """Speed from recordings to MIDI files on disk, between the ends of the first batch and the last."""
    jobs = [Job(file, {"mid": file.with_name(f"{n}.mid")}) for n in range(max(3, _FILES_A_ROW * size))]
    done: list[tuple[float, Outcome]] = []
    on_gpu = transcriber.device == "cuda"
    load = lambda _: transcriber  # noqa: E731
    executor: Executor = Pipeline(load=load) if on_gpu else OneProcess(load=load)
    for outcome in executor.run(jobs, settings, lambda *_: None):
        done.append((time.perf_counter(), outcome))
    counted = done[size if on_gpu else 1 :]  # the recordings of the first batch finish together
    began = done[size - 1 if on_gpu else 0][0]
    return sum(outcome.duration_s for _, outcome in counted) / max(1e-9, counted[-1][0] - began)
