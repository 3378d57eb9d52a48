"""The page as files, a take for it, and a static host, as any is: files below a path, and nothing else."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from typer.testing import CliRunner

from hppnet.cli import app

from .needs import CHROMIUM
from .sounds import TONE_WEIGHTS, piano_like

RATE = 44_100
ONSETS = {0.5 + 0.4 * i: 48 + (7 * i) % 36 for i in range(12)}  #: of the take: seconds -> MIDI key
SOUND = piano_like(ONSETS, 6.0, RATE)

BELOW = "/music/piano"
SMALL = ("--checkpoint", str(TONE_WEIGHTS))  #: so small that every machine keeps up


@contextmanager
def browsing(engine: Any, *flags: str) -> Iterator[Any]:
    """A browser of Playwright's ``engine``, with a microphone that needs no device."""
    flags = ("--no-sandbox", "--use-fake-device-for-media-stream", *flags)
    browser = engine.launch(executable_path=CHROMIUM, args=flags)
    try:
        yield browser
    finally:
        browser.close()


def written_page(parent: Path, *options: str) -> Path:
    """The folder of the page."""
    folder = parent / "page"
    done = CliRunner().invoke(app, ["page", str(folder), *options])
    assert done.exit_code == 0, done.output
    return folder


def written_take(parent: Path) -> Path:
    path = parent / "take.wav"
    soundfile.write(path, SOUND, RATE, subtype="PCM_16")
    return path


@dataclass
class Host:
    """``asked`` are the paths that were asked for, in order."""

    port: int
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}{BELOW}/"


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """Until the block ends: then the host is gone, as where there is no network."""
    host = Host(0)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *unused: Any) -> None:
            pass

        def translate_path(self, path: str) -> str:
            host.asked.append(path)
            return super().translate_path(path.removeprefix(BELOW) if path.startswith(BELOW) else "/none")

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    host.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
