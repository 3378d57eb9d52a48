"""``hppnet page``: the files of a page that needs no server, and what ``hppnet serve`` offers of them."""

from __future__ import annotations

import gzip
import html
import json
import re
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.realtime.web import static_page
from hppnet.realtime.web.app import SAFE_HEADERS

from .needs import needs
from .sounds import TONE_WEIGHTS
from .web_server import serving_apart

SIZES = [192, 512]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@needs("page runtime")
def test_it_writes_a_whole_page_below_six_megabytes(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "page"
    done = run("page", folder, "--checkpoint", TONE_WEIGHTS)
    assert done.exit_code == 0, done.output
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    recordings = {name for name in files if name.startswith("samples/")}
    assert len(recordings) == 16 and b"CC BY 3.0" in files["samples/README.md"]
    assert sum(len(gzip.compress(files[name], 9)) for name in set(files) - recordings) < 6e6
    about = json.loads(files["about.json"])
    assert (about["engines"], about["offline"], about["samples"]) == (["page"], True, True)
    assert [latency["ms"] for latency in about["latencies"]] == [52, 92, 132, 212]
    network = json.loads(files["network/network.json"])
    assert about["checkpoint"] == network["checkpoint"] and "tones.safetensors" in about["checkpoint"]
    for step in network["steps"].values():
        kept = len(files[f"network/{step['file']}"])
        assert kept + sum(hole["length"] for hole in step["holes"]) == step["bytes"]
    kept = json.loads(re.findall(rb"const FILES = (.*);", files["service_worker.js"])[0])
    assert set(kept) == set(files) - set(static_page.NOT_KEPT) - recordings
    manifest = json.loads(files["manifest.json"])
    assert all(icon["src"] in files for icon in manifest["icons"]) and manifest["scope"] == "./"

    done = run("page", folder, "--checkpoint", TONE_WEIGHTS)
    assert done.exit_code == 1 and "--force" in done.stderr
    assert run("page", folder, "--checkpoint", TONE_WEIGHTS, "--force").exit_code == 0


@needs("page runtime")
def test_another_page_is_another_build(tmp_path: Path, small: Path) -> None:
    builds = [
        static_page.page_files(path, "1")["service_worker.js"] for path in (TONE_WEIGHTS, small, TONE_WEIGHTS)
    ]
    assert builds[0] == builds[2] != builds[1]


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static_page, "RUNTIME", tmp_path / "none")
    done = run("page", tmp_path / "page", "--checkpoint", TONE_WEIGHTS)
    assert done.exit_code == 1 and "onnxruntime-web is missing" in done.stderr and "make page" in done.stderr
    done = run("serve", "--port", "0", "--engine", "page", "--checkpoint", TONE_WEIGHTS)
    assert done.exit_code == 1 and "onnxruntime-web is missing" in done.stderr
    (tmp_path / "file").touch()
    done = run("page", tmp_path / "file")
    assert done.exit_code == 2 and "is a file" in done.stderr


def test_the_page_says_the_policy_that_the_server_says() -> None:
    text = (static_page.PAGE / "index.html").read_text()
    (said,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert html.unescape(said) == static_page.POLICY
    assert SAFE_HEADERS["Content-Security-Policy"] == f"{static_page.POLICY}; frame-ancestors 'none'"
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|\sstyle=", text)  # nothing inline


def test_every_text_of_the_page_is_in_the_language_file() -> None:
    english = (static_page.PAGE / "language" / "en.js").read_text()
    texts = set(re.findall(r'^  "?([^":]+)"?: "', english, flags=re.MULTILINE))
    page = (static_page.PAGE / "index.html").read_text()
    asked = set(re.findall(r'data-(?:text|label)="([^"]+)"', page))
    for script in static_page.PAGE.glob("*.js"):
        asked |= set(re.findall(r'\btext\("([^"]+)"', script.read_text()))
    assert asked <= texts, asked - texts


@needs("page runtime")
@pytest.mark.parametrize("engine", ["server", "page"])
def test_serve_offers_both_engines(engine: str) -> None:
    with serving_apart("--checkpoint", str(TONE_WEIGHTS), "--engine", engine) as found:
        about = json.load(urllib.request.urlopen(f"{found.page}about.json"))
        assert (set(about["engines"]), about["engine"]) == ({"server", "page"}, engine)
        assert about["offline"] is False
        network = json.load(urllib.request.urlopen(f"{found.page}network/network.json"))
        assert network["checkpoint"] == about["checkpoint"]
        with urllib.request.urlopen(f"{found.page}runtime/ort-wasm-simd-threaded.wasm") as answer:
            assert answer.headers["Content-Type"] == "application/wasm"
