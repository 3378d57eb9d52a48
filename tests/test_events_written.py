"""``hppnet transcribe --format jsonl``: an event a line, when it was known, in files and through pipes."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import event_lines
from hppnet.model.event_lines import EventLines
from hppnet.model.notes import Event, NoteOff, NoteOn, Pedal, notes_from
from hppnet.model.timebase import FRAME_S
from hppnet.model.transcriber import Transcriber
from hppnet.offline.executors.batched_worker import BatchedWorker
from hppnet.offline.executors.executor import OneProcess
from hppnet.offline.jobs import Job
from hppnet.offline.provenance import is_whole, origin_of
from hppnet.offline.settings import Settings, load_transcriber

from . import children
from .sounds import TONE_WEIGHTS, three_notes

ONE_SAMPLE_S = 1 / 16_000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", three_notes(), 16_000)
    return tmp_path


def run(*arguments: str) -> Result:
    command = ["transcribe", "a.wav", "--checkpoint", str(TONE_WEIGHTS), "--jobs", "1", *arguments]
    return CliRunner().invoke(app, command)


def parsed(text: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows and all(row["v"] == 1 for row in rows)
    return rows


def decided(
    transcriber: Transcriber, blocks: list[np.ndarray], rate: int
) -> list[tuple[Event, float, float]]:
    """(event, when it was known, seconds of sound that had been fed when it came)."""
    stream = transcriber.stream(92, rate)
    told: list[tuple[Event, float, float]] = []
    fed_s = 0.0
    stream.watch_events = lambda events, at_s: told.extend((event, at_s or 0.0, fed_s) for event in events)
    given = []
    for block in blocks:
        fed_s += len(block) / rate
        given += stream.feed(block)
    given += stream.flush()
    assert [event for event, _, _ in told] == given
    return told


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_stream_decides_when_the_sound_up_to_then_has_come(transcriber: Transcriber, rate: int) -> None:
    clip, block = three_notes(rate), round(FRAME_S * rate / 4)
    blocks = np.split(clip, range(block, len(clip), block))
    small = decided(transcriber, blocks, rate)
    assert len(notes_from(event for event, _, _ in small)) == 3
    before_the_end = [one for one in small if one[2] < len(clip) / rate]
    assert len(before_the_end) >= 5
    for event, at_s, fed_s in before_the_end:
        # With another block less it was not known. The resampler delays by less than it promises at most.
        assert at_s - 0.001 <= fed_s <= at_s + block / rate + ONE_SAMPLE_S, event
    assert all(at_s <= len(clip) / rate + ONE_SAMPLE_S for _, at_s, _ in small)
    whole = decided(transcriber, [clip], rate)
    assert [at_s for _, at_s, _ in whole] == [at_s for _, at_s, _ in small]


def test_lines_hold_the_notes_of_the_other_formats(here: Path) -> None:
    assert run("--format", "jsonl,csv").exit_code == 0
    begin, *events, end = parsed(Path("a.jsonl").read_text())
    assert begin["type"] == "begin" and begin["source"] == "a.wav"
    assert begin["settings"]["context"] == "full" and begin["origin"]["input"] == "a.wav"
    with open("a.csv", newline="") as file:
        notes = list(csv.DictReader(file))
    ons = [event for event in events if event["type"] == "note_on"]
    rows = sorted((on["time_s"], on["pitch"], on["velocity"]) for on in ons)
    assert rows == [(float(n["onset_s"]), int(n["pitch"]), int(n["velocity"])) for n in notes]
    offs = sorted(event["time_s"] for event in events if event["type"] == "note_off")
    assert offs == sorted(float(note["offset_s"]) for note in notes)
    assert {event["decided_s"] for event in events} == {None}
    assert (end["type"], end["notes"], end["time_s"]) == ("end", 3, pytest.approx(1.5, abs=FRAME_S))


def test_streaming_says_when_each_event_was_known(here: Path) -> None:
    assert run("--streaming", "--latency", "92", "--format", "jsonl").exit_code == 0
    text = Path("a.jsonl").read_text()
    begin, *events, _ = parsed(text)
    assert begin["settings"]["latency_ms"] == 92
    ons = [event for event in events if event["type"] == "note_on"]
    assert len(ons) == 3
    for on in ons:  # an onset lies within half a frame of the centre of its frame
        assert on["decided_s"] - on["time_s"] == pytest.approx(0.092, abs=FRAME_S / 2 + 1e-6)
    at = [event["decided_s"] for event in events]
    assert at == sorted(at)
    piped = run("--streaming", "--latency", "92", "--format", "jsonl", "-o", "-")
    assert piped.stdout == text and "3 notes" in piped.stderr


def test_recordings_in_one_batch_give_the_same_lines(here: Path) -> None:
    settings = Settings(str(TONE_WEIGHTS), "cpu", batch=2)
    alone, batched = (Job(Path("a.wav"), {"jsonl": Path(name, "a.jsonl")}) for name in ("x", "y"))
    list(OneProcess().run([alone], settings, lambda *_: None))
    model = BatchedWorker(load_transcriber(settings), settings.batch)
    list(model.run([batched], settings, lambda *_: None))
    one, other = (parsed(Path(name, "a.jsonl").read_text()) for name in "xy")
    assert len(one) > 6
    assert [(row["type"], row.get("pitch")) for row in one] == [
        (row["type"], row.get("pitch")) for row in other
    ]


def test_what_was_written_is_known_again_and_what_broke_is_done_again(here: Path) -> None:
    arguments = ("--format", "jsonl", "--skip-existing")
    assert run(*arguments).exit_code == 0
    path = Path("a.jsonl")
    text, origin = path.read_text(), origin_of(path)
    assert origin is not None and origin.input == "a.wav" and is_whole(path, 3)
    assert "1 skipped" in run(*arguments).stdout
    lines = text.splitlines(keepends=True)
    for broken in (lines[:-1], lines[:2] + lines[3:], [*lines[:-1], lines[-1][:-1]]):
        path.write_text("".join(broken))
        assert not is_whole(path, None)
        assert "1 skipped" not in run(*arguments).stdout and path.read_text() == text
    assert "1 skipped" not in run("--format", "jsonl", "--skip-existing", "--streaming").stdout


@pytest.mark.parametrize("theirs", ['{"v": 1, "type": "begin", "source": "USB"}\n', '{"event": "mine"}\n'])
def test_a_live_take_and_the_files_of_others_stay(here: Path, theirs: str) -> None:
    Path("a.jsonl").write_text(theirs)
    result = run("--format", "jsonl")
    assert result.exit_code == 1 and "not written by hppnet" in result.stderr
    assert Path("a.jsonl").read_text() == theirs
    assert run("--format", "jsonl", "--force").exit_code == 0


def test_lines_leave_as_they_are_known(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording that cannot be read to its end has given the events before that, and no last line."""

    def cut_short(self: Any, block: np.ndarray) -> list[Event]:
        if self.fed:
            raise RuntimeError("the disk is gone")
        self.fed = True
        return feed(self, block)

    from hppnet.model.stream import Stream

    feed = Stream.feed
    monkeypatch.setattr(Stream, "feed", cut_short)
    monkeypatch.setattr(Stream, "fed", False, raising=False)
    soundfile.write("a.wav", np.concatenate([three_notes()] * 30), 16_000)  # more than one block
    result = run("--streaming", "--format", "jsonl", "-o", "-")
    begin, *events = parsed(result.stdout)
    assert result.exit_code == 1 and "the disk is gone" in result.stderr
    assert begin["type"] == "begin" and len(events) > 3 and events[-1]["type"] != "end"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes as on Unix")
def test_a_reader_that_closes_the_pipe_ends_it_without_a_word(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with children.no_reader(monkeypatch), pytest.raises(SystemExit) as ended:
        app(["transcribe", "a.wav", "--checkpoint", str(TONE_WEIGHTS), "--format", "jsonl", "-o", "-"])
    assert ended.value.code == 1 and capsys.readouterr().err == ""


def test_the_page_shows_the_fields_that_are_written(here: Path) -> None:
    page = Path(event_lines.__file__).with_name("EVENTS.md")
    if not page.exists():  # only the package is installed
        page = Path(__file__).parents[1] / "model" / "EVENTS.md"
    (block,) = re.findall(r"```json\n(.*?)```", page.read_text(), flags=re.DOTALL)
    shown = {row["type"]: list(row) for row in parsed(block)}
    written: list[str] = []
    lines = EventLines(written.append, {key: "" for key in shown["begin"][2:]})
    lines.add([NoteOn(1, 60, 64), Pedal(1, True), NoteOff(2, 60)], 2.1)
    lines.end(3)
    rows = parsed("".join(written))
    assert {row["type"]: list(row) for row in rows} == shown
