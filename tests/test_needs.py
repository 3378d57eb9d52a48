"""What a test needs and does not find is a skip on a person's machine, and a failure where all must run."""

from __future__ import annotations

import pytest

from . import needs


def test_what_is_missing_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.MISSING, "ffmpeg", lambda: "ffmpeg is not installed")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="ffmpeg is not installed"):
        needs.require("ffmpeg")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="ffmpeg is not installed"):
        needs.require("ffmpeg")


def test_what_is_there_lets_the_test_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(needs.MISSING, "ffmpeg", lambda: None)
    needs.require("ffmpeg")


def test_an_unknown_need_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="expected some of"):
        needs.needs("trombone")
