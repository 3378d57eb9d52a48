"""A JACK server for tests. Where it cannot be had they are skipped and say why; with CI=true they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hppnet.realtime import jack


@pytest.fixture(scope="module")
def jack_server() -> Iterator[jack.JackServer]:
    """48 000 Hz, blocks of 256 samples; nobody else is on it."""
    why_not = jack.missing()
    if why_not is not None:
        go_without(why_not)
    with jack.JackServer(48_000, 256) as server:
        yield server


def go_without(why_not: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"these tests must run here, but {why_not}", pytrace=False)
    pytest.skip(why_not)
