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

from ..children import wait_until
from ..page_host import browsing, hosted, written_page

ROOT = Path(__file__).parents[2]
LISTENS_S = 15.0
#: As where the user does not allow the microphone: without a window, Chromium asks for ever.
REFUSED = """() => {
    navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError"); };
}"""


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
        microphone = Path(scratch, "take.wav")
        soundfile.write(microphone, *soundfile.read(ROOT / "examples" / "take.opus"), subtype="PCM_16")
        allowed = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}")
        with hosted(written_page(Path(scratch))) as host:
            for size in SIZES:
                with page_of(playwright, host.url, size, *allowed) as page:
                    save(page, folder / f"page{size.name}-empty.png")
                    listen(page)
                    save(page, folder / (f"page{size.name}-playing.png" if size.name else "page.png"))
                with page_of(playwright, host.url, size) as page:
                    page.evaluate(REFUSED)
                    page.click("#listen")
                    wait_until(lambda: page.text_content("#problem-text"), "the error")
                    save(page, folder / f"page{size.name}-error.png")


@contextmanager
def page_of(playwright: Any, url: str, size: Size, *flags: str) -> Iterator[Any]:
    with browsing(playwright.chromium, *flags) as browser:
        viewport = {"width": size.width, "height": size.height}
        page = browser.new_page(viewport=viewport, color_scheme=size.scheme)
        page.goto(url)
        wait_until(lambda: page.text_content("#state") == "Ready", "the network")
        yield page


def listen(page: Any) -> None:
    page.click("#listen")
    wait_until(lambda: (page.evaluate("hppnet.page.take?.duration_s") or 0) >= LISTENS_S, "the sound")
    if lost := page.evaluate("hppnet.droppedBlocks"):
        sys.exit(f"{lost} blocks of sound were dropped: take the pictures on a machine that is idle")


def save(page: Any, path: Path) -> None:
    page.screenshot(path=path)
    print(path)


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "realtime" / "web")
