"""uvicorn, with limits that keep one client from slowing down the others."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ...system import WINDOWS
from .protocol import Limits

BACKLOG = 64  #: connections that wait to be accepted
PING_EVERY_S, PONG_WITHIN_S = 10.0, 20.0  #: together the time until a vanished client is noticed


class StreamProtocol(WebSocketsSansIOProtocol):
    """Cuts a connection that has ended, even if the client never reads the last message.

    A missing pong counts only while the server reads: it may wait behind the sound of a file.
    """

    linger_s = 2 * Limits.close_s
    _cut: asyncio.TimerHandle | None = None

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            if not self.disconnected:
                self._cut = self.loop.call_later(self.linger_s, self.transport.abort)

    def keepalive_timeout(self) -> None:
        if self.read_paused and self.ping_timeout is not None:
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._cut is not None:
            self._cut.cancel()


class HttpProtocol(AutoHTTPProtocol):  # type: ignore[valid-type, misc]
    """Cuts a connection that requests nothing, since idle connections would use up all places."""

    request_s = Limits.hello_s

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._idle_until_s = self.loop.time() + self.request_s
        self._cut_if_idle()

    def _cut_if_idle(self) -> None:
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            return  # gone, or a WebSocket now
        if self.cycle is not None and not self.cycle.response_complete:
            self._idle_until_s = self.loop.time() + self.request_s
        left_s = self._idle_until_s - self.loop.time()
        if left_s <= 0:
            self.transport.abort()
        else:
            self._next_check = self.loop.call_later(min(left_s, self.request_s), self._cut_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_check.cancel()  # it would keep this connection in memory
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        self._next_check.cancel()
        super().handle_websocket_upgrade(*event)


class PageServer(uvicorn.Server):
    """On SIGINT or SIGTERM, ends all connections, and ``run`` returns normally.

    Outside the main thread, set ``should_exit = True`` instead.
    """

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listening_socket(host: str, port: int) -> socket.socket:
    """Returns a listening socket: clients may connect from now on and wait. Port 0 finds a free port.

    Raises OSError if the address is not ours or in use.
    """
    family, kind, number, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, number)
    try:
        if not WINDOWS:  # there it would let two servers share a port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def make_server(
    app: Starlette,
    limits: Limits,
    certificate: Path | None = None,
    key: Path | None = None,
) -> PageServer:
    """Returns a server to start with ``run(sockets=[...])``."""
    http = type("LimitedHttpProtocol", (HttpProtocol,), {"request_s": limits.hello_s})
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=http,
        ws=StreamProtocol,
        ws_max_size=limits.message_bytes,
        ws_ping_interval=PING_EVERY_S,
        ws_ping_timeout=PONG_WITHIN_S,
        ws_per_message_deflate=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=1 << 14,
        timeout_graceful_shutdown=2,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    return PageServer(config)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``, a name or an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_certificate(certificate: Path, key: Path | None) -> None:
    """Raises ValueError if the certificate and the key cannot serve https."""
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        said = f"cannot use the certificate {certificate} with the key {key}: {error.strerror or error}"
        raise ValueError(said) from None


def page_url(listener: socket.socket, token: str | None, secure: bool) -> str:
    """Returns the page's URL. The token follows a #: browsers do not send that part."""
    name, port = listener.getsockname()[:2]
    if name in ("0.0.0.0", "::"):
        name = socket.gethostname()
    elif name in ("127.0.0.1", "::1"):
        name = "localhost" if name == "127.0.0.1" else "[::1]"
    elif ":" in name:
        name = f"[{name}]"
    place = f"#token={quote(token, safe='')}" if token else ""
    return f"{'https' if secure else 'http'}://{name}:{port}/{place}"


def notices(url: str, anywhere: bool, secure: bool) -> list[str]:
    """Returns lines for the user: the URL to open, and what will not work there."""
    lines = [f"page     {url}"]
    if anywhere and not secure:
        lines.append(
            "note     browsers allow microphones on https and localhost only: for other machines, add "
            "--certificate and --key"
        )
    return [*lines, "Ctrl-C ends it"]
