"""The server over true sockets: what those who behave get, and what the others cost them."""

from __future__ import annotations

import json
import os
import re
import socket as sockets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from hppnet.model.notes import Event, NoteOn, notes_from, presses_from
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.web.app import create_app
from hppnet.realtime.web.protocol import Limits

from . import children
from .pedal_parts import with_moving_pedal
from .sounds import three_notes
from .web_server import Running, events_of, greeted, hello, play, send_sound, serving

#: Patient: on a busy machine a client says hello late.
SMALL = Limits(streams=3, waiting=4, hello_s=30.0, idle_s=30.0, unread=64, messages_per_s=400)
HASTY = replace(SMALL, hello_s=1.0, idle_s=1.5)


@pytest.fixture(scope="module")
def running(transcriber: Transcriber) -> Iterator[Running]:
    with serving(transcriber, SMALL) as found:
        yield found


def closed(url: str, *messages: str | bytes, first: str | None = None) -> ConnectionClosed:
    """How the server ends a connection that sends these."""
    with connect(url, max_queue=None) as socket:
        try:
            if first is not None:
                socket.send(first)
            for message in messages:
                socket.send(message)
            while True:
                socket.recv(timeout=children.PATIENCE_S)
        except ConnectionClosed as end:
            return end


def notes_by(url: str, mode: str = "file") -> list[tuple[int, float, float]]:
    with greeted(url, mode=mode) as socket:
        events = play(socket, three_notes()) if mode == "live" else send_sound(socket, three_notes()) or []
        socket.send('{"type": "end"}')
        return rounded(events + events_of(socket))


def rounded(events: list[Event]) -> list[tuple[int, float, float]]:
    return [(n.pitch, round(n.onset_s, 3), round(n.offset_s, 3)) for n in notes_from(events)]


def expected(transcriber: Transcriber) -> list[tuple[int, float, float]]:
    notes = transcriber.transcribe(three_notes(), 16_000, latency_ms=132)
    return [(n.pitch, round(n.onset_s, 3), round(n.offset_s, 3)) for n in notes]


# --- those who behave ---


@pytest.mark.parametrize("mode", ["live", "file"])
def test_notes_are_those_of_a_streaming_file(running: Running, transcriber: Transcriber, mode: str) -> None:
    assert notes_by(running.stream, mode) == expected(transcriber) != []


@pytest.mark.parametrize("mode", ["live", "file"])
def test_the_pedal_is_sent_to_who_wants_it(transcriber: Transcriber, mode: str) -> None:
    moving = with_moving_pedal(transcriber, three_notes())
    stream = moving.stream(132, 16_000)
    wanted = stream.feed(three_notes()) + stream.flush()
    presses = [(round(p.down_s, 2), round(p.up_s, 2)) for p in presses_from(wanted)]
    assert presses
    with serving(moving, SMALL) as found:
        for more, kept in (({}, presses), ({"pedal": False}, [])):
            with greeted(found.stream, mode=mode, **more) as socket:
                events = (
                    play(socket, three_notes()) if mode == "live" else send_sound(socket, three_notes()) or []
                )
                socket.send('{"type": "end"}')
                events += events_of(socket)
            assert [(round(p.down_s, 2), round(p.up_s, 2)) for p in presses_from(events)] == kept
            assert {60, 64, 67} <= {note.pitch for note in notes_from(events)}


def test_the_hello_is_told_whether_the_pedal_is_heard(transcriber: Transcriber) -> None:
    for model in (with_moving_pedal(transcriber, three_notes()), silent_pedal(transcriber)):
        with serving(model, SMALL) as found, connect(found.stream) as socket:
            socket.send(hello())
            assert json.loads(socket.recv(timeout=children.PATIENCE_S))["pedal"] == model.has_pedal


def silent_pedal(transcriber: Transcriber) -> Transcriber:
    """A checkpoint without the head."""
    return transcriber.without_pedal()


