"""The screen of ``hppnet live``: keyboard, piano roll, level, times, faults.

``LiveView`` fills a terminal's screen and restores it at the end; ``status_line`` is used elsewhere. The
view only reads snapshots: it delays nothing, and its content is at most a tenth of a second old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.style import Style
from rich.text import Text

from .status import Status, troubles
from .view_roll import keyboard, lanes_for, roll

UPDATES_PER_SECOND = 10
FLOOR_DB = -60.0  #: level at which the meter is empty
CLIP_SHOWN_S = 3.0
LOUD_DB = -6.0  #: level above which the meter turns yellow
UNKNOWN_VELOCITY = 80
TALL = 32  #: rows; a lower terminal shows only the most important lines
SHORT_ABOUT = 2


class LiveView:
    """Shows a session on a terminal. Use it with ``with``; call ``update`` as often as you like.

    ``about`` are lines at the top: the input, the output and more. A low terminal shows only the first two.
    """

    def __init__(
        self,
        console: Console | None = None,
        about: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console()
        self._clock = clock
        self._shown_s = float("-inf")
        self.picture = Picture(about)
        self._live = Live(self.picture, console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, status: Status) -> None:
        """Takes the snapshot; draws it unless the last drawing is less than a tenth of a second old."""
        self.picture.status = status
        now = self._clock()
        if now - self._shown_s >= 1 / UPDATES_PER_SECOND:
            self._shown_s = now
            self._live.refresh()


class Picture:
    """The latest status as lines of text, as many as the terminal has."""

    def __init__(self, about: Sequence[str] = ()) -> None:
        self.status = Status()
        self._about = about
        self._clipped = 0
        self._clipped_at_s = float("-inf")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        plain = options.ascii_only or console.no_color or console.color_system is None
        height = options.height or console.height
        lines = self.lines(options.max_width, height, plain)
        for number, line in enumerate(lines[:height]):
            line.truncate(options.max_width, overflow="crop" if plain else "ellipsis")
            line.no_wrap, line.end = True, "\n" if number < len(lines) - 1 else ""
            yield line

    def lines(self, columns: int, rows: int, plain: bool) -> list[Text]:
        """Returns exactly ``rows`` lines. The roll fills the free lines and is left out first."""
        status = self.status
        about = self._about[: SHORT_ABOUT if rows < TALL else None]
        head = [_title(status, columns), *(Text(f" {line}", style="dim") for line in about)]
        head += [self._input(columns, plain), *_figures(status, plain), Text()]
        faults = _faults(status, 1 if rows < TALL else 3)
        lanes = lanes_for(columns, plain)
        keys: list[Text] = []
        room = rows - len(head) - len(faults)
        if lanes is not None and room >= 3:
            keys = keyboard(lit(status), lanes)
            upright = roll(status.recent, status.now_s, lanes, room - len(keys)) if room > len(keys) else []
            keys = [*upright, *keys]
        middle = [_centred(line, columns) for line in keys]
        filling = [Text() for _ in range(max(0, room - len(middle)))]
        return [*head, *middle, *filling, *faults][:rows]

    def _input(self, columns: int, plain: bool) -> Text:
        status = self.status
        if status.clipped > self._clipped:
            self._clipped_at_s = status.running_s
        self._clipped = status.clipped
        line = Text(" input    ")
        line.append_text(_meter(status.level_db, max(10, min(40, columns - 45)), plain))
        line.append(f" {status.level_db:5.0f} dB" if status.level_db > -100 else "  silence")
        if status.clipped:
            fresh = status.running_s - self._clipped_at_s < CLIP_SHOWN_S
            line.append("  ")
            line.append(" CLIP ", "bold white on red" if fresh else "red")
            line.append(f" {status.clipped} samples")
        return line


def lit(status: Status) -> dict[int, int]:
    """Pitches that sound, with their velocities."""
    velocities = {note.pitch: note.velocity for note in status.recent if note.offset_s is None}
    return {pitch: velocities.get(pitch, UNKNOWN_VELOCITY) for pitch in status.sounding}


def _title(status: Status, columns: int) -> Text:
    line = Text(" hppnet live", style="bold")
    line.append(f"   {_clock(status.running_s)}   ", "not bold")
    line.append("asleep until something sounds" if status.asleep else "listening", "not bold")
    if status.sends_pedal:
        line.append("   pedal ", "not bold").append(
            "down" if status.pedal else "up", "bold" if status.pedal else "not bold"
        )
    notes = f"{status.notes} note{'' if status.notes == 1 else 's'}"
    return line.append(" " * max(1, columns - line.cell_len - len(notes) - 1) + notes, "not bold")


def _figures(status: Status, plain: bool) -> list[Text]:
    times = "x" if plain else "×"
    sent_ms, compute_ms = status.latency_ms, status.compute_ms
    latency = (
        f" latency  {sent_ms[0]:.0f} ms median, {sent_ms[1]:.0f} ms p99; "
        f"{status.total_latency_ms:.0f} ms planned ({status.algorithmic_latency_ms:.0f} ms for the model)"
    )
    compute = (
        f" compute  {compute_ms[0]:.1f} ms median, {compute_ms[1]:.1f} ms p99 for 20 ms of sound; "
        f"{status.realtime_factor:.1f} {times} real time"
    )
    counts = Text(f" backlog  {status.backlog_ms:.0f} ms; ")
    for number, (count, what) in enumerate(
        (
            (status.dropped_blocks, "blocks dropped"),
            (status.late_events, "events late"),
            (status.lost_samples, "samples lost"),
        )
    ):
        counts.append(", " if number else "").append(f"{count} {what}", "bold red" if count else "")
    late = 0 < status.realtime_factor < 1
    return [Text(latency), Text(compute, style="bold red" if late else ""), counts]


def _meter(level_db: float, columns: int, plain: bool) -> Text:
    """Returns a level bar: full at 0 dB, empty at FLOOR_DB."""
    share = min(1.0, max(0.0, 1 - level_db / FLOOR_DB))
    full = round(share * columns)
    loud = max(0, full - round((1 - LOUD_DB / FLOOR_DB) * columns))
    bar, rest = ("#", "-") if plain else ("█", "░")
    meter = Text().append(bar * (full - loud), "green").append(bar * loud, "yellow")
    return meter.append(rest * (columns - full), Style(dim=True))


def _faults(status: Status, count: int) -> list[Text]:
    """Returns the last faults, filled up to ``count`` lines so that nothing jumps."""
    lines = [Text(f" ! {fault}", style="red") for fault in status.faults[-count:]]
    return lines + [Text() for _ in range(count - len(lines))]


def _centred(line: Text, columns: int) -> Text:
    line.pad_left(max(0, (columns - line.cell_len) // 2))
    return line


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def status_line(status: Status) -> str:
    """The status in one line of ASCII, for logs."""
    words = [
        _clock(status.running_s),
        "asleep" if status.asleep else f"{status.level_db:.0f} dB",
        f"{status.notes} note{'' if status.notes == 1 else 's'}",
        f"latency {status.latency_ms[0]:.0f} ms median, {status.latency_ms[1]:.0f} ms p99",
        f"{status.realtime_factor:.1f} x real time",
    ]
    if status.backlog_ms >= 100:
        words.append(f"{status.backlog_ms:.0f} ms backlog")
    return "; ".join(words + troubles(status))
