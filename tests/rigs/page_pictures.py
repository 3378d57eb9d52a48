"""Takes the pictures of the page in ``realtime/web/``: three sizes, each empty, listening, and with an error.

``python -m tests.rigs.page_pictures [FOLDER]``, on a machine that is otherwise idle: the page computes as it
does for a user, with the weights that ship, and listens to the bundled recording for 15 s at each size.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import soundfile
from playwright.sync_api import sync_playwright

from hppnet import __version__
from hppnet.realtime.web.static_page import page_files

from ..needs import CHROMIUM
from ..page_host import hosted

ROOT = Path(__file__).parents[2]
LISTENS_S = 15.0
PATIENCE_MS = 120_000


@dataclass(frozen=True)
class Size:
    name: str  #: in the pictures' file names
    width: int
    height: int
    scheme: str


SIZES = (
    Size("", 1280, 800, "dark"),
    Size("-phone", 390, 844, "dark"),
    Size("-wide", 2560, 1440, "light"),
)


def take_pictures(folder: Path) -> None:
    with TemporaryDirectory() as scratch, sync_playwright() as playwright:
        site, microphone = Path(scratch, "page"), Path(scratch, "take.wav")
        for name, content in page_files(None, __version__).items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_bytes(content)
        soundfile.write(microphone, *soundfile.read(ROOT / "examples" / "take.opus"), subtype="PCM_16")
        allowed = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}")
        with hosted(site) as host:
            for size in SIZES:
                with page_of(playwright, host.url, size, *allowed) as page:
                    save(page, folder / f"page{size.name}-empty.png")
                    listen(page)
                    save(page, folder / (f"page{size.name}-playing.png" if size.name else "page.png"))
                with page_of(playwright, host.url, size) as page:  # it may not use the microphone
                    page.click("#listen")
                    page.wait_for_function("document.getElementById('hint').textContent")
                    save(page, folder / f"page{size.name}-error.png")


@contextmanager
def page_of(playwright: Any, url: str, size: Size, *flags: str) -> Iterator[Any]:
    flags = ("--no-sandbox", "--use-fake-device-for-media-stream", *flags)
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
    try:
        page = browser.new_page(
            viewport={"width": size.width, "height": size.height}, color_scheme=size.scheme, bypass_csp=True
        )
        page.set_default_timeout(PATIENCE_MS)
        page.goto(url)
        page.wait_for_function("document.getElementById('state').textContent === 'Ready'")
        yield page
    finally:
        browser.close()


def listen(page: Any) -> None:
    page.click("#listen")
    page.wait_for_function(f"hppnet.page.take?.duration_s >= {LISTENS_S}")
    if lost := page.evaluate("hppnet.droppedBlocks"):
        sys.exit(f"{lost} blocks of sound were dropped: take the pictures on a machine that is idle")


def save(page: Any, path: Path) -> None:
    page.screenshot(path=path)
    print(path)


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "realtime" / "web")
