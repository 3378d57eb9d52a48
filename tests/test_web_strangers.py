"""Clients of the server that nobody meant: odd rates, silence, half messages, other names of this machine."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket as sockets
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState
from websockets.exceptions import ConnectionClosed

from hppnet.model.frames import HIGHEST_RATE, LOWEST_RATE
from hppnet.model.shared_stream import step_together
from hppnet.model.timebase import FRAME_S
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.inputs import joined
from hppnet.realtime.web.app import create_app
from hppnet.realtime.web.hub import STEP_S, Hub, StreamProgress
from hppnet.realtime.web.protocol import Hello, Limits
from hppnet.realtime.web.server import StreamProtocol, make_server

from .web_server import Running, greeted, hello, serving

RATE, FRAME = 48_000, 960
#: Patient with who says hello late on a busy machine, and not with who sends no sound or asks for nothing.
LIMITS = Limits(streams=2, waiting=4, hello_s=30.0, idle_s=2.0)
HASTY = replace(LIMITS, hello_s=1.0)


@pytest.fixture(scope="module")
def tiny(small: Path) -> Transcriber:
    return Transcriber.load(small, device="cpu")


@pytest.fixture(scope="module")
def running(tiny: Transcriber) -> Iterator[Running]:
    with serving(tiny, LIMITS) as found:
        yield found


def until(found: Callable[[], bool], seconds: float = 30) -> None:
    end_s = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.05)


@settings(max_examples=100)
@given(
    rate=st.integers(LOWEST_RATE, HIGHEST_RATE),
    messages=st.lists(st.integers(0, 16_000), max_size=4),
    mode=st.sampled_from(["live", "file"]),
)
def test_every_turn_takes_sound_at_any_rate(idle_hub: Hub, rate: int, messages: list[int], mode: str) -> None:
    """A turn that took none would be followed by the next at once, for ever."""
    slot = idle_hub.take_slot(Hello(rate, mode=mode), lambda progress: None)
    try:
        for count in messages:
            idle_hub.add(slot, np.zeros(count, dtype=np.float32))
        while slot.blocks:
            before = len(slot.blocks)
            taken = idle_hub._next_of(slot)
            assert len(slot.blocks) < before
            assert 0 < sum(block.duration_s for block in taken) <= STEP_S + 1e-9
    finally:
        idle_hub.leave(slot)


def test_a_thread_takes_the_connection_that_has_waited_longest_and_no_other_thread_takes_it(
    idle_hub: Hub,
) -> None:
    slots = [idle_hub.take_slot(Hello(RATE), lambda progress: None) for _ in range(2)]
    try:
        for slot in reversed(slots):
            idle_hub.add(slot, np.zeros(RATE // 10, dtype=np.float32))
        for expected in ([slots[1]], [slots[0]], []):
            assert [slot for slot, _, _ in idle_hub._work()] == expected
            idle_hub.add(slots[1], np.zeros(RATE // 10, dtype=np.float32))
    finally:
        for slot in slots:
            idle_hub.leave(slot)


@pytest.mark.parametrize("block", [160, 512])
def test_sound_waits_until_it_completes_a_frame(idle_hub: Hub, block: int) -> None:
    slot = idle_hub.take_slot(Hello(RATE), lambda progress: None)
    try:
        idle_hub.add(slot, np.zeros(2 * FRAME, dtype=np.float32))
        ((_, blocks, _),) = idle_hub._work()
        slot.decoder.feed(blocks[0])
        step_together([slot.decoder.shared])
        slot.busy = False
        while not slot.ready:
            assert slot.waiting_s < FRAME_S
            idle_hub.add(slot, np.zeros(block, dtype=np.float32))
        assert slot.waiting_s < FRAME_S + block / RATE
        ((_, blocks, _),) = idle_hub._work()
        for each in joined(blocks):
            slot.decoder.feed(each)
        assert slot.decoder.shared.waiting_frames == 1
    finally:
        idle_hub.leave(slot)


def test_a_gap_is_not_sound_that_waits(idle_hub: Hub) -> None:
    slot = idle_hub.take_slot(Hello(RATE), lambda progress: None)
    try:
        for _ in range(40):
            idle_hub.add(slot, np.zeros(RATE // 100, dtype=np.float32))
        idle_hub.skip(slot, 10 * RATE)
        idle_hub.add(slot, np.zeros(RATE // 100, dtype=np.float32))
        assert slot.waiting_s == pytest.approx(0.41)
        taken = [block for _ in range(3) for block in idle_hub._next_of(slot)]
        assert len(taken) == 41 and slot.dropped_blocks == 0 and slot.waiting_s == 0
        assert taken[-1].time_s == pytest.approx(10.4)
    finally:
        idle_hub.leave(slot)


def test_a_gap_is_told_as_no_backlog(idle_hub: Hub) -> None:
    reported: list[StreamProgress | Exception] = []
    slot = idle_hub.take_slot(Hello(RATE), reported.append)
    try:
        for _ in range(2):
            idle_hub.add(slot, np.zeros(RATE // 10, dtype=np.float32))
            idle_hub.skip(slot, 30 * RATE)
        idle_hub._compute(idle_hub._work())
        (progress,) = reported
        assert isinstance(progress, StreamProgress) and progress.backlog_s == pytest.approx(0.2)
    finally:
        idle_hub.leave(slot)


def test_a_stream_that_fails_is_logged_and_loses_its_place(
    idle_hub: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[object] = []
    slot = idle_hub.take_slot(Hello(RATE), reported.append)
    error = RuntimeError("no more memory")
    monkeypatch.setattr(slot.decoder, "feed", lambda block: (_ for _ in ()).throw(error))
    idle_hub.add(slot, np.zeros(RATE // 10, dtype=np.float32))
    idle_hub._compute(idle_hub._work())
    assert reported == [error] and idle_hub._slots == []
    assert [(record.levelname, record.exc_info[1]) for record in caplog.records] == [("ERROR", error)]


@pytest.fixture(scope="module")
def idle_hub(tiny: Transcriber) -> Hub:
    """One whose thread has ended: what comes waits."""
    hub = Hub(tiny)
    hub.close()
    return hub


@pytest.mark.parametrize("rate", [8003, 44_103, 191_999])
def test_odd_rates_come_to_their_end(running: Running, rate: int) -> None:
    with greeted(running.stream, rate, mode="file") as socket:
        for _ in range(6):
            socket.send(np.zeros(12_345, dtype="<f4").tobytes())
        socket.send('{"type": "end"}')
        said = [json.loads(message) for message in socket]
    assert said[-1]["type"] == "done" and said[-1]["time_s"] == pytest.approx(6 * 12_345 / rate, abs=1e-3)


@pytest.mark.parametrize(
    "sound",
    [b"", pytest.param(np.full(160, np.nan, dtype="<f4").tobytes(), marks=pytest.mark.slow)],
    ids=["nothing", "nan"],
)
def test_messages_without_sound_keep_no_place(running: Running, sound: bytes) -> None:
    """NaN is silence, as a microphone may give for a while; no samples at all are no sound."""
    begun_s = time.monotonic()
    with greeted(running.stream) as socket:
        try:
            while time.monotonic() < begun_s + 2 * LIMITS.idle_s:
                socket.send(sound)
                time.sleep(0.05)
            code = None
        except ConnectionClosed as end:
            code = end.rcvd and end.rcvd.code
    assert code == (None if sound else 4408)


def test_as_many_pages_as_streams_load_at_the_same_time(running: Running) -> None:
    with ExitStack() as opened:
        for _ in range(6 * LIMITS.streams):  # as many connections as browsers open for files
            client = opened.enter_context(closing(http.client.HTTPConnection("localhost", running.port)))
            client.request("GET", "/about.json")
            answer = client.getresponse()
            assert answer.read() and answer.status == 200


def test_connections_that_ask_for_nothing_are_cut(tiny: Transcriber) -> None:
    """As many as there are places: whoever comes then is served all the same, after a while."""
    with serving(tiny, HASTY) as running, ExitStack() as opened:
        silent = []
        for begin in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "):
            for _ in range(LIMITS.connections):
                raw = opened.enter_context(sockets.create_connection(("127.0.0.1", running.port)))
                raw.sendall(begin)
                silent.append(raw)
        until(lambda: status_of(running, "localhost") == 200)
        for raw in silent:
            raw.settimeout(30)
            assert ended(raw)


def ended(raw: sockets.socket) -> bool:
    try:
        while raw.recv(1024):
            pass
    except ConnectionResetError:
        pass
    return True


def test_a_pong_behind_sound_that_is_not_read_yet_is_waited_for(tiny: Transcriber) -> None:
    config = make_server(create_app(tiny, LIMITS), LIMITS).config
    config.load()
    protocol = StreamProtocol(config, ServerState(), {}, asyncio.new_event_loop())
    protocol.transport = Mock(is_closing=lambda: False)
    protocol.conn = Mock(data_to_send=lambda: [])
    protocol.read_paused = True
    protocol.keepalive_timeout()
    assert protocol.pong_timer is not None and not protocol.transport.close.called
    protocol.read_paused = False
    protocol.keepalive_timeout()
    assert protocol.transport.close.called
    protocol.loop.close()


def test_who_leaves_within_a_message_leaves_a_place(running: Running) -> None:
    for part in (
        b"\x82\xfe\x19\x00mask",
        b"\x82",
        b"\x02\x84mask1234",
    ):  # half of a message, of a frame, of two
        for _ in range(LIMITS.streams + 1):
            raw = sockets.create_connection(("127.0.0.1", running.port))
            raw.sendall(
                b"GET /stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert raw.recv(4096).startswith(b"HTTP/1.1 101")
            text = hello().encode()
            raw.sendall(struct.pack(">BBH4x", 0x81, 0xFE, len(text)) + text + part)
            raw.close()
            until(lambda: free(running))


def free(running: Running) -> bool:
    try:
        with ExitStack() as streams:
            for _ in range(LIMITS.streams):
                streams.enter_context(greeted(running.stream))
        return True
    except (ConnectionClosed, OSError):
        return False


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("127.0.0.2", 200),
        ("127.255.255.254", 200),
        ("[::1]", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1.evil.example", 403),
        ("piano.example", 403),
        ("0.0.0.0", 403),
        ("192.168.1.5", 403),
        ("", 403),
        ("[", 403),
    ],
)
def test_loopback_has_many_names(running: Running, host: str, status: int) -> None:
    assert status_of(running, host) == status


def status_of(running: Running, host: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        connection.request("GET", "/about.json", headers={"Host": f"{host}:{running.port}" if host else ""})
        return connection.getresponse().status
    except (ConnectionError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
