"""Servers for tests, each in a process of its own, and clients."""

from __future__ import annotations

import json
import multiprocessing
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.sync.client import ClientConnection, connect

from hppnet.model.notes import Event, NoteOff, NoteOn, Pedal
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.web.app import create_app
from hppnet.realtime.web.protocol import Limits
from hppnet.realtime.web.server import listening_socket, make_server

from . import children


@dataclass(frozen=True)
class Running:
    port: int
    pid: int

    @property
    def page(self) -> str:
        return f"http://localhost:{self.port}/"

    @property
    def stream(self) -> str:
        return f"ws://localhost:{self.port}/stream"


@contextmanager
def serving(
    transcriber: Transcriber,
    limits: Limits | None = None,
    token: str | None = None,
    anywhere: bool = False,
) -> Iterator[Running]:
    """The true server with limits of a test's own, in a fork of this process."""
    limits = limits or Limits()
    with listening_socket("127.0.0.1", 0) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # who does not read is soon noticed

        def run() -> None:
            make_server(create_app(transcriber, limits, token, anywhere), limits).run(sockets=[listener])

        process = multiprocessing.get_context("fork").Process(target=run, daemon=True)
        process.start()
        assert process.pid is not None
        try:
            yield Running(listener.getsockname()[1], process.pid)
        finally:
            process.terminate()
            process.join(children.PATIENCE_S)
        assert process.exitcode == 0, process.exitcode


def hello(sample_rate: int = 16_000, **more: Any) -> str:
    return json.dumps({"type": "hello", "version": 1, "sample_rate": sample_rate, **more})


@contextmanager
def greeted(url: str, sample_rate: int = 16_000, **more: Any) -> Iterator[ClientConnection]:
    """A connection whose hello was accepted."""
    with connect(url, max_queue=None, open_timeout=children.PATIENCE_S) as connection:
        connection.send(hello(sample_rate, **more))
        ready = json.loads(connection.recv(timeout=children.PATIENCE_S))
        assert ready["type"] == "ready"
        yield connection


def send_sound(connection: ClientConnection, samples: np.ndarray, block: int = 160) -> None:
    for first in range(0, len(samples), block):
        connection.send(samples[first : first + block].astype("<f4").tobytes())


def play(connection: ClientConnection, samples: np.ndarray, rate: int = 16_000) -> list[Event]:
    """As ``send_sound``, but no faster than it is computed: live sound that waits is dropped."""
    found: list[Event] = []
    for part in np.array_split(samples, max(1, len(samples) * 4 // rate)):
        send_sound(connection, part)
        message: dict[str, Any] = {}
        while message.get("type") != "heard":
            message = json.loads(connection.recv(timeout=children.PATIENCE_S))
            found += _events(message)
    return found


def events_of(connection: ClientConnection) -> list[Event]:
    """All that come until the server closes."""
    return [event for message in connection for event in _events(json.loads(message))]


def _events(message: dict[str, Any]) -> list[Event]:
    return [_event(**event) for event in message.get("events", [])]


def _event(type: str, time_s: float, pitch: int = 0, velocity: int = 0, down: bool = False) -> Event:
    if type == "pedal":
        return Pedal(time_s, down)
    return NoteOn(time_s, pitch, velocity) if type == "on" else NoteOff(time_s, pitch)


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``hppnet serve`` in a process of its own, and its first two lines."""
    command = [sys.executable, "-m", "hppnet", "serve", *arguments]
    process = children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process, [process.stdout.readline().strip() for _ in range(2)]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving_apart(*arguments: str, port: int = 0) -> Iterator[Running]:
    """A server in a process of its own, as a user has it; it is told to end."""
    with started("--port", str(port), *arguments) as (process, lines):
        found = urlsplit(lines[0].split()[1]).port
        assert found is not None
        yield Running(found, process.pid)
        process.terminate()
        assert process.wait(children.PATIENCE_S) == 0