def test_the_client_of_the_protocols_page(running: Running, transcriber: Transcriber, tmp_path: Path) -> None:
    page = Path(create_app.__code__.co_filename).with_name("PROTOCOL.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    soundfile.write(tmp_path / "take.wav", three_notes(48_000), 48_000)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "take.wav"), running.stream],
        capture_output=True,
        text=True,
        timeout=children.PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    assert all(f"'pitch': {pitch}" in done.stdout for pitch in (60, 64, 67)), done.stdout


def test_the_protocols_page_names_all_codes_and_latencies() -> None:
    from hppnet.realtime.web import protocol

    page = Path(protocol.__file__).with_name("PROTOCOL.md").read_text()
    for name in (
        "BAD_MESSAGE",
        "NOT_ALLOWED",
        "IDLE",
        "OTHER_VERSION",
        "TOO_FAST",
        "FULL",
        "NOT_READING",
        "BROKEN",
    ):
        assert f"| {getattr(protocol, name)} |" in page, name
    assert ", ".join(f"{ms}" for ms in protocol.LATENCIES_MS if ms > 132) in page


def test_a_take_goes_on_where_it_was(running: Running) -> None:
    with greeted(running.stream, start_s=100.0) as socket:
        events = play(socket, three_notes())
        socket.send('{"type": "gap", "samples": 32000}')
        events += play(socket, three_notes())
        socket.send('{"type": "end"}')
        events += events_of(socket)
    onsets = [event.time_s for event in events if isinstance(event, NoteOn)]
    near = [100.2, 100.5, 100.8, 103.7, 104.0, 104.3]
    assert all(any(abs(onset - wanted) < 0.05 for onset in onsets) for wanted in near), onsets


def test_sixteen_bits_do(running: Running) -> None:
    with greeted(running.stream, format="s16", mode="file") as socket:
        socket.send((three_notes() * 32_767).astype("<i2").tobytes())
        socket.send('{"type": "end"}')
        assert {60, 64, 67} <= {event.pitch for event in events_of(socket) if isinstance(event, NoteOn)}


def test_a_ping_is_answered(running: Running) -> None:
    with greeted(running.stream) as socket:
        socket.send('{"type": "ping", "id": 41}')
        assert json.loads(socket.recv(timeout=children.PATIENCE_S)) == {"type": "pong", "id": 41}


def test_one_too_many_is_refused_politely_and_a_place_is_free_again(running: Running) -> None:
    with ExitStack() as streams:
        for _ in range(SMALL.streams):
            streams.enter_context(greeted(running.stream))
        end = closed(running.stream, first=hello())
        assert end.rcvd and end.rcvd.code == 4503 and "all 3 streams are in use" in end.rcvd.reason
    with greeted(running.stream):
        pass


def test_the_server_closes_when_it_ends(transcriber: Transcriber) -> None:
    with ExitStack() as streams:
        with serving(transcriber, SMALL) as found:
            socket = streams.enter_context(greeted(found.stream))
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(timeout=children.PATIENCE_S)
    assert end.value.rcvd and end.value.rcvd.code in (1001, 1012)


# --- those who do not ---


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["no hello"], 4400),
        ([b"\0" * 640], 4400),
        ([hello(), hello()], 4400),
        ([hello(), "rubbish"], 4400),
        ([hello(), "x" * 5000], 4400),
        ([hello(), b"abc"], 4400),
        ([hello(), b"\0" * 70_000], 1009),
        ([hello(version=9)], 4426),
        ([hello(sample_rate=4000), *[b"\0" * 16_000] * 9], 4429),  # nine seconds at once
        ([hello(), *['{"type": "ping", "id": 1}'] * 6000], 4429),
    ],
)
def test_who_breaks_the_rules_hears_which(running: Running, messages: list, code: int) -> None:
    end = closed(running.stream, *messages)
    assert end.rcvd is not None and end.rcvd.code == code, end
    assert code == 1009 or end.rcvd.reason


