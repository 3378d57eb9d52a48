"""The decoder: probabilities in, events out, in whatever pieces they come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.config import DecoderConfig, ModelConfig
from hppnet.model.decoder import FRAME, OFFSET, ONSET, VELOCITY, Decoder
from hppnet.model.notes import NoteOff, NoteOn

KEY, PITCH = 39, 60


def silence(frames: int = 40) -> np.ndarray:
    return np.zeros((frames, 88, 4), dtype=np.float32)


def stroke(roll: np.ndarray, at: float, until: float, velocity: int = 80, key: int = KEY) -> np.ndarray:
    """Draws a note into a roll [T, 88, 4]: triangles of two frames, as the labels have them."""
    frames = np.arange(len(roll))
    roll[:, key, ONSET] = np.maximum(roll[:, key, ONSET], np.clip(1 - np.abs(frames - at) / 2, 0, 1))
    roll[:, key, OFFSET] = np.maximum(roll[:, key, OFFSET], np.clip(1 - np.abs(frames - until) / 2, 0, 1))
    roll[round(at) : round(until), key, FRAME] = 0.9
    roll[max(0, round(at) - 1) : round(at) + 2, key, VELOCITY] = velocity / 127
    return roll


def decode(roll: np.ndarray, config: DecoderConfig | None = None) -> list:
    decoder = Decoder(config)
    return decoder.feed(roll) + decoder.flush()


@pytest.mark.parametrize("at", [5.0, 5.25, 5.5, 5.8])
def test_finds_times_between_frames(at: float) -> None:
    on, off = decode(stroke(silence(), at, at + 10.3))
    assert on == NoteOn(pytest.approx(at * 0.02, abs=1e-6), PITCH, 80)
    assert off == NoteOff(pytest.approx((at + 10.3) * 0.02, abs=1e-6), PITCH)


def test_an_onset_without_a_sounding_frame_is_not_believed() -> None:
    roll = stroke(silence(), 5, 15)
    roll[..., FRAME] = 0
    assert decode(roll) == []


def test_the_frame_may_follow_the_onset_by_one() -> None:
    roll = stroke(silence(), 5, 15)
    roll[5, KEY, FRAME] = 0
    assert [type(e) for e in decode(roll)] == [NoteOn, NoteOff]


def test_a_note_ends_where_its_frames_fall_when_no_offset_shows() -> None:
    roll = stroke(silence(), 5, 15)
    roll[..., OFFSET] = 0
    assert decode(roll)[1] == NoteOff(pytest.approx(0.3), PITCH)


def test_a_key_struck_again_is_released_first_at_the_same_time() -> None:
    roll = stroke(stroke(silence(), 5, 30), 12, 30)
    roll[:20, KEY, OFFSET] = 0
    on, off, again, end = decode(roll)
    assert (type(on), type(off), type(again), type(end)) == (NoteOn, NoteOff, NoteOn, NoteOff)
    assert off.time_s == again.time_s == pytest.approx(12 * 0.02)


def test_a_release_in_the_frame_of_the_next_stroke_is_not_after_it() -> None:
    events = decode(stroke(stroke(silence(), 5, 20.4), 19.7, 30))
    assert [type(e) for e in events] == [NoteOn, NoteOff, NoteOn, NoteOff]
    assert events[1].time_s <= events[2].time_s == pytest.approx(19.7 * 0.02)


def test_one_stroke_with_two_bumps_is_one_note() -> None:
    roll = stroke(silence(), 5, 25)
    roll[4:9, KEY, ONSET] = (0.5, 0.9, 0.6, 0.7, 0.1)
    assert sum(isinstance(e, NoteOn) for e in decode(roll)) == 1


def test_flush_ends_what_sounds() -> None:
    roll = stroke(silence(20), 5, 50)
    roll[5:, KEY, FRAME] = 0.9
    assert decode(roll)[-1] == NoteOff(pytest.approx(0.4), PITCH)


def test_an_onset_in_the_last_frame_is_found_and_ended() -> None:
    roll = stroke(silence(10), 9, 20)
    on, off = decode(roll)
    assert isinstance(on, NoteOn) and off.time_s > on.time_s


def test_thresholds_decide() -> None:
    roll = stroke(silence(), 5, 15)
    roll[..., ONSET] *= 0.5
    assert decode(roll, DecoderConfig(onset=0.4)) and not decode(roll, DecoderConfig(onset=0.6))


def test_below_132_ms_the_onset_threshold_falls_in_a_straight_line() -> None:
    config = DecoderConfig(onset=0.4, onset_soonest=0.2, frame=0.3)
    assert [config.at(r).onset for r in range(9)] == pytest.approx([0.2, 0.25, 0.3, 0.35] + [0.4] * 5)
    assert config.at(2).applied == pytest.approx({"onset": 0.3, "frame": 0.3, "offset": 0.4, "pedal": 0.5})
    assert ModelConfig(decoder=config).decoder_at(52).onset == pytest.approx(0.2)
    assert ModelConfig(decoder=config).decoder_at(None) == config


@settings(max_examples=60, derandomize=True)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_pieces_make_no_difference_and_no_note_hangs(seed: int, cuts: list[int]) -> None:
    roll = np.random.default_rng(seed).uniform(size=(60, 88, 4)).astype(np.float32) ** 2
    whole = decode(roll)
    decoder, at, pieces = Decoder(), 0, []
    while at < len(roll):
        size = cuts[at % len(cuts)]
        pieces += decoder.feed(roll[at : at + size])
        at += size
    pieces += decoder.flush()
    assert pieces == whole
    down: dict[int, float] = {}
    for event in whole:
        if isinstance(event, NoteOn):
            assert event.pitch not in down and 1 <= event.velocity <= 127
            down[event.pitch] = event.time_s
        else:
            assert event.time_s > down.pop(event.pitch)
    assert not down


def test_reset_is_complete() -> None:
    decoder = Decoder()
    roll = stroke(silence(20), 5, 50)
    first = decoder.feed(roll)
    decoder.reset()
    assert decoder.feed(roll) == first
    assert decoder.feed(roll) != first


def test_a_threshold_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"onset threshold must lie between 0 and 1, got 1\.5"):
        DecoderConfig(onset=1.5)
    with pytest.raises(ValueError, match=r"onset threshold must be at least 0\.05, got 0\.01"):
        DecoderConfig(onset_soonest=0.01)
