"""The JACK server of the rigs: started under a name of its own, or why it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from .jack_server import JackError, JackServer, parse_ports


def test_ports_of_jack_lsp() -> None:
    listing = "system:capture_1\n   live:in_0\n   live:in_1\nlive:in_0\n   system:capture_1\n\n"
    assert parse_ports(listing) == {
        "system:capture_1": ["live:in_0", "live:in_1"],
        "live:in_0": ["system:capture_1"],
    }


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, text in (("jackd", "echo jackdmp 1.9; echo no room; exit 1"), ("jack_lsp", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(JackError, match=r"did not start: no room$"), JackServer():
        pass


def test_a_name_that_is_taken_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "jackd").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "jack_lsp").write_text("#!/bin/sh\nexit 0\n")
    for name in ("jackd", "jack_lsp"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(JackError, match="hppnet-0 is in use"), JackServer():
        pass
    assert not (tmp_path / "started").exists()
