"""One WebSocket connection: hello, sound in, events out, and a clear close code at its end."""

from __future__ import annotations

import asyncio
import hmac
import logging
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from . import protocol
from .hub import Hub, Slot, StreamProgress
from .protocol import (
    BAD_MESSAGE,
    BROKEN,
    IDLE,
    NOT_ALLOWED,
    NOT_READING,
    TOO_FAST,
    Bucket,
    End,
    Gap,
    Hello,
    Limits,
    Ping,
    StreamRefused,
)

ROOM_S = 0.02  #: interval between checks for room on a file's connection
log = logging.getLogger(__name__)


class Connection:
    """One client. Call ``run`` once, in the event loop; the hub's threads call only ``_on_progress``."""

    def __init__(self, socket: WebSocket, hub: Hub, limits: Limits, token: str | None) -> None:
        self._socket, self._hub, self._limits, self._token = socket, hub, limits, token
        self._loop = asyncio.get_running_loop()
        self._out: asyncio.Queue[str | None] = asyncio.Queue(limits.unread)
        self._over: asyncio.Future[StreamRefused] = self._loop.create_future()
        self._messages = Bucket(limits.messages_per_s, limits.messages_per_s)
        self._sound = Bucket(limits.sound_rate, limits.sound_burst_s)

    async def run(self) -> None:
        """Serves the client until it leaves or the connection is closed with a reason."""
        await self._socket.accept()
        try:
            hello = await asyncio.wait_for(self._hello(), self._limits.hello_s)
            slot = self._hub.take_slot(hello, self._on_progress)
        except asyncio.TimeoutError:
            await self._close(IDLE, "no hello came")
        except StreamRefused as refusal:
            await self._close(refusal.code, refusal.reason)
        except WebSocketDisconnect:
            pass
        else:
            try:
                await self._serve(slot)
            finally:
                self._hub.leave(slot)

    async def _hello(self) -> Hello:
        message = await self._receive()
        if not isinstance(message, str):
            raise StreamRefused(BAD_MESSAGE, "expected a hello before sound")
        hello = protocol.parse_hello(message)
        if self._token is not None and not hmac.compare_digest(
            hello.token.encode("utf-8", "surrogatepass"), self._token.encode()
        ):
            raise StreamRefused(NOT_ALLOWED, "the token is missing or wrong")
        return hello

    async def _serve(self, slot: Slot) -> None:
        latency_ms = 1000 * slot.decoder.latency_s
        self._put(protocol.ready(latency_ms, self._hub.transcriber.checkpoint_name, slot.gives_pedal))
        self._sound_s = self._loop.time()  # time at which sound last arrived
        parts = (self._listen(slot), self._send(), self._close_when_idle())
        tasks = [asyncio.create_task(part) for part in parts]
        ends: list[asyncio.Future[Any]] = [*tasks, self._over]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        code, reason = self._ending(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if code is not None:
            await self._close(code, reason)

    def _ending(self, tasks: list[asyncio.Task[None]]) -> tuple[int | None, str]:
        """Returns the close code, None if the client has left by itself, and the reason."""
        ends = [task.exception() for task in tasks if task.done()]
        if self._over.done():
            ends.insert(0, self._over.result())
        for end in ends:
            if isinstance(end, StreamRefused):
                return end.code, end.reason
            if isinstance(end, (WebSocketDisconnect, OSError)):
                return None, ""
            if end is not None:
                log.error("a connection failed", exc_info=end)
                return BROKEN, "the server failed"
        return 1000, ""

    async def _listen(self, slot: Slot) -> None:
        """Handles what the client sends, until it leaves. Raises StreamRefused and WebSocketDisconnect."""
        ended = False
        while not self._over.done():
            message = await self._receive()
            await asyncio.sleep(0)  # lets answers be sent when many messages arrived at once
            if ended:
                continue  # further messages are ignored, until the client leaves
            if isinstance(message, bytes):
                if await self._take(slot, message):
                    self._sound_s = self._loop.time()
            elif self._obey(slot, protocol.parse_control(message)):
                ended, self._sound_s = True, float("inf")

    async def _close_when_idle(self) -> None:
        """Raises StreamRefused if idle. A task, since wait_for up to Python 3.11 may lose a cancellation."""
        while (left_s := self._sound_s + self._limits.idle_s - self._loop.time()) > 0:
            await asyncio.sleep(min(left_s, self._limits.idle_s))
        raise StreamRefused(IDLE, f"no sound for {self._limits.idle_s:g} s")

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        text, data = message.get("text"), message.get("bytes")
        if not self._messages.take(1):
            raise StreamRefused(TOO_FAST, f"more than {self._limits.messages_per_s:g} messages a second")
        if text is not None and len(text) > self._limits.text_bytes:
            raise StreamRefused(BAD_MESSAGE, f"expected at most {self._limits.text_bytes} bytes of text")
        return text if text is not None else data or b""

    async def _take(self, slot: Slot, data: bytes) -> bool:
        """Queues a message of sound; returns False if it has no samples."""
        samples = protocol.parse_sound(data, slot.hello.format)
        if slot.live:
            if not self._sound.take(len(samples) / slot.hello.sample_rate):
                raise StreamRefused(TOO_FAST, "live sound faster than real time; for a file, use mode file")
        else:
            # Not reading further messages slows the client down.
            while slot.waiting_s > self._limits.file_ahead_s:
                await asyncio.sleep(ROOM_S)
        self._hub.add(slot, samples)
        return len(samples) > 0

    def _obey(self, slot: Slot, order: Gap | Ping | End) -> bool:
        """Handles a control message; returns True if it is the end."""
        if isinstance(order, Ping):
            self._put(protocol.pong(order.id))
        elif isinstance(order, Gap):
            if slot.next_s + order.samples / slot.hello.sample_rate > protocol.MOST_S:
                raise StreamRefused(BAD_MESSAGE, "expected the gap to end within 366 days of stream time")
            self._hub.skip(slot, order.samples)
        else:
            self._hub.end(slot)
            return True
        return False

    async def _send(self) -> None:
        """Sends the queued messages until the end."""
        while (line := await self._out.get()) is not None:
            await self._socket.send_text(line)

    def _on_progress(self, progress: StreamProgress | Exception) -> None:
        """Called by the hub's thread."""
        with suppress(RuntimeError):  # the loop has closed
            self._loop.call_soon_threadsafe(self._send_progress, progress)

    def _send_progress(self, progress: StreamProgress | Exception) -> None:
        if isinstance(progress, Exception):
            self._refuse(StreamRefused(BROKEN, "the network failed on this sound"))
            return
        if progress.events:
            self._put(protocol.events(progress.events))
        if progress.due:
            self._put(
                protocol.progress(
                    progress.time_s, progress.backlog_s, progress.dropped_blocks, progress.late_blocks
                )
            )
        if progress.ended:
            self._put(protocol.done(progress.time_s))
            self._put(None)

    def _put(self, line: str | None) -> None:
        try:
            self._out.put_nowait(line)
        except asyncio.QueueFull:
            self._refuse(StreamRefused(NOT_READING, f"{self._limits.unread} messages were not read"))

    def _refuse(self, refusal: StreamRefused) -> None:
        if not self._over.done():
            self._over.set_result(refusal)

    async def _close(self, code: int, reason: str) -> None:
        """Closes the connection. A client that does not answer is cut off when the handler returns."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            with suppress(asyncio.TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
                await asyncio.wait_for(self._socket.close(code, reason), self._limits.close_s)
