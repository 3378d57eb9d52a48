"""A JACK server for tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hppnet.realtime import jack

from .needs import require


@pytest.fixture(scope="module")
def jack_server() -> Iterator[jack.JackServer]:
    """48 000 Hz, blocks of 256 samples; nobody else is on it."""
    require("jack")
    with jack.JackServer(48_000, 256) as server:
        yield server
