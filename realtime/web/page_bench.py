"""Measures the page that computes by itself: size, start, steps, and time until a note is drawn."""

from __future__ import annotations

import http.server
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile

from ...model.transcriber import Transcriber
from ..bench import BenchError
from ..bench_notes import make_test_piece
from ..latency import measure_pace
from .static_page import first_load_mb, page_files

RATE = 48_000
PATIENCE_S = 180.0  #: a busy machine takes long to open a page
LOOK_S = 0.1
STEPS = 300
#: Script: milliseconds of consecutive steps in the page, with nothing else running.
STEPS_ALONE = """async ([latency, count]) => {
  const { loadEngine } = await import(new URL("engine/loading.js", location.href).href);
  const engine = await loadEngine();
  const step = await engine.step(latency);
  const samples = Float32Array.from({ length: engine.network.front_end.longest }, () => 0.1 * Math.random());
  const took_ms = [];
  for (let i = 0; i < count; i++) {
    const began_ms = performance.now();
    await step.run(samples);
    took_ms.push(performance.now() - began_ms);
  }
  return took_ms;
}"""
THROTTLE = 4  #: factor by which the processor is slowed to measure drawing
THROTTLED_S = 10.0


def measure(
    transcriber: Transcriber,
    checkpoint: Path | None,
    seconds: float,
    latency_ms: float,
    version: str,
    report: Callable[[str], object] = lambda stage: None,
) -> dict[str, Any]:
    """Returns all figures, ready for JSON. Raises BenchError, NoRuntime and CheckpointError."""
    sync_playwright, chromium = _browser()
    files = page_files(checkpoint, version)
    sound, notes = make_test_piece(min(seconds, 60.0), RATE)
    report("native steps, one thread")
    native = measure_pace(transcriber, latency_ms)
    with TemporaryDirectory() as scratch, sync_playwright() as engine:
        folder, microphone = Path(scratch) / "page", Path(scratch) / "microphone.wav"
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        soundfile.write(microphone, sound, RATE, subtype="PCM_16")
        flags = [
            "--no-sandbox",
            "--enable-precise-memory-info",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
        browser = engine.chromium.launch(executable_path=chromium, args=flags)
        try:
            with _hosted(folder) as url:
                found = _played(browser, url, seconds, latency_ms, report)
        finally:
            browser.close()
    delays_ms = np.array(found.pop("delays_ms"))
    if not len(delays_ms):
        raise BenchError("the page showed no note")
    return {
        "first_load_mb": first_load_mb(files),
        "native_step_ms": native.median_ms,
        "step_over_native": found["step_alone_ms"] / native.median_ms,
        "note_drawn_ms": float(np.median(delays_ms)),
        "note_drawn_p99_ms": float(np.percentile(delays_ms, 99)),
        **found,
        "detail": {
            "seconds": seconds,
            "latency_ms": latency_ms,
            "notes_drawn": len(delays_ms),
            "notes": len(notes),
        },
    }


def _browser() -> tuple[Any, str]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise BenchError("Chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise BenchError("playwright is not installed: pip install playwright") from None
    return sync_playwright, chromium


@contextmanager
def _hosted(folder: Path) -> Iterator[str]:
    """Starts a static host and yields its URL."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *unused: Any) -> None:
            pass

    class Host(http.server.ThreadingHTTPServer):
        def handle_error(self, *unused: Any) -> None:
            """Ignores errors: a browser that closes a page aborts its requests."""

    with Host(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()


def _played(
    browser: Any, url: str, seconds: float, latency_ms: float, report: Callable[[str], object]
) -> dict[str, Any]:
    """Loads the page, opens it again from the cache, listens with it, and returns the figures."""
    context = browser.new_context()
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    report("the first load")
    page.goto(url)
    _until(lambda: page.text_content("#offline"), "the page was not kept for offline use")
    began_s = time.perf_counter()
    page.reload()
    _until(lambda: page.text_content("#state") == "Ready", "the page did not open again")
    loaded_s = time.perf_counter() - began_s
    report("the page's steps, with nothing beside them")
    alone_ms = page.evaluate(STEPS_ALONE, [latency_ms, STEPS])
    page.evaluate(f"document.querySelector('#latency').value = '{latency_ms:.0f}'")
    began_s = time.perf_counter()
    page.click("#listen")
    _until(lambda: page.text_content("#state") == "Listening", "the page does not listen")
    ready_s = time.perf_counter() - began_s
    report(f"{seconds:.0f} s of playing, in real time")
    page.wait_for_timeout(2000)
    before = _memory_mb(page)
    page.wait_for_timeout(1000 * seconds)
    figures = page.evaluate(
        "({delays_ms: hppnet.delays_ms.map((ms) => ms - hppnet.algorithmic_ms), step_ms: hppnet.step_ms,"
        " step_p99_ms: hppnet.page.listening.step_p99_ms, late_blocks: hppnet.lateBlocks,"
        " dropped_blocks: hppnet.droppedBlocks})"
    )
    grown = _memory_mb(page) - before
    report(f"drawing with a processor slowed {THROTTLE} times")
    context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": THROTTLE})
    page.evaluate("hppnet.page.figures.drawn_ms.length = hppnet.page.figures.next = 0")
    page.wait_for_timeout(1000 * THROTTLED_S)
    drawn_ms = page.evaluate("hppnet.drawn_ms")
    context.close()
    return {
        **figures,
        "step_alone_ms": float(np.median(alone_ms)),
        "loaded_s": loaded_s,
        "ready_s": ready_s,
        "memory_grown_mb": grown,
        "drawing_p95_ms": drawn_ms,
    }


def _memory_mb(page: Any) -> float:
    page.evaluate("globalThis.gc?.()")
    return float(page.evaluate("performance.memory.usedJSHeapSize")) / 1e6


def _until(found: Callable[[], object], otherwise: str) -> None:
    """Polls ``found`` from here, since the page's policy forbids a script that polls. Raises BenchError."""
    end_s = time.monotonic() + PATIENCE_S
    while not found():
        if time.monotonic() > end_s:
            raise BenchError(otherwise)
        time.sleep(LOOK_S)
