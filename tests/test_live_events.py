"""``hppnet live --events``: what the port is sent, as lines of JSON, as soon as it is known."""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.notes import NoteOff, NoteOn, Pedal
from hppnet.realtime import event_output
from hppnet.realtime.event_output import EventOutput, open_events

from . import children
from .children import wait_until
from .live_fakes import FakeModel
from .sounds import TONE_WEIGHTS, three_notes
from .test_live_session import Rig

POSIX = pytest.mark.skipif(os.name == "nt", reason="pipes as on Unix")


class Kept(io.RawIOBase):
    """Keeps what is written, a few bytes at a time; ``before`` each time may block or raise."""

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.text, self.before = "", before

    def write(self, data: Any) -> int:
        self.before()
        self.text += bytes(data[:10]).decode()
        return min(10, len(data))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def test_lines_say_what_the_port_is_sent() -> None:
    rig = Rig(FakeModel(pedal=True), transpose=12)
    out = Kept()
    rig.session.events = EventOutput(out, {"source": "fake"})
    rig.play(3)
    rig.assert_silent()
    begin, *events, end = out.rows
    assert begin == {"v": 1, "type": "begin", "source": "fake"}
    ons = [(e["pitch"], e["velocity"]) for e in events if e["type"] == "note_on"]
    assert ons[: rig.onsets] == [(m[1], m[2]) for m in rig.messages if m[0] == 0x90] and len(ons) >= 12
    assert end["type"] == "end" and end["notes"] == len(ons)
    assert {e["down"] for e in events if e["type"] == "pedal"} == {True, False}
    assert all(0 <= e["decided_s"] - e["time_s"] < 0.3 for e in events)
    assert [e["decided_s"] for e in events] == sorted(e["decided_s"] for e in events)
    down: set[int] = set()
    for event in events:  # each key that goes down comes up
        if event["type"] == "note_on":
            down.add(event["pitch"])
        elif event["type"] == "note_off":
            down.remove(event["pitch"])
    assert not down


def test_a_session_that_heard_nothing_ends_at_its_beginning() -> None:
    rig, out = Rig(), Kept()
    rig.session.events = EventOutput(out, {})
    rig.session.stop()
    assert out.rows[-1]["type"] == "end" and out.rows[-1]["time_s"] < 1


def test_a_reader_that_does_not_read_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_output, "MOST_QUEUED", 3)
    reads = threading.Event()
    out, lines = Kept(reads.wait), list[str]()
    events = EventOutput(out, {}, report=lines.append)
    for number in range(20):
        events.put([NoteOn(number, 60, 64)], number)
    reads.set()
    wait_until(lambda: out.text.count("note_on") >= 3 and events._queue.empty(), "what was kept")
    events.put([NoteOff(20, 60), Pedal(20, False)], 20)
    events.close(21)
    assert [row["type"] for row in out.rows][-4:] == ["lost", "note_off", "pedal", "end"]
    assert out.rows[-4]["time_s"] == 19 and len(lines) == 1 and "reader is too slow" in lines[0]


def test_what_was_left_out_last_is_told_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_output, "MOST_QUEUED", 3)
    reads = threading.Event()
    out = Kept(reads.wait)
    events = EventOutput(out, {})
    for number in range(20):
        events.put([NoteOn(number, 60, 64)], number)
    monkeypatch.setattr(events._thread, "join", lambda timeout: None)
    events.close(21)
    reads.set()
    wait_until(lambda: out.closed, "the end of the output")
    assert [row["type"] for row in out.rows][-2:] == ["lost", "end"] and out.rows[-2]["time_s"] == 19


def test_a_session_that_ends_before_any_sound_came_was_short() -> None:
    rig = Rig()
    out = Kept()
    rig.session.events = EventOutput(out, {})
    rig.session.stop()
    assert 0 <= out.rows[-1]["time_s"] < 1


def test_a_full_disk_is_told_once_and_the_session_goes_on() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    lines: list[str] = []
    events = EventOutput(Kept(full), {}, report=lines.append)
    wait_until(lambda: lines, "the line")
    events.put([NoteOn(1, 60, 64)], 1)
    events.close(2)
    assert len(lines) == 1 and "No space left" in lines[0] and not events.reader_gone
    assert events.fault == "events: no longer written (No space left on device)"


def test_no_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    out, path = open_events(tmp_path / "a.jsonl")
    out.close()
    assert path.name == "a-2.jsonl" and (tmp_path / "a.jsonl").read_text() == "mine"


@POSIX
def test_a_pipe_is_written_to_and_its_end_is_noticed_in_silence(tmp_path: Path) -> None:
    pipe = tmp_path / "events"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="start its reader first"):
        open_events(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    out, path = open_events(pipe)
    gone = threading.Event()
    events = EventOutput(out, {"source": "fake"}, gone.set)
    assert path == pipe
    wait_until(lambda: b"begin" in (_read(reading) or b""), "the first line")
    os.close(reading)
    wait_until(gone.is_set, "the end of the reader")
    events.close(1)
    assert events.reader_gone


def _read(file: int) -> bytes:
    try:
        return os.read(file, 1000)
    except BlockingIOError:
        return b""


def arguments(folder: Path, events: str) -> list[str]:
    soundfile.write(folder / "a.wav", three_notes(), 16_000)
    sound = ["--from-file", str(folder / "a.wav"), "--output", "none", "--checkpoint", str(TONE_WEIGHTS)]
    return ["live", *sound, "--events", events]


def test_standard_output_holds_events_and_nothing_else(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, arguments(tmp_path, "-"))
    assert result.exit_code == 0, result.output
    begin, *events, end = [json.loads(line) for line in result.stdout.splitlines()]
    assert begin["sample_rate"] == 16_000 and begin["checkpoint"].startswith("tones")
    assert sum(event["type"] == "note_on" for event in events) == end["notes"] >= 3
    assert result.stderr.startswith("input ") and "ended after" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk as Linux makes one")
def test_events_that_could_not_be_written_are_told_at_the_end(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*arguments(tmp_path, "/dev/full"), "-q"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: events: no longer written (No space left on device)"


@POSIX
def test_a_reader_that_goes_ends_the_command_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with children.no_reader(monkeypatch), pytest.raises(SystemExit) as ended:
        app([*arguments(tmp_path, "-"), "-q"])
    assert ended.value.code == 1 and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("a.mid", 2, "ends in .jsonl"), ("x.jsonl", 1, "cannot write")]
)
def test_a_name_that_cannot_be_written(tmp_path: Path, name: str, code: int, said: str) -> None:
    if code == 1:
        (tmp_path / name).symlink_to(tmp_path / "nowhere" / "else.jsonl")
    result = CliRunner().invoke(app, arguments(tmp_path, str(tmp_path / name)))
    assert result.exit_code == code and said in " ".join(result.stderr.split()), result.output
