"""The protocol: what is taken, what is refused, and that nothing else can happen."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.notes import NoteOff, NoteOn, Pedal
from hppnet.realtime.web import protocol
from hppnet.realtime.web.protocol import Bucket, End, Gap, Hello, Limits, Ping, StreamRefused

HELLO = {"type": "hello", "version": 1, "sample_rate": 48_000}


def hello(**changes: object) -> str:
    return json.dumps({**HELLO, **changes})


def test_a_hello() -> None:
    assert protocol.parse_hello(hello()) == Hello(48_000, "f32", 132, "live", 0.0, "", True)
    full = hello(format="s16", latency_ms=52, mode="file", start_s=12.5, token="secret", pedal=False)
    assert protocol.parse_hello(full) == Hello(48_000, "s16", 52, "file", 12.5, "secret", False)


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("", 4400, "object"),
        ("[" * 4000, 4400, "object"),
        ('"hello"', 4400, "object"),
        ('{"type": "end"}', 4400, "hello first"),
        (hello(version=2), 4426, "version 1"),
        (hello(version="1"), 4426, "version 1"),
        (hello(sample_rate=None), 4400, "sample_rate"),
        (hello(sample_rate=True), 4400, "sample_rate"),
        (hello(sample_rate=10**400), 4400, "sample_rate"),
        (hello(sample_rate=48_000.5), 4400, "sample_rate"),
        (hello(format="f64"), 4400, "f32, s16"),
        (hello(format=["f32"]), 4400, "f32, s16"),
        (hello(latency_ms=100), 4400, "52, 72, 92"),
        (hello(latency_ms=float("nan")), 4400, "latency_ms"),
        (hello(mode="fast"), 4400, "live, file"),
        (hello(start_s=-1), 4400, "start_s"),
        (hello(start_s=1e300), 4400, "start_s"),
        (hello(start_s=10**400), 4400, "start_s"),
        (hello(token=7), 4400, "token"),
        (hello(pedal=1), 4400, "pedal: expected true or false"),
        (hello(tokn="x"), 4400, "fields"),
    ],
)
def test_what_is_no_hello(text: str, code: int, word: str) -> None:
    with pytest.raises(StreamRefused, match=word) as refused:
        protocol.parse_hello(text)
    assert refused.value.code == code
    assert len(refused.value.reason.encode()) <= 123  # what a close frame holds


def test_control_messages() -> None:
    assert protocol.parse_control('{"type": "gap", "samples": 480}') == Gap(480)
    assert protocol.parse_control('{"type": "ping", "id": 7}') == Ping(7)
    assert protocol.parse_control('{"type": "end"}') == End()
    for text in (
        "{}",
        '{"type": "gap"}',
        '{"type": "gap", "samples": -1}',
        '{"type": "ping", "id": 1e9}',
        "7",
    ):
        with pytest.raises(StreamRefused):
            protocol.parse_control(text)


def test_sound_of_both_formats() -> None:
    samples = np.array([0.0, 0.5, -1.0], dtype=np.float32)
    np.testing.assert_array_equal(protocol.parse_sound(samples.astype("<f4").tobytes(), "f32"), samples)
    s16 = (samples * 32_768).clip(-32_768, 32_767).astype("<i2")
    np.testing.assert_array_equal(protocol.parse_sound(s16.tobytes(), "s16"), samples)
    with pytest.raises(StreamRefused, match="whole samples"):
        protocol.parse_sound(b"abcde", "f32")


def test_what_the_server_says_is_json() -> None:
    line = protocol.events([NoteOn(1.23456789, 60, 71), NoteOff(2.0, 55), Pedal(2.1234567, True)])
    assert json.loads(line) == {
        "type": "events",
        "events": [
            {"type": "on", "time_s": 1.23457, "pitch": 60, "velocity": 71},
            {"type": "off", "time_s": 2.0, "pitch": 55},
            {"type": "pedal", "time_s": 2.12346, "down": True},
        ],
    }


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.sampled_from(
    [
        *("type", "version", "sample_rate", "format", "latency_ms", "mode", "start_s", "token"),
        *("pedal", "samples", "id"),
    ]
)
VALUES = LEAVES | st.sampled_from(["hello", "gap", "ping", "end", 1, 48_000, "f32", "s16", "file"])
MESSAGES = st.dictionaries(NAMES | st.text(max_size=5), VALUES, max_size=9).map(json.dumps)


@given(text=MESSAGES | st.text(max_size=200), data=st.binary(max_size=64))
@settings(max_examples=2000)
def test_anything_is_taken_or_refused_in_own_words(text: str, data: bytes) -> None:
    own = "abcdefghijklmnopqrstuvwxyz"
    for parse in (protocol.parse_hello, protocol.parse_control):
        try:
            parse(text)
        except StreamRefused as refusal:
            assert refusal.code in (4400, 4426) and refusal.reason[0] in own
            assert refusal.reason.isascii() and "<" not in refusal.reason
    for kind in ("f32", "s16"):
        try:
            protocol.parse_sound(data, kind)
        except StreamRefused as refusal:
            assert refusal.code == 4400


def test_a_bucket_lets_through_what_was_agreed() -> None:
    now_s = [0.0]
    bucket = Bucket(rate=2.0, burst=4.0, clock=lambda: now_s[0])
    assert bucket.take(4) and not bucket.take(0.1)
    now_s[0] = 1.0
    assert bucket.take(2) and not bucket.take(0.1)
    now_s[0] = 100.0
    assert not bucket.take(4.1) and bucket.take(4)


def test_limits_check_themselves() -> None:
    with pytest.raises(ValueError, match="at least one stream"):
        Limits(streams=0)