@pytest.mark.parametrize("messages", [[], [hello()]], ids=["nothing", "hello"])
def test_who_says_no_more_hears_it(transcriber: Transcriber, messages: list) -> None:
    with serving(transcriber, HASTY) as found:
        end = closed(found.stream, *messages)
        assert end.rcvd is not None and end.rcvd.code == 4408 and end.rcvd.reason, end


def test_the_others_do_not_notice(running: Running, transcriber: Transcriber) -> None:
    """A stream that goes on while others send rubbish, noise, silence, NaN, or vanish."""
    rng = np.random.default_rng(0)
    nan = np.full(1600, np.nan, dtype="<f4").tobytes()
    with greeted(running.stream) as good:
        events: list[Event] = []
        for part in np.array_split(three_notes(), 6):
            events += play(good, part)
            closed(running.stream, rng.bytes(4 * int(rng.integers(1, 400)) + 1), first=hello())
            with greeted(running.stream) as other:
                other.send(nan)
                other.send(np.full(1600, 1e38, dtype="<f4").tobytes())
            vanish(running)
        good.send('{"type": "end"}')
        assert rounded(events + events_of(good)) == expected(transcriber)


def vanish(running: Running) -> None:
    """A reset, without a word."""
    raw = shaken(running)
    raw.sendall(frame(hello()))
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    raw.close()


@pytest.mark.slow
def test_who_stops_reading_is_cut_off(transcriber: Transcriber) -> None:
    with serving(transcriber, replace(SMALL, streams=1, messages_per_s=1e6, idle_s=600)) as found:
        raw = shaken(found)
        ping = frame('{"type": "ping", "id": 9007199254740991}')
        raw.sendall(frame(hello()))
        with pytest.raises(ConnectionError):  # cut off: no more can be sent
            raw.settimeout(children.PATIENCE_S)
            for _ in range(1_000_000):
                raw.sendall(ping * 100)
        raw.close()
        wait_for(lambda: notes_by(found.stream) == expected(transcriber))  # the only place is free again


