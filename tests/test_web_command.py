"""``hppnet serve`` and ``bench serve`` as one types them."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.realtime.web.server import is_loopback, page_url

from . import children
from .web_server import greeted, started


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(small: Path, ending: signal.Signals) -> None:
    with started("--port", "0", "--checkpoint", str(small)) as (process, lines):
        assert lines[0].startswith("page     http://localhost:") and lines[1] == "Ctrl-C ends it"
        url = lines[0].split()[1]
        assert b"hppnet" in urllib.request.urlopen(url).read()
        with greeted(url.replace("http", "ws") + "stream"):  # somebody listens
            process.send_signal(ending)
            assert process.wait(children.PATIENCE_S) == 0
        assert process.stderr is not None and process.stderr.read() == ""


def test_other_machines_get_a_token_and_a_hint(small: Path) -> None:
    with started("--port", "0", "--checkpoint", str(small), "--host", "0.0.0.0") as (_, lines):
        assert len(lines[0].split("#token=")[1]) > 20
        assert "https" in lines[1] and "--certificate" in lines[1]


def test_a_token_of_any_signs_reaches_the_page() -> None:
    token = "kJ4+/x&y=#%41 ü"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        given = urlsplit(page_url(listener, token, secure=False)).fragment
    assert parse_qs(given) == {"token": [token]}  # as the page's URLSearchParams


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--token", "short"], 2, "at least 12 characters, got 5"),
        (["--certificate", "c.pem"], 2, "expected both or neither"),
        (["--max-streams", "0"], 2, "max-streams"),
        (["--host", "192.0.2.1"], 1, "cannot listen on 192.0.2.1"),
        (["--host", "no such host"], 1, "cannot listen on no such host"),
        (["--certificate", "c.pem", "--key", "k.pem"], 2, "cannot use the certificate c.pem"),
    ],
)
def test_wrong_use_is_said_in_a_line(small: Path, arguments: list[str], code: int, words: str) -> None:
    done = run("serve", "--port", "0", "--checkpoint", str(small), *arguments)
    assert done.exit_code == code and words in " ".join(done.stderr.split()), done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_said_to_be_taken(small: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("serve", "--checkpoint", str(small), "--port", str(taken.getsockname()[1]))
    assert done.exit_code == 1 and "try another --port" in done.stderr


def test_which_hosts_are_this_machine_alone() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(
        map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "piano.example", "localhost.evil.example"))
    )


@pytest.mark.slow
def test_bench_serve_measures(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "serve.json"
    done = run(
        "bench", "serve", "--streams", "1", "--seconds", "5", "--checkpoint", str(small), "--json", str(file)
    )
    assert done.exit_code == 0, done.stderr
    assert "1 streams:" in done.stdout
    figures = json.loads(file.read_text())
    assert {"streams", "late_blocks", "page_latency_over_algorithmic_ms"} <= set(figures)
    (one,) = figures["detail"]["runs"]
    assert one["blocks"] == 657 and one["dropped_blocks"] == 0
    assert figures["page_latency_over_algorithmic_ms"] is not None or figures["detail"]["why_no_page"]


def test_bench_serve_says_what_is_wrong() -> None:
    done = run("bench", "serve", "--latency", "100")
    assert done.exit_code == 2 and "52, 72, 92" in " ".join(done.stderr.split())
