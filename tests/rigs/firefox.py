"""Firefox without a window, told what to do over Marionette, which is the protocol of Firefox itself.

A message is its length in bytes, a colon and JSON: [0, number, command, arguments] there,
[1, number, error, result] back (https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html).
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..children import PATIENCE_S, start, wait_until

FIREFOX = shutil.which("firefox") or shutil.which("firefox-esr")
PREFERENCES = {
    "media.navigator.permission.disabled": True,  # microphones without asking
    "media.autoplay.default": 0,
    "app.update.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}


class Page:
    """The one tab of a Firefox."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._answers = self._socket.makefile("rb")
        self._number = 0
        self._receive()  # who it is
        self._tell("WebDriver:NewSession", capabilities={})
        self._tell("WebDriver:SetTimeouts", script=1000 * PATIENCE_S, pageLoad=1000 * PATIENCE_S)

    def go_to(self, url: str) -> None:
        self._tell("WebDriver:Navigate", url=url)

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """What a JavaScript function, which may be async, gives for arguments. Raises RuntimeError."""
        script = f"""
            const done = arguments[arguments.length - 1];
            Promise.resolve([...arguments].slice(0, -1)).then((given) => ({function})(...given))
                .then((value) => done({{value}}), (error) => done({{error: String(error)}}));
        """
        found = self._tell("WebDriver:ExecuteAsyncScript", script=script, args=arguments)["value"]
        if "error" in found:
            raise RuntimeError(found["error"])
        return found.get("value")

    def click(self, selector: str) -> None:
        """As a person does: the browser then lets the page play sound."""
        found = self._tell("WebDriver:FindElement", using="css selector", value=selector)["value"]
        self._tell("WebDriver:ElementClick", id=next(iter(found.values())))

    def shown(self, selector: str) -> str:
        return str(self.evaluate("(what) => document.querySelector(what).textContent.trim()", selector))

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def _tell(self, command: str, **arguments: Any) -> Any:
        self._number += 1
        message = json.dumps([0, self._number, command, arguments]).encode()
        self._socket.sendall(b"%d:%b" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _receive(self) -> Any:
        length = b""
        while (byte := self._answers.read(1)) != b":":
            assert byte, "Firefox has ended"
            length += byte
        return json.loads(self._answers.read(int(length)))


@contextmanager
def firefox(profile: Path, environment: Mapping[str, str] | None = None) -> Iterator[Page]:
    """A page of a Firefox that runs until the block ends; ``profile`` is an empty folder.

    ``environment`` is all of the process's; None for that of the tests.
    """
    assert FIREFOX is not None
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    command = [FIREFOX, "--headless", "--marionette", "--no-remote", "--profile", str(profile)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = start(command, env=environment, **quiet)
    try:
        port = profile / "MarionetteActivePort"
        wait_until(lambda: port.exists() and port.read_text(), "Firefox", process)
        page = Page(int(port.read_text()))
        try:
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
