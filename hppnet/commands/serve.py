"""``hppnet serve``: the page in the browser."""

from __future__ import annotations

import enum
import logging
import secrets
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .live_report import say
from .live_run import prepare_process
from .options import Checkpoint, ComputeDevice, Device, wrong_use

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber

PORT = 8765
SHORTEST_TOKEN = 12


class Engine(str, enum.Enum):
    """What computes: this server, or each browser by itself."""

    server = "server"
    page = "page"


def serve(
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; 0.0.0.0 lets other machines connect, with a token."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0: any free one.")] = PORT,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="HPPNET_TOKEN",
            help="Secret that the page must send; default: none for localhost, else a random one, printed.",
        ),
    ] = None,
    max_streams: Annotated[int, typer.Option(min=1, max=1000, help="Most streams at the same time.")] = 8,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.pem",
            help="Certificate for https, which browsers on other machines need for microphones.",
        ),
    ] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="Key of the certificate.")] = None,
    checkpoint: Checkpoint = None,
    device: ComputeDevice = Device.auto,
    engine: Annotated[Engine, typer.Option(help="What computes: the server or the browser.")] = Engine.server,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log what connections do.")] = False,
) -> None:
    """Serve a page that listens, shows the notes and plays them.

    It goes on until Ctrl-C. Exit code: 0 ended by a signal, 1 something was not there or failed, 2 wrong use.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise typer.BadParameter(f"--token: expected at least {SHORTEST_TOKEN} characters, got {len(token)}")
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key go together: expected both or neither")
    try:
        from ..realtime.web import server
    except ImportError as error:
        fail(f"the page needs the web extra: pip install 'hppnet[web]' ({error.name} is missing)")
    if certificate is not None:
        with wrong_use():
            server.check_certificate(certificate, key)
    network = _page_network(checkpoint, engine)
    anywhere = not server.is_loopback(host)
    if anywhere and token is None:
        token = secrets.token_urlsafe(16)
    _log(verbose)
    try:
        listener = server.listening_socket(host, port)
    except OSError as error:
        fail(f"cannot listen on {host}, port {port}: {error.strerror or error}; try another --port")
    with listener:
        from ..model.checkpoint import LICENCE
        from ..realtime.web.app import create_app
        from ..realtime.web.protocol import Limits

        limits = Limits(streams=max_streams)
        app = create_app(
            _loaded(checkpoint, device.value),
            limits,
            token,
            anywhere,
            network,
            engine.value,
            version("hppnet"),
            LICENCE if checkpoint is None else "",
        )
        url = server.page_url(listener, token, certificate is not None)
        say(*server.notices(url, anywhere, certificate is not None))
        if open_browser:
            _open(url)
        running = server.make_server(app, limits, certificate, key)
        running.run(sockets=[listener])
    if not running.started:
        fail("the server did not start; -v says why")


def _page_network(checkpoint: Path | None, engine: Engine) -> dict[str, bytes] | None:
    """The files with which the page computes by itself; None if it cannot."""
    from ..model.checkpoint import CheckpointError
    from ..realtime.web.network_files import network_files
    from ..realtime.web.static_page import NoRuntime, has_runtime

    try:
        if not has_runtime():
            raise NoRuntime
        return network_files(checkpoint)
    except (CheckpointError, NoRuntime) as error:
        if engine is Engine.page:
            fail(str(error))
        return None


def _loaded(checkpoint: Path | None, device: str) -> Transcriber:
    from ..api import load
    from ..model.checkpoint import CheckpointError

    try:
        transcriber = load(checkpoint, device)
    except CheckpointError as error:
        fail(str(error))
    except ValueError as error:  # a device that is not there
        raise typer.BadParameter(str(error)) from None
    prepare_process()
    return transcriber


def _open(url: str) -> None:
    """Opens the page. The socket listens already: the browser waits for the server."""
    import webbrowser

    if not webbrowser.open(url):
        print("no browser could be opened; open the page yourself", file=sys.stderr)


def _log(verbose: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING, format="%(asctime)s %(name)s %(message)s"
    )
