"""The web application: one page, its scripts and the stream. Pages of other origins are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from ...model.transcriber import Transcriber
from .connection import Connection
from .hub import Hub
from .protocol import Limits
from .server import is_loopback
from .static_page import PAGE, POLICY, RUNTIME, SAMPLES, about

#: The page may load only from its own server, and no other page may frame it.
SAFE_HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), midi=(self), camera=(), geolocation=()",
    "Cache-Control": "no-cache",
}


def create_app(
    transcriber: Transcriber,
    limits: Limits | None = None,
    token: str | None = None,
    anywhere: bool = False,
    network: Mapping[str, bytes] | None = None,
    engine: str = "server",
    version: str = "",
    licence: str = "",
) -> Starlette:
    """Returns the ASGI application. Its computing threads run from its start to its shutdown.

    With the files ``network`` (see ``network_files``), and onnxruntime-web in the installation, the page can
    also compute by itself. ``engine``: the page's first choice, "server" or "page". The page shows
    ``version`` and ``licence`` (of the weights).

    ``anywhere``: the server is also reached under names other than loopback ones. This requires ``token``, a
    text that every hello must contain; raises ValueError without one.
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

    engines = ["server"] if network is None else ["server", "page"]
    samples = (RUNTIME / SAMPLES).is_dir()
    facts = {"checkpoint": transcriber.checkpoint_name, "licence": licence}
    told = about(engines, engine, version, facts, samples=samples, token_required=token is not None)

    async def tell_about(request: object) -> JSONResponse:
        return JSONResponse(told)

    async def network_file(request: Request) -> Response:
        content = (network or {}).get(request.path_params["name"])
        if content is None:
            return PlainTextResponse("not found\n", 404)
        return Response(content, media_type="application/octet-stream")

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
            Route("/about.json", tell_about),
            WebSocketRoute("/stream", stream),
            Route("/network/{name}", network_file),
            Mount("/runtime", StaticFiles(directory=RUNTIME, check_dir=False)),
            Mount(f"/{SAMPLES}", StaticFiles(directory=RUNTIME / SAMPLES, check_dir=False)),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        lifespan=lifespan,
    )
    app.add_middleware(Guard, anywhere=anywhere)
    return app


class Guard:
    """Refuses other host names and scripts of other origins; adds SAFE_HEADERS to every response.

    With ``anywhere``, any host name is accepted, since the token protects the server. Otherwise only
    localhost and loopback addresses are, since a stranger's domain name may also resolve to 127.0.0.1.
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
            return "this server answers to localhost only; for other names, start it with --host"
        # Browsers always send the origin of a script; other programs send none.
        if origin is not None and _place(origin) != host.lower():
            return "pages of other origins may not connect"
        return None


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _place(url: str) -> str | None:
    """Returns the host name and port of a URL, in lower case."""
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return None
