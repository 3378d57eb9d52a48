"""``Stream.expect``: the keys that a score wants next are reported earlier, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from hppnet.model.config import DecoderConfig
from hppnet.model.decoder import FRAME, ONSET, Decoder
from hppnet.model.expectation import RISE, Expectation, Sounded
from hppnet.model.notes import Event, NoteOn
from hppnet.model.timebase import FRAME_S
from hppnet.model.transcriber import Transcriber

from .sounds import piano_like, three_notes

A, B, C = 60, 64, 67


def curve(strokes: dict[int, list[tuple[int, float]]], frames: int = 100) -> np.ndarray:
    """Probabilities [T, 88, 4]: pitch -> (frame, height) of its onsets, in the triangles that are learned."""
    out = np.zeros((frames, 88, 4), dtype=np.float32)
    for pitch, onsets in strokes.items():
        for frame, height in onsets:
            for off in (-1, 0, 1):
                out[frame + off, pitch - 21, ONSET] = height * (1 - abs(off) / 2)
            out[frame - 1 : frame + 10, pitch - 21, FRAME] = 0.9
    return out


def follow(
    probabilities: np.ndarray, wanted: dict[int, tuple[list[int], float]]
) -> tuple[list[tuple[int, Sounded]], list[Event]]:
    """(frame after which it was found, what was found), and the decoder's events; a frame at a time.

    ``wanted``: before which frame what is expected, and up to when.
    """
    decoder, expectation = Decoder(), Expectation(DecoderConfig())
    found, events = [], []
    for number, frame in enumerate(probabilities):
        if number in wanted:
            expectation.expect(*wanted[number])
        known = decoder.feed_frames(frame[None])
        expectation.feed(number, frame[None], known)
        found += [(number, one) for one in expectation.take()]
        events += known[0]
    return found, events


def test_a_key_that_is_expected_is_found_before_the_decoder_knows_it() -> None:
    found, events = follow(curve({A: [(50, 0.9)], B: [(50, 0.9)]}), {30: ([A], 1.2)})
    assert [(number, one.pitch, one.wanted) for number, one in found] == [(49, A, True), (51, B, False)]
    decided = [event for event in events if isinstance(event, NoteOn)]
    assert {one.pitch: one.time_s for _, one in found} == pytest.approx({A: 1.0, B: 1.0}, abs=FRAME_S)
    assert {event.pitch for event in decided} == {A, B}


def test_a_soft_key_is_found_only_where_it_is_expected() -> None:
    soft = curve({A: [(50, 1.5 * RISE)], B: [(50, 1.5 * RISE)]})
    found, events = follow(soft, {30: ([A], 1.2)})
    assert [one[:1] + one[2:] for _, one in found] == [(A, True)]
    assert not [event for event in events if isinstance(event, NoteOn)]  # the decoder's threshold is higher


def test_what_hardly_rises_or_does_not_sound_is_not_found() -> None:
    hardly, silent = curve({A: [(50, 0.8 * RISE)]}), curve({A: [(50, 2 * RISE)]})
    silent[..., FRAME] = 0.0
    for probabilities in (hardly, silent):
        assert follow(probabilities, {30: ([A], 1.8)}) == ([], [])


def test_each_stroke_that_is_expected_is_reported_once() -> None:
    twice = curve({A: [(30, 0.9), (50, 0.9), (70, 0.9)]})
    found, _ = follow(twice, {20: ([A, A], 1.9)})
    assert [(number, one.wanted) for number, one in found] == [(29, True), (49, True), (71, False)]


def test_an_expectation_ends() -> None:
    found, _ = follow(curve({A: [(50, 0.9)]}), {10: ([A], 0.9)})
    assert [(number, one.wanted) for number, one in found] == [(51, False)]


@pytest.mark.parametrize(("before", "expected"), [(50, (50, True)), (51, (51, True)), (52, (51, False))])
def test_a_stroke_counts_that_the_decoder_does_not_know_yet(before: int, expected: tuple[int, bool]) -> None:
    found, _ = follow(curve({A: [(50, 0.9)]}), {before: ([A], 1.5)})
    assert [(number, one.wanted) for number, one in found] == [expected]


def test_a_stream_reports_and_its_events_stay_as_they_are(transcriber: Transcriber) -> None:
    clip = three_notes()
    blocks = np.split(clip, range(800, len(clip), 800))
    plain, asked = transcriber.stream(132, 16_000), transcriber.stream(132, 16_000)
    events, same, found = [], [], []
    for number, block in enumerate(blocks):
        if number == 2:
            asked.expect([A, C, 72], within_s=1.4)
        events += plain.feed(block)
        same += asked.feed(block)
        found += asked.expected()
    assert same == events and asked.flush() == plain.flush()
    assert [(one.pitch, one.wanted) for one in found] == [(A, True), (B, False), (C, True)]
    onsets = [event.time_s for event in events if isinstance(event, NoteOn)]
    assert [one.time_s for one in found] == pytest.approx(onsets, abs=1.5 * FRAME_S)
    assert asked.expected() == [] == plain.expected()
    asked.reset()
    asked.feed(clip)
    assert asked.expected() == []  # a new stream expects nothing


def test_what_the_last_frame_holds_is_reported_too(transcriber: Transcriber) -> None:
    last = []
    for frames in range(24, 34):  # the stroke is in frame 25
        stream = transcriber.stream(132, 16_000)
        stream.expect([B], within_s=1.0)
        events = stream.feed(piano_like({0.5: A}, frames * FRAME_S))
        known = len(events)
        events += stream.flush()
        struck = [event.pitch for event in events if isinstance(event, NoteOn)]
        assert [one.pitch for one in stream.expected()] == struck
        last.append((known, len(struck)))
    assert (0, 1) in last


def test_found_as_soon_as_the_sound_of_the_stroke_has_come(transcriber: Transcriber) -> None:
    """With frames of 20 ms: before the sound that the decoder's onset needs, its right neighbour's."""
    clip = piano_like({0.5: A}, 1.0)
    stream = transcriber.stream(132, 16_000)
    stream.expect([A], within_s=1.0)
    at: dict[str, int] = {}
    for number, block in enumerate(np.split(clip, range(320, len(clip), 320))):
        if any(isinstance(event, NoteOn) for event in stream.feed(block)):
            at.setdefault("decoder", number)
        if stream.expected():
            at.setdefault("expected", number)
    assert 1 <= at["decoder"] - at["expected"] <= 3


@pytest.mark.parametrize(
    ("pitches", "within_s", "said"),
    [
        *(([pitch, 60], 1, "21 to 108") for pitch in (20, 109, 60.5)),
        *(([60], within_s, "within_s") for within_s in (0, -1, float("nan"), 1e9)),
    ],
)
def test_what_cannot_be_expected(
    transcriber: Transcriber, pitches: list[int], within_s: float, said: str
) -> None:
    stream = transcriber.stream(132, 16_000)
    with pytest.raises(ValueError, match=said):
        stream.expect(pitches, within_s)
    stream.feed(three_notes())
    assert stream.expected() == []
