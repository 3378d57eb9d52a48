"""The live view: what stands on the screen, on every size of it, and the line for logs."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from hppnet.model.timebase import KEYS
from hppnet.realtime.status import RecentNote, Status
from hppnet.realtime.view import LiveView, Picture, status_line
from hppnet.realtime.view_roll import ATTACK, QUARTERS, is_black, keyboard, lanes_for, level, roll

PLAYING = Status(
    running_s=3_661.0,
    level_db=-14.2,
    realtime_factor=5.3,
    compute_ms=(3.8, 6.2),
    latency_ms=(146.0, 151.0),
    algorithmic_latency_ms=132.0,
    total_latency_ms=147.0,
    backlog_ms=5.0,
    dropped_blocks=7,
    late_events=2,
    lost_samples=512,
    notes=1234,
    faults=("older", "MIDI port 'synth' is gone; next try in 2 s"),
    sounding=frozenset({60, 61}),
    recent=(RecentNote(8.0, 8.5, 72, 100), RecentNote(9.5, None, 60, 40), RecentNote(9.8, None, 61, 90)),
    now_s=10.0,
)


def screen(status: Status, width: int = 80, height: int = 24, **settings) -> list[str]:
    """The text of one drawing, line by line, without trailing blanks."""
    settings = {"force_terminal": True, "color_system": "truecolor", **settings}
    console = Console(width=width, height=height, file=io.StringIO(), record=True, **settings)
    picture = Picture(("input: system", "port: synth"))
    picture.status = status
    console.print(picture, end="")
    return console.export_text().split("\n")


@pytest.mark.parametrize(
    ("width", "height"), [(80, 24), (200, 60), (52, 16), (40, 12), (20, 5), (10, 2), (300, 20)]
)
@pytest.mark.parametrize("colours", ["truecolor", None])
def test_it_fits_the_terminal(width: int, height: int, colours: str | None) -> None:
    lines = screen(PLAYING, width, height, color_system=colours)
    assert len(lines) == height
    assert max(map(len, lines)) <= width


def test_all_figures_are_there_at_80_by_24() -> None:
    text = "\n".join(screen(PLAYING))
    for figure in ("1:01:01", "1234 notes", "-14 dB", "146 ms median, 151 ms p99", "147 ms planned"):
        assert figure in text
    for figure in ("5.3 × real time", "7 blocks dropped", "2 events late", "512 samples lost", "3.8 ms"):
        assert figure in text
    for line in ("input: system", "port: synth", "! MIDI port 'synth' is gone"):
        assert line in text
    assert "older" not in text  # one line for faults; more where there is room
    assert "older" in "\n".join(screen(PLAYING, height=40))


@pytest.mark.parametrize("height", [24, 50])
def test_nothing_jumps_when_a_fault_comes(height: int) -> None:
    calm, faulty = (screen(replace(PLAYING, faults=f), height=height) for f in ((), ("gone",)))
    assert sum(a != b for a, b in zip(calm, faulty, strict=True)) == 1


@pytest.mark.parametrize(
    ("columns", "plain"), [(52, False), (80, False), (120, False), (260, False), (80, True)]
)
def test_every_key_has_its_place_and_stays_visible(columns: int, plain: bool) -> None:
    lanes = lanes_for(columns, plain)
    assert lanes is not None and lanes.columns <= columns
    owner = np.full(lanes.columns * (1 if plain else 2), -1)
    for black in (False, True):
        for key in range(KEYS):
            if is_black(key) == black and not (plain and black):  # plain: sharps share a cell
                owner[lanes.first[key] : lanes.first[key] + lanes.width[key]] = key
    visible = set(owner) - {-1}
    assert visible == {key for key in range(KEYS) if not (plain and is_black(key))}
    assert (np.diff(lanes.first) >= 0).all() if plain else (np.diff(lanes.first) > 0).all()


def test_too_narrow_for_a_keyboard() -> None:
    assert lanes_for(51, plain=False) is None and lanes_for(51, plain=True) is None
    assert "1:01:01" in screen(PLAYING, width=40)[0]


def test_what_sounds_glows_on_the_keyboard() -> None:
    lanes = lanes_for(80, plain=False)
    silent, playing = keyboard({}, lanes), keyboard({60: 100}, lanes)
    assert len(silent) == len(playing) == 3
    assert [line.spans for line in silent] != [line.spans for line in playing]
    plain = keyboard({60: 100, 61: 100}, lanes_for(52, plain=True))
    assert [line.plain.count("@") for line in plain] == [1, 1]
    middle_c = sum(not is_black(key) for key in range(60 - 21))
    assert plain[1].plain[middle_c] == "@" and plain[0].plain[middle_c] == "@"  # a sharp: over its C


def test_the_roll_stands_above_the_keys_with_the_newest_at_the_bottom() -> None:
    lanes = lanes_for(80, plain=False)
    rows = roll([RecentNote(9.5, None, 60, 40)], 10.0, lanes, 10)
    column = lanes.first[60 - 21] // 2
    drawn = [row.plain[column] in QUARTERS[1:] for row in rows]
    assert drawn == [False] * 8 + [True] * 2  # half a second of three, on ten rows
    assert all(set(row.plain[column + 2 :]) <= {" ", "▏"} for row in rows)


def test_louder_is_brighter_and_an_onset_stands_out() -> None:
    assert [level(velocity) for velocity in (0, 1, 64, 127)] == [1, 1, 4, 6]
    lanes = lanes_for(52, plain=True)

    def signs(velocity: int) -> str:
        rows = roll([RecentNote(8.0, None, 60, velocity)], 10.0, lanes, 10)
        return "".join(row.plain.strip() for row in rows)

    assert set(signs(10)) == {"."} and set(signs(60)) == {"o"} and set(signs(127)) == {"O"}
    assert 1 + level(127) == ATTACK


def test_a_key_struck_again_shows_both_strokes() -> None:
    lanes = lanes_for(80, plain=False)
    again = roll([RecentNote(8.0, 9.0, 60, 90), RecentNote(9.0, None, 60, 90)], 10.0, lanes, 14)
    once = roll([RecentNote(8.0, None, 60, 90)], 10.0, lanes, 14)
    assert [row.plain for row in again] == [row.plain for row in once]
    assert [row.spans for row in again] != [row.spans for row in once]


def test_notes_outside_the_window_or_the_keyboard_are_left_out() -> None:
    notes = [RecentNote(1.0, 2.0, 60, 90), RecentNote(11.0, None, 60, 90), RecentNote(9.0, None, 12, 90)]
    for plain in (False, True):
        lanes = lanes_for(80, plain)
        assert [r.plain for r in roll(notes, 10.0, lanes, 8)] == [r.plain for r in roll([], 10.0, lanes, 8)]


@pytest.mark.parametrize("settings", [{"color_system": None}, {"no_color": True}])
def test_without_colour_it_is_ascii(settings: dict) -> None:
    assert "".join(screen(PLAYING, **settings)).isascii()


def test_without_utf8_it_is_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    console = Console(width=80, height=24, file=file, force_terminal=True)
    picture = Picture()
    picture.status = PLAYING
    console.print(picture)
    file.flush()
    assert b"real time" in file.buffer.getvalue()


def test_the_clip_mark_fades_but_the_count_stays() -> None:
    picture = Picture()

    def styles(**changes) -> tuple[str, bool]:
        picture.status = replace(PLAYING, **changes)
        line = picture.lines(80, 24, plain=False)[1]
        return line.plain, any("on red" in str(span.style) for span in line.spans)

    assert "CLIP" not in styles(clipped=0)[0]
    text, bright = styles(clipped=3)
    assert "3 samples" in text and bright
    text, bright = styles(clipped=3, running_s=PLAYING.running_s + 60)
    assert "3 samples" in text and not bright


def test_the_view_draws_at_most_ten_times_a_second() -> None:
    file, now = io.StringIO(), [0.0]
    console = Console(width=80, height=24, file=file, force_terminal=True)
    drawn = 0
    with LiveView(console, clock=lambda: now[0]) as view:
        for _ in range(300):  # three seconds
            before = file.tell()
            view.update(replace(PLAYING, running_s=now[0]))
            drawn += file.tell() > before
            now[0] += 0.01
    assert 20 <= drawn <= 31


def test_the_terminal_is_given_back_after_an_exception() -> None:
    file = io.StringIO()
    console = Console(width=80, height=24, file=file, force_terminal=True)
    with pytest.raises(RuntimeError), LiveView(console) as view:
        view.update(PLAYING)
        raise RuntimeError
    assert file.getvalue().rindex("\x1b[?1049l") > file.getvalue().rindex("\x1b[?1049h")
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")


def test_the_line_for_logs() -> None:
    line = status_line(PLAYING)
    assert line.isascii() and "\n" not in line
    assert line.startswith("1:01:01; -14 dB; 1234 notes; latency 146 ms median, 151 ms p99")
    assert "7 blocks dropped; 2 events late; 512 samples lost" in line
    assert status_line(Status(gaps=2, left_out=3)).endswith("2 gaps in the sound; 3 notes left out")
    quiet = status_line(Status(asleep=True, running_s=5))
    assert quiet.startswith("0:00:05; asleep; 0 notes") and "dropped" not in quiet
