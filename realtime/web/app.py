"""The web application: one page, its scripts and the stream. Pages of other origins get nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ...model.timebase import LATENCIES, latency_s
from ...model.transcriber import DEFAULT_LATENCY_MS, Transcriber
from . import protocol
from .connection import Connection
from .hub import Hub
from .protocol import Limits
from .server import is_loopback

PAGE = Path(__file__).parent / "page"
#: The page asks nobody but its server for anything, and nobody may frame it.
SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), midi=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}


def create_app(
    transcriber: Transcriber, limits: Limits | None = None, token: str | None = None, anywhere: bool = False
) -> Starlette:
    """The ASGI application. It computes from its start to its shutdown.

    ``anywhere``: it is reached under other names than this machine's loopback ones; then a token (text that
    every hello must hold) is required, and ValueError raised without one.
    """
    if anywhere and not token:
        raise ValueError("expected a token, since others than this machine can connect")
    limits = limits or Limits()
    open_ones: set[Connection] = set()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with Hub(transcriber, limits.streams, limits.backlog_s) as hub:
            app.state.hub = hub
            yield

    async def index(request: object) -> FileResponse:
        return FileResponse(PAGE / "index.html")

    async def about(request: object) -> JSONResponse:
        names = {round(1000 * latency_s(frames)): name for name, frames in LATENCIES.items()}
        return JSONResponse(
            {
                "version": protocol.VERSION,
                "latencies": [{"ms": ms, "name": names.get(ms, "")} for ms in protocol.LATENCIES_MS],
                "default_latency_ms": DEFAULT_LATENCY_MS,
                "token_required": token is not None,
            }
        )

    async def stream(socket: WebSocket) -> None:
        if len(open_ones) >= limits.streams + limits.waiting:
            await socket.send_denial_response(PlainTextResponse("too many connections\n", 503))
            return
        connection = Connection(socket, socket.app.state.hub, limits, token)
        open_ones.add(connection)
        try:
            await connection.run()
        finally:
            open_ones.discard(connection)

    app = Starlette(
        routes=[
            Route("/", index),
            Route("/about", about),
            WebSocketRoute("/stream", stream),
            Mount("/page", StaticFiles(directory=PAGE)),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(Guard, anywhere=anywhere)
    return app


class Guard:
    """Refuses other hosts' names and other pages' scripts, and says on every answer what a page may do.

    ``anywhere``: this server may be called by any name, since the token protects it; else by localhost and
    the addresses of loopback only. A stranger's domain name may lead to 127.0.0.1 too.
    """

    def __init__(self, app: ASGIApp, anywhere: bool) -> None:
        self._app, self._anywhere = app, anywhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        why = self._unwelcome(headers)
        if why is not None:
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                safe = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *safe]}
            await send(message)

        await self._app(scope, receive, send_safely)

    def _unwelcome(self, headers: Headers) -> str | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._anywhere and not is_loopback(_name(f"//{host}") or ""):
            return "this server is called localhost"
        # Browsers always say which page a script comes from; other programs say nothing.
        if origin is not None and _place(origin) != host.lower():
            return "pages of other origins may not connect"
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _place(url: str) -> str | None:
    """The part of a URL with name and port, in small letters."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None
