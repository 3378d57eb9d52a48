"""What the page's engine is held to: inputs, and what Python makes of them, as files for tests in Node."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hppnet.model.decoder import Decoder
from hppnet.model.engine.transform import ROW, TAPS, decimator, groups
from hppnet.model.frames import Resampler
from hppnet.model.frontend import FrontEndConfig, kernel
from hppnet.model.notes import Event, NoteOn, Pedal
from hppnet.model.timebase import BINS
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.inputs import Block
from hppnet.realtime.live_decoder import LiveDecoder
from hppnet.realtime.timeline import Timeline
from hppnet.realtime.web.network_files import network_files

from .sounds import piano_like

RATES = (16_000, 32_000, 44_100, 48_000, 96_000)  #: below 32 kHz Python's resampler is soxr's own
BLOCK = 480  #: samples, 10 ms at 48 kHz


def write_vectors(folder: Path, weights: Path) -> None:
    """All of them. ``weights`` is a checkpoint that hears the pedal."""
    transcriber = Transcriber.load(weights, device="cpu")
    front_end = transcriber.config.front_end
    for name, content in network_files(weights).items():
        (folder / name).write_bytes(content)
    found: dict[str, Any] = {
        "decoder": [_decoded(folder, seed) for seed in range(3)],
        "resampler": [_resampled(folder, rate) for rate in RATES],
        "timeline": _timeline(),
        "spectrum": _spectrum(folder, front_end),
        "streams": [_streamed(folder, transcriber, rate, ms) for rate, ms in ((48_000, 132), (44_100, 52))],
        "live": _live(folder, transcriber),
    }
    (folder / "vectors.json").write_text(json.dumps(found))


def event(of: Event) -> dict[str, Any]:
    """As the protocol has it."""
    if isinstance(of, Pedal):
        return {"type": "pedal", **asdict(of)}
    return {"type": "on" if isinstance(of, NoteOn) else "off", **asdict(of)}


def _put(folder: Path, name: str, values: np.ndarray) -> str:
    values.astype("<f4").tofile(folder / name)
    return name


def _decoded(folder: Path, seed: int) -> dict[str, Any]:
    """Probabilities that rise and fall as a network's do, in half of the keys; many lie near thresholds."""
    drawn = np.random.default_rng(seed)
    frames = drawn.random((400, 88, 4)).astype(np.float32) ** 3
    frames[1:] = 0.5 * frames[1:] + 0.5 * frames[:-1]
    frames[:, ::2] *= 0.3
    frames[drawn.random(frames.shape) < 0.05] = 0.4  # plateaus at the threshold
    pedal = np.clip(0.5 + np.cumsum(drawn.normal(0, 0.15, 400)) % 1 - 0.5, 0, 1).astype(np.float32)
    decoder = Decoder()
    events = decoder.feed(frames, pedal) + decoder.flush()
    return {
        "frames": _put(folder, f"frames-{seed}.f32", frames),
        "pedal": _put(folder, f"pedal-{seed}.f32", pedal),
        "thresholds": decoder.config.applied,
        "events": [event(of) for of in events],
    }


def _resampled(folder: Path, rate: int) -> dict[str, Any]:
    sound = piano_like({0.02: 40, 0.1: 64, 0.2: 88}, 0.43, rate)
    resampler = Resampler(rate)
    wanted = np.concatenate([resampler.feed(sound), resampler.flush()])
    return {
        "rate": rate,
        "sound": _put(folder, f"sound-{rate}.f32", sound),
        "wanted": _put(folder, f"wanted-{rate}.f32", wanted),
        "delay_s": resampler.delay_s,
    }


def _timeline() -> dict[str, Any]:
    """Blocks that come late, a device that runs fast, and a clock that jumps."""
    drawn, timeline = np.random.default_rng(1), Timeline()
    ends = np.arange(1, 4000) * 0.01
    arrived = ends * 1.0002 + 5 + drawn.exponential(0.004, len(ends))
    arrived[3000:] += 0.4
    anchors = []
    for end_s, arrived_s in zip(ends.tolist(), arrived.tolist(), strict=True):
        timeline.observe(end_s, arrived_s)
        anchors.append(timeline.anchor_s)
    return {"ends": ends.tolist(), "arrived": arrived.tolist(), "anchors": anchors}


def _spectrum(folder: Path, config: FrontEndConfig) -> dict[str, Any]:
    """Levels [352] of one frame, its sound as low bins take it, and the front end's matrices in turn."""
    samples = piano_like({0.05: 45, 0.1: 69}, 0.3)[: config.span].astype(np.float32)
    matrix, _ = kernel(config)
    sums = samples.astype(np.float64) @ matrix
    power = sums[:BINS] ** 2 + sums[BINS:] ** 2
    levels = 10 * np.log10(np.maximum(power, 1e-11)) / 110 * 3 + 2
    rows = np.pad(samples, TAPS // 2)[np.arange(len(samples) // ROW)[:, None] * ROW + np.arange(2 * ROW)]
    matrices = np.concatenate([group.matrix.ravel() for group in groups(config)])
    return {
        "samples": _put(folder, "frame.f32", samples),
        "low": _put(folder, "low.f32", (rows @ decimator()).ravel()),
        "levels": _put(folder, "levels.f32", levels),
        "matrices": _put(folder, "matrices.f32", matrices),
    }


def _streamed(folder: Path, transcriber: Transcriber, rate: int, latency_ms: float) -> dict[str, Any]:
    sound = piano_like({0.2 + 0.23 * i: 45 + (7 * i) % 40 for i in range(12)}, 3.5, rate)
    stream = transcriber.stream(latency_ms, rate)
    events = stream.feed(sound) + stream.flush()
    return {
        "rate": rate,
        "latency_ms": latency_ms,
        "latency_s": stream.latency_s,
        "sound": _put(folder, f"stream-{rate}.f32", sound),
        "events": [event(of) for of in events],
    }


def _live(folder: Path, transcriber: Transcriber) -> dict[str, Any]:
    """A silence in which the network sleeps, a short gap, a long one, and samples that are no numbers."""
    rate = 48_000
    sound = np.concatenate(
        [
            piano_like({0.3: 60, 0.8: 64}, 2.0, rate),
            np.zeros(6 * rate, np.float32),
            piano_like({0.2: 67, 0.6: 48}, 2.0, rate),
        ]
    )
    sound[1000:1003] = np.nan
    engine, events = LiveDecoder(transcriber, rate, 92), []
    times, time_s = [], 0.0
    for first in range(0, len(sound), BLOCK):
        time_s += {100: 0.03, 900: 0.5}.get(first // BLOCK, 0.0)  # sound that was lost
        times.append(time_s)
        block = sound[first : first + BLOCK]
        events += engine.feed(Block(block, time_s, sample_rate=rate))
        time_s += len(block) / rate
    events += engine.flush()
    return {
        "rate": rate,
        "latency_ms": 92,
        "block": BLOCK,
        "times": times,
        "sound": _put(folder, "live.f32", sound),
        "events": [event(of) for of in events],
    }