def shaken(running: Running) -> sockets.socket:
    """A WebSocket without a library: nobody reads what comes."""
    raw = sockets.create_connection(("127.0.0.1", running.port))
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    raw.sendall(
        f"GET /stream HTTP/1.1\r\nHost: localhost:{running.port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert b" 101 " in raw.recv(1024)
    return raw


def frame(text: str) -> bytes:
    """A masked text frame of fewer than 126 bytes."""
    data = text.encode()
    return bytes([0x81, 0x80 | len(data), 0, 0, 0, 0]) + data


def wait_for(found: Callable[[], bool], seconds: float = children.PATIENCE_S) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        try:
            if found():
                return
        except ConnectionClosed:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not come")


# --- who may come at all ---


def test_a_token_is_asked_for(transcriber: Transcriber) -> None:
    with pytest.raises(ValueError, match="token"):
        create_app(transcriber, anywhere=True)
    with serving(transcriber, SMALL, token="correct horse", anywhere=True) as found:
        for wrong in ({}, {"token": "wrong"}, {"token": "correct hors\u00e9"}, {"token": "\ud800"}):
            end = closed(found.stream, first=hello(**wrong))
            assert end.rcvd and end.rcvd.code == 4401
        with greeted(found.stream, token="correct horse"):
            pass


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://localhost:1", "null", "http://localhost.evil.example", "http://["],
)
def test_pages_of_other_origins_may_not_connect(running: Running, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(running.stream, origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_may(running: Running) -> None:
    with connect(running.stream, origin=f"http://localhost:{running.port}") as socket:
        socket.send(hello())
        assert json.loads(socket.recv(timeout=children.PATIENCE_S))["type"] == "ready"


def test_a_strangers_name_for_this_machine_is_refused(running: Running) -> None:
    """DNS rebinding: a name that leads to 127.0.0.1."""
    request = urllib.request.Request(running.page, headers={"Host": f"evil.example:{running.port}"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403


def test_the_page_asks_nobody_else(running: Running) -> None:
    with urllib.request.urlopen(running.page) as answer:
        text = answer.read().decode()
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    folder = Path(create_app.__code__.co_filename).with_name("page")
    texts = [text, *(file.read_text() for file in folder.rglob("*.*") if file.suffix != ".png")]
    for found in texts:
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)\w", found.replace("https://localhost", ""))
        assert "innerHTML" not in found and "eval(" not in found


@pytest.mark.parametrize("path", ["page/../server.py", "page/%2e%2e/server.py", "server.py", "page/", "docs"])
def test_nothing_else_is_served(running: Running, path: str) -> None:
    with sockets.create_connection(("127.0.0.1", running.port), timeout=children.PATIENCE_S) as raw:
        raw.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] in (b"404", b"400")


def test_a_crowd_that_says_nothing_leaves_room(running: Running) -> None:
    with ExitStack() as crowd, pytest.raises(InvalidStatus) as refused:
        for _ in range(SMALL.streams + SMALL.waiting + 1):
            crowd.enter_context(connect(running.stream))
    assert refused.value.response.status_code == 503
    wait_for(lambda: bool(notes_by(running.stream)))


# --- the whole of it ---


def test_wrong_messages_leave_no_trace(transcriber: Transcriber) -> None:
    """Requests of all kinds, from many connections; afterwards everything is as it was."""
    rng = np.random.default_rng(1)
    with serving(transcriber, replace(SMALL, messages_per_s=1e6)) as found:
        with greeted(found.stream) as good:
            sizes_mib = [memory_mib(found.pid)]
            while not settled(sizes_mib):
                assert len(sizes_mib) < 40, f"memory grows without end: {sizes_mib}"
                for _ in range(80):
                    misbehave(found.stream, rng)
                sizes_mib.append(memory_mib(found.pid))
                send_sound(good, np.zeros(160, dtype=np.float32))
            good.send('{"type": "end"}')
            assert events_of(good) == []
        assert notes_by(found.stream) == expected(transcriber)


def settled(sizes_mib: list[float]) -> bool:
    """Whether the last five rounds took less than half of what a leak of 3 KB a connection takes.

    Caches that fill are steps, which come when the machine has time for them; a leak never ends.
    """
    return len(sizes_mib) > 5 and sizes_mib[-1] - sizes_mib[-6] < 0.5 * 5 * 80 * 3 / 1024


def memory_mib(pid: int) -> float:
    """Resident, where the system tells; 0 elsewhere."""
    statm = Path(f"/proc/{pid}/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if statm.exists() else 0.0


def misbehave(url: str, rng: np.random.Generator) -> None:
    """One connection that sends some wrong messages, all at once."""
    with connect(url, max_queue=None) as socket:
        try:
            if rng.random() < 0.7:
                socket.send(hello(sample_rate=int(rng.choice([4000, 16_000, 44_100, 192_000]))))
            for _ in range(5):
                kind = int(rng.integers(4))
                text = "".join(chr(c) for c in rng.integers(32, 0x2FF, rng.integers(0, 200)))
                if kind == 0:
                    socket.send(text)
                elif kind == 1:
                    socket.send(json.dumps({"type": str(rng.choice(["gap", "ping", "x"])), "id": text}))
                elif kind == 2:
                    socket.send(rng.bytes(int(rng.integers(0, 3000)) * 4 + 1))
                else:
                    socket.send(np.full(40, rng.choice([np.nan, np.inf, 1e30]), dtype="<f4").tobytes())
            socket.send("}")  # the others may have been sound, if a poor one
            while True:
                socket.recv(timeout=children.PATIENCE_S)
        except ConnectionClosed as end:
            assert end.rcvd is not None and end.rcvd.code == 4400, end
