"""Tuning: said in cents or hertz, found within a quarter tone, drifts told, few front ends kept."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import Result
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.frontend import FrontEndConfig
from hppnet.model.spectrum import front_end_of
from hppnet.model.tuning import AUTO_LIMIT, Tuning, check_cents, estimate_tuning, parse_tuning

from .sounds import piano_like

A415 = 1200 * math.log2(415 / 440)


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("0", 0.0),
        ("-101.3", -101.3),
        ("\N{MINUS SIGN}101,3", -101.3),
        ("+200", 200.0),
        ("-200", -200.0),
        (".5", 0.5),
        ("12 cents", 12.0),
        ("12ct", 12.0),
        ("415Hz", A415),
        ("415 hz", A415),
        ("415.0HZ", A415),
        (" A=415 ", A415),
        ("a = 415 Hz", A415),
        ("A4=415hz", A415),
        ("440Hz", 0.0),
        ("442,5Hz", 1200 * math.log2(442.5 / 440)),
        ("392Hz", 1200 * math.log2(392 / 440)),
    ],
)
def test_tunings_that_people_write(text: str, cents: float) -> None:
    assert parse_tuning(text) == pytest.approx(cents, abs=1e-9)


def test_auto_stays_auto() -> None:
    assert parse_tuning("auto") == parse_tuning(" Auto ") == "auto"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("high", r"in cents \(-200 to 200\), as a frequency of A \(415Hz\), or auto, got 'high'"),
        ("", "got ''"),
        ("nan", "got 'nan'"),
        ("inf", "got 'inf'"),
        ("1e2", "got '1e2'"),
        ("12 13", "got '12 13'"),
        ("Hz", "got 'Hz'"),
        ("200.1", "must be -200 to 200 cents, got 200.1"),
        ("-1000", "must be -200 to 200 cents, got -1000"),
        ("442", "got 442; for a frequency of A write 442Hz"),
        ("300Hz", "between 392.0 and 493.9 Hz, got 300Hz"),
        ("0Hz", "between 392.0 and 493.9 Hz"),
        ("-415Hz", "between 392.0 and 493.9 Hz"),
        ("A=880", "between 392.0 and 493.9 Hz"),
    ],
)
def test_what_is_no_tuning(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_tuning(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cents", [201.0, -201.0, math.nan, math.inf])
def test_cents_out_of_range(cents: float) -> None:
    with pytest.raises(ValueError, match="-200 to 200 cents"):
        check_cents(cents)


def played_at(cents: np.ndarray | float, seconds: float = 8.0) -> np.ndarray:
    """A scale, higher by so many cents (from beginning to end, where there are two), at 16 kHz."""
    clip = piano_like({0.2 * n: 55 + (7 * n) % 24 for n in range(int(5 * seconds))}, seconds)
    speeds = 2.0 ** (np.interp(np.arange(len(clip)), [0, len(clip)], np.broadcast_to(cents, 2)) / 1200)
    positions = np.cumsum(speeds)
    return np.interp(positions[positions < len(clip) - 1], np.arange(len(clip)), clip).astype(np.float32)


@pytest.mark.parametrize("cents", [-48.0, -20.0, 0.0, 33.0, 48.0])
def test_auto_finds_what_lies_within_a_quarter_tone(cents: float) -> None:
    found = estimate_tuning([played_at(cents)], 16_000)
    assert found.cents == pytest.approx(cents, abs=3) and found.warning is None


def test_auto_takes_a_semitone_for_another_key() -> None:
    assert estimate_tuning([played_at(A415)], 16_000).cents == pytest.approx(A415 + 100, abs=3)
    assert re.search("-50 to 50 cents.*semitone.*415Hz", AUTO_LIMIT)


def test_a_drift_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hppnet.model.tuning.STRETCH_S", 2.0)  # 30 s take long to make
    found = estimate_tuning([played_at(np.array([0.0, 60.0]))], 16_000)
    assert found.cents == pytest.approx(30, abs=5)
    # each stretch has the mean of a quarter of the drift: 7.5 to 52.5
    assert (found.lowest, found.highest) == pytest.approx((7.5, 52.5), abs=5)
    assert re.fullmatch(
        r"the tuning drifts from \+\d+ to \+\d\d cents, and \+\d\d was used.*", found.warning or ""
    )
    steady = estimate_tuning([played_at(30.0)], 16_000)
    assert steady.warning is None and steady.highest - steady.lowest < 6


def test_a_drift_across_the_quarter_tone_is_one_drift() -> None:
    assert Tuning(45.0, 30.0, 60.0).warning == (
        "the tuning drifts from +30 to +60 cents, and +45 was used throughout: to do better, cut the "
        "recording where the tuning changes"
    )


def test_how_the_sound_is_cut_changes_nothing() -> None:
    clip = played_at(12.0, 4.0)
    whole = estimate_tuning([clip], 16_000)
    assert estimate_tuning(np.split(clip, [5, 9_000, 9_001, 30_000]), 16_000) == whole
    assert estimate_tuning([], 16_000) == estimate_tuning([np.zeros(40_000, np.float32)], 16_000)


def test_at_most_four_front_ends_are_kept() -> None:
    kept = [front_end_of(FrontEndConfig(tuning_cents=cents)) for cents in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert front_end_of.cache_info().currsize <= 4
    assert front_end_of(FrontEndConfig(tuning_cents=5.0)) is kept[-1]


# --- the command ---


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flat") / "flat.wav"
    soundfile.write(path, played_at(A415, 3.0), 16_000, subtype="FLOAT")
    return path


def told(flat: Path, small: Path, *options: str) -> tuple[Result, dict[str, float]]:
    out = flat.parent / "out"
    arguments = ["transcribe", str(flat), "-o", str(out), "--format", "json", "--checkpoint", str(small)]
    result = CliRunner().invoke(app, [*arguments, *options])
    return result, json.loads((out / "flat.json").read_text()) if result.exit_code == 0 else {}


def test_transcribe_takes_hertz_and_two_hundred_cents(flat: Path, small: Path) -> None:
    assert told(flat, small, "--tuning", "415Hz")[1]["tuning_cents"] == round(A415, 2)
    assert told(flat, small, "--tuning", "-101.3")[1]["tuning_cents"] == -101.3
    result, _ = told(flat, small, "--tuning", "415")
    assert result.exit_code == 2 and "-200 to 200 cents, got 415" in " ".join(result.output.split())


def test_transcribe_auto_says_what_it_cannot_know_and_a_drift(
    flat: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, said = told(flat, small, "--tuning", "auto")
    assert said["tuning_cents"] == pytest.approx(A415 + 100, abs=3)
    assert result.stderr.splitlines() == [AUTO_LIMIT]
    assert told(flat, small, "--tuning", "auto", "--quiet")[0].output == ""
    monkeypatch.setattr("hppnet.model.tuning.DRIFT_CENTS", -1.0)
    result, _ = told(flat, small, "--tuning", "auto")
    assert result.exit_code == 0 and f"warning: {flat}: the tuning drifts from" in result.stderr
