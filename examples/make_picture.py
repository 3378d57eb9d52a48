"""Makes live.gif, the moving picture of the README: what `hppnet live` shows for the recording.

    python examples/make_picture.py

Runs a real session without a port. The terminal's view draws its snapshots, and this script paints their
cells. The session's clock counts CPU time only, so other programs do not change the picture. Needs Pillow
and the font that come with matplotlib: pip install 'hppnet[plot]'.
"""

from __future__ import annotations

import argparse
import io
import time
from contextlib import suppress
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from rich.style import Style

import hppnet
from hppnet.realtime.inputs import FileInput, InputEnded
from hppnet.realtime.session import LiveSession
from hppnet.realtime.settings import LiveSettings
from hppnet.realtime.status import Status
from hppnet.realtime.view import Picture

HERE = Path(__file__).resolve().parent
COLUMNS, ROWS = 104, 28
CELL_X, CELL_Y = 8, 16  # pixels
EVERY_S = 0.1
GROUND, INK = (12, 12, 14), (215, 215, 215)
FONT = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSansMono.ttf")
QUARTERS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"  # by bits: 1 upper left, 2 upper right, 4 lower left, 8 lower right


class OwnTime:
    """The clock of an idle machine: computing takes its CPU time, sleeping advances the clock at once."""

    def __init__(self) -> None:
        self._slept_s = 0.0

    def now(self) -> float:
        return self._slept_s + time.thread_time()

    def sleep(self, seconds: float) -> None:
        self._slept_s += max(0.0, seconds)


def played(recording: Path, seconds: float, checkpoint: Path | None) -> list[Status]:
    """Runs a session with the recording's beginning; returns a snapshot every EVERY_S seconds."""
    with soundfile.SoundFile(recording) as file:
        rate = file.samplerate
        sound = file.read(round(seconds * rate), dtype="float32", always_2d=True).mean(axis=1)
    snapshots: list[Status] = []
    clock, port = OwnTime(), hppnet.MidiOutput("none")
    source = FileInput(np.array_split(sound, 100), rate, name=recording.name, clock=clock)
    session = LiveSession(hppnet.load(checkpoint), source, port, LiveSettings(output="none"), clock=clock)
    with suppress(InputEnded):
        session.prepare()
        while True:
            session.turn()
            status = session.status()
            if status.running_s >= len(snapshots) * EVERY_S:
                snapshots.append(status)
    session.stop()
    return snapshots


def painted(status: Status, picture: Picture, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The terminal's screen as an image."""
    console = Console(
        width=COLUMNS, height=ROWS, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    picture.status = status
    image = Image.new("RGB", (COLUMNS * CELL_X, ROWS * CELL_Y), GROUND)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(console.render_lines(picture, console.options.update(height=ROWS))):
        column = 0
        for segment in line:
            for sign in segment.text:
                paint(draw, column * CELL_X, row * CELL_Y, sign, segment.style or Style(), font)
                column += 1
    return image


def paint(
    draw: ImageDraw.ImageDraw, x: int, y: int, sign: str, style: Style, font: ImageFont.FreeTypeFont
) -> None:
    """One cell. Blocks are rectangles, so that they join without seams."""
    ink = tuple(style.color.get_truecolor()) if style.color else INK
    if style.dim:
        ink = tuple((a + b) // 2 for a, b in zip(ink, GROUND, strict=True))
    if style.bgcolor:
        ground = tuple(style.bgcolor.get_truecolor(foreground=False))
        draw.rectangle((x, y, x + CELL_X - 1, y + CELL_Y - 1), fill=ground)
    if sign in QUARTERS:
        for bit in range(4):
            if QUARTERS.index(sign) >> bit & 1:
                left, top = x + bit % 2 * CELL_X // 2, y + bit // 2 * CELL_Y // 2
                draw.rectangle((left, top, left + CELL_X // 2 - 1, top + CELL_Y // 2 - 1), fill=ink)
    else:
        draw.text((x, y), sign, fill=ink, font=font)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes the README's moving picture.")
    parser.add_argument("--recording", type=Path, default=HERE / "take.opus")
    parser.add_argument("--seconds", type=float, default=16)
    parser.add_argument("--out", type=Path, default=HERE / "live.gif")
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    arguments = parser.parse_args()
    snapshots = played(arguments.recording, arguments.seconds, arguments.checkpoint)
    picture, font = Picture((f"input    {arguments.recording.name}",)), ImageFont.truetype(FONT, 13)
    images = [painted(status, picture, font) for status in snapshots]
    # One palette for all images, so that parts that do not change take no room in the file.
    palette = images[len(images) // 2].quantize(32)
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    duration = round(1000 * EVERY_S)
    images[0].save(arguments.out, save_all=True, append_images=images[1:], duration=duration, loop=0)
    print(f"{arguments.out}: {len(images)} images, {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
