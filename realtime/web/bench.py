"""Measures ``hppnet serve`` on this machine: streams without a late block, and time until a note is drawn.

The server is a process of its own; the clients here send in real time, as pages do.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import soundfile

from ...processes import python
from ..bench import BenchError
from ..bench_notes import make_test_piece
from . import protocol

RATE = 48_000
BLOCK = 512  #: samples, as the page sends them
LEAD_S = 2.0  #: silence before the piece, which warms everything up
END_WITHIN_S = 20.0


@dataclass(frozen=True)
class StreamsRun:
    """The result of ``streams`` streams at once."""

    streams: int
    blocks: int
    late_blocks: int
    dropped_blocks: int
    notes: int
    after_algorithmic_ms: tuple[float, float]  #: time from sound to event, minus the latency: median, p99


def measure(
    most: int,
    seconds: float,
    latency_ms: float,
    options: Sequence[str] = (),
    report: Callable[[str], object] = lambda stage: None,
) -> dict[str, Any]:
    """Measures fewer and fewer streams until no block is late, then a page; returns figures for JSON.

    ``options`` are passed to ``hppnet serve``. Raises BenchError.
    """
    sound, _ = make_test_piece(seconds, RATE)
    sound = np.concatenate([np.zeros(round(LEAD_S * RATE), dtype=np.float32), sound])
    runs: list[StreamsRun] = []
    with served([*options, "--max-streams", str(most)]) as url:
        asyncio.run(_streams(url, sound[: 3 * RATE], 1, latency_ms))  # the first steps prepare PyTorch
        for streams in range(most, 0, -1):
            report(f"{streams} streams, {len(sound) / RATE:.0f} s in real time")
            runs.append(asyncio.run(_streams(url, sound, streams, latency_ms)))
            if not runs[-1].late_blocks + runs[-1].dropped_blocks:
                break
        report("the page in Chromium, in real time")
        delays_ms, why_not = page_delays_ms(url, sound)
    best = runs[-1]
    return {
        "streams": best.streams if not best.late_blocks + best.dropped_blocks else 0,
        "late_blocks": best.late_blocks,
        "page_latency_over_algorithmic_ms": float(np.median(delays_ms)) if delays_ms else None,
        "detail": {
            "latency_ms": latency_ms,
            "seconds": len(sound) / RATE,
            "runs": [asdict(run) for run in runs],
            "page_notes": len(delays_ms),
            "page_p99_ms": float(np.percentile(delays_ms, 99)) if delays_ms else None,
            "why_no_page": why_not,
        },
    }


@contextmanager
def served(options: Sequence[str]) -> Iterator[str]:
    """Starts a server in a process of its own and yields the page's URL. Raises BenchError."""
    command = python("-m", "hppnet", "serve", "--port", "0", *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline().split()
        if len(first) != 2:
            raise BenchError(f"hppnet serve did not start: {process.stderr.read().strip()}")
        yield first[1]
    finally:
        process.terminate()
        process.communicate(timeout=END_WITHIN_S)


async def _streams(url: str, sound: np.ndarray, count: int, latency_ms: float) -> StreamsRun:
    """Runs ``count`` clients at once, each started a little later than the one before."""
    clients = [_client(url, sound, latency_ms, number * BLOCK / RATE / count) for number in range(count)]
    done = await asyncio.gather(*clients)
    last, delays_ms = [each[0] for each in done], [delay for each in done for delay in each[1]]
    median, p99 = np.percentile(delays_ms, (50, 99)) if delays_ms else (float("nan"), float("nan"))
    return StreamsRun(
        count,
        count * -(-len(sound) // BLOCK),
        sum(progress["late_blocks"] for progress in last),
        sum(progress["dropped_blocks"] for progress in last),
        len(delays_ms),
        (float(median), float(p99)),
    )


async def _client(url: str, sound: np.ndarray, latency_ms: float, wait_s: float) -> tuple[dict, list[float]]:
    """Returns the last progress message and, for each note, ms from sound to event minus the latency."""
    from websockets.asyncio.client import connect

    await asyncio.sleep(wait_s)
    async with connect(f"ws://{urlsplit(url).netloc}/stream", max_queue=None, compression=None) as socket:
        await socket.send(
            json.dumps({"type": "hello", "version": 1, "sample_rate": RATE, "latency_ms": latency_ms})
        )
        ready = json.loads(await socket.recv())
        began_s = time.perf_counter()
        sending = asyncio.create_task(_send(socket, sound, began_s))
        delays_ms: list[float] = []
        last: dict[str, Any] = {}
        async for text in socket:
            message, now_s = json.loads(text), time.perf_counter() - began_s
            if message["type"] == protocol.PROGRESS:
                last = message
            for event in message.get("events", []):
                if event["type"] == "on":
                    delays_ms.append(1000 * (now_s - event["time_s"]) - ready["latency_ms"])
        await sending
    if not last:
        raise BenchError(f"the server closed with {socket.close_code}: {socket.close_reason}")
    return last, delays_ms


async def _send(socket: Any, sound: np.ndarray, began_s: float) -> None:
    """Sends each block when its last sample would have sounded."""
    for first in range(0, len(sound), BLOCK):
        block = sound[first : first + BLOCK]
        due_s = began_s + (first + len(block)) / RATE
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        await socket.send(block.astype("<f4").tobytes())
    await socket.send('{"type":"end"}')


def page_delays_ms(url: str, sound: np.ndarray) -> tuple[list[float], str | None]:
    """Returns for each note ms from microphone to drawing minus the latency; or none, and the reason."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        return [], "Chromium is not installed"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return [], "playwright is not installed"
    with TemporaryDirectory() as folder, sync_playwright() as engine:
        file = Path(folder) / "microphone.wav"
        soundfile.write(file, sound, RATE, subtype="PCM_16")
        browser = engine.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={file}",
            ],
        )
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#latency option[value='212']", state="attached")
        page.click("#listen")
        page.wait_for_timeout(1000 * len(sound) / RATE)
        algorithmic_ms, delays_ms = page.evaluate("[hppnet.algorithmic_ms, hppnet.delays_ms]")
        browser.close()
    if not delays_ms:
        return [], "the page showed no note"
    return [delay - algorithmic_ms for delay in delays_ms], None
