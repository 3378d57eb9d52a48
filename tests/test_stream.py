"""Live equals offline: the same frames, activations and events however the sound is cut into blocks."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.config import PAST
from hppnet.model.notes import Event, NoteOff, NoteOn, Pedal
from hppnet.model.recording_decoder import RecordingDecoder
from hppnet.model.stream import RecordingStream, Stream
from hppnet.model.timebase import FRAME_S, HOP, LATENCIES, latency_s
from hppnet.model.torch_engine import TorchWindows
from hppnet.model.transcriber import Transcriber

from .sounds import piano_like, three_notes

CLIP = three_notes()
QUICK = settings(max_examples=25, derandomize=True)


def heard(transcriber: Transcriber, blocks: list[np.ndarray], look_ahead: int = 4, rate: int = 16_000):
    """Events and activations [T, 88, 4] of one stream."""
    seen: list[np.ndarray] = []
    stream = transcriber.stream(1000 * latency_s(look_ahead), rate, seen.append)
    events = [event for block in blocks for event in stream.feed(block)] + stream.flush()
    return events, np.concatenate([np.zeros((0, 88, 4), np.float32), *seen])


def cut(samples: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Samples in blocks of the given sizes, taken in turn."""
    blocks, at = [], 0
    while at < len(samples):
        blocks.append(samples[at : at + sizes[len(blocks) % len(sizes)]])
        at += len(blocks[-1]) or 1
    return blocks


def said(event: Event) -> tuple[type, int]:
    """An event but for its time and velocity."""
    return type(event), event.down if isinstance(event, Pedal) else event.pitch


def assert_same(one, other) -> None:
    (events, activations), (wanted_events, wanted) = one, other
    assert activations.shape == wanted.shape
    if activations.size:
        apart = np.abs(activations - wanted).max(axis=(1, 2))
        first = int(np.argmax(apart > 1e-4)) if (apart > 1e-4).any() else None
        assert first is None, f"activations differ from frame {first} on, by {apart.max():.2g} at most"
    assert [said(e) for e in events] == [said(e) for e in wanted_events]
    for event, want in zip(events, wanted_events, strict=True):
        # Where the pedal's probability hardly moves, its moment hangs on the last digits.
        near_s = 1e-4 if isinstance(event, Pedal) else 1e-5
        assert event.time_s == pytest.approx(want.time_s, abs=near_s)


@QUICK
@given(
    length=st.one_of(st.sampled_from([0, 1, 319, 320, 321]), st.integers(0, len(CLIP))),
    sizes=st.lists(st.sampled_from([1, 7, 160, 333, 1000, 48_000]), min_size=1, max_size=4),
    look_ahead=st.integers(0, 8),
)
def test_blocks_of_any_size_give_the_same(
    transcriber: Transcriber, length: int, sizes: list[int], look_ahead: int
) -> None:
    clip = CLIP[:length]
    if max(sizes) < 100:
        clip = clip[:4000]  # single samples take long
    assert_same(heard(transcriber, cut(clip, sizes), look_ahead), heard(transcriber, [clip], look_ahead))


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_any_rate_in_any_blocks(transcriber: Transcriber, rate: int) -> None:
    clip = three_notes(rate)
    whole = heard(transcriber, [clip], rate=rate)
    assert_same(heard(transcriber, cut(clip, [333, 1, 4096]), rate=rate), whole)
    assert whole[1].shape[0] == 75
    assert {e.pitch for e in whole[0] if isinstance(e, NoteOn)} >= {60, 64, 67}


def test_a_file_gives_what_live_gives(transcriber: Transcriber) -> None:
    events, _ = heard(transcriber, cut(CLIP, [320]))
    ons = sorted((round(e.time_s, 5), e.pitch) for e in events if isinstance(e, NoteOn))
    notes = transcriber.transcribe(CLIP, 16_000, latency_ms=132)
    assert [(round(n.onset_s, 5), n.pitch) for n in notes] == ons


def test_a_stream_has_the_onset_threshold_of_its_latency(transcriber: Transcriber) -> None:
    base = transcriber.config
    split = replace(
        transcriber, config=replace(base, decoder=replace(base.decoder, onset=0.999, onset_soonest=0.05))
    )
    few, many = transcriber.with_thresholds(onset=0.999), transcriber.with_thresholds(onset=0.05)
    for look_ahead, like, unlike in ((0, many, few), (8, few, many)):
        found = heard(split, [CLIP], look_ahead)[0]
        assert found == heard(like, [CLIP], look_ahead)[0] != heard(unlike, [CLIP], look_ahead)[0]


def test_every_note_that_begins_also_ends(transcriber: Transcriber) -> None:
    events, _ = heard(transcriber, [CLIP[:8000]])
    down: set[int] = set()
    for event in events:
        if isinstance(event, NoteOn):
            assert event.pitch not in down
            down.add(event.pitch)
        elif isinstance(event, NoteOff):
            down.remove(event.pitch)
    assert not down
    presses = [event.down for event in events if isinstance(event, Pedal)]
    assert presses == [n % 2 == 0 for n in range(len(presses))] and len(presses) % 2 == 0


def test_reset_forgets_everything(transcriber: Transcriber) -> None:
    stream = transcriber.stream(132, 16_000)
    fresh = stream.feed(CLIP) + stream.flush()
    stream.reset()
    stream.feed(piano_like({0.0: 40, 0.1: 52}, 0.7))
    stream.reset()
    assert stream.feed(CLIP) + stream.flush() == fresh


def test_without_reset_the_result_differs(transcriber: Transcriber) -> None:
    stream = transcriber.stream(132, 16_000)
    fresh = stream.feed(CLIP)
    assert stream.feed(CLIP) != fresh


def test_streams_of_one_transcriber_do_not_touch_each_other(transcriber: Transcriber) -> None:
    other_clip = piano_like({0.1: 45, 0.4: 57, 0.9: 50}, 1.5)
    alone = [heard(transcriber, cut(clip, [500]))[0] for clip in (CLIP, other_clip)]
    streams = [transcriber.stream(132, 16_000) for _ in range(2)]
    together: list[list] = [[], []]

    def play(n: int, clip: np.ndarray) -> None:
        for block in cut(clip, [500]):
            together[n].extend(streams[n].feed(block))
        together[n].extend(streams[n].flush())

    threads = [threading.Thread(target=play, args=(n, clip)) for n, clip in enumerate((CLIP, other_clip))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize("look_ahead", [0, 2, 4, 8])
def test_measured_latency_is_the_reported_one(transcriber: Transcriber, look_ahead: int) -> None:
    """Fed sample by sample, a stroke is announced to the very sample that the latency says."""
    onset_frame = 20
    clip = piano_like({onset_frame * HOP / 16_000: 60}, 1.0)
    judged = [0]
    eager = transcriber.with_thresholds(onset=0.1, frame=0.05)  # when it is found matters here, not whether
    stream = eager.stream(
        1000 * latency_s(look_ahead), 16_000, lambda frames: judged.__setitem__(0, judged[0] + len(frames))
    )
    position = onset_frame * HOP
    events = stream.feed(clip[:position])
    while not events:
        assert position < len(clip), "the note was never announced"
        events = stream.feed(clip[position : position + 1])
        position += 1
    event = events[0]
    peak = judged[0] - 2  # the frame that was judged a peak when its right neighbour was known
    assert abs(event.time_s - peak * FRAME_S) <= FRAME_S / 2 + 1e-9
    assert abs(peak - onset_frame) <= 1
    assert position / 16_000 - peak * FRAME_S == pytest.approx(stream.latency_s, abs=1.01 / 16_000)


@pytest.mark.parametrize(("name", "milliseconds"), [("fast", 52), ("balanced", 92), ("accurate", 132)])
def test_named_latencies(transcriber: Transcriber, name: str, milliseconds: int) -> None:
    stream = transcriber.stream(1000 * latency_s(LATENCIES[name]), 16_000)
    assert stream.latency_s == pytest.approx(milliseconds / 1000)


def test_an_unreachable_latency_names_those_that_are(transcriber: Transcriber) -> None:
    with pytest.raises(ValueError, match="52, 72, 92, 112, 132"):
        transcriber.stream(100)


def test_resampling_adds_its_delay_to_the_latency(transcriber: Transcriber) -> None:
    assert 0 < transcriber.stream(132, 48_000).latency_s - 0.132 < 0.001


@pytest.mark.parametrize(
    ("block", "error", "words"),
    [
        (np.array([0.0, np.nan], np.float32), ValueError, "finite"),
        (np.zeros((2, 2), np.float32), ValueError, "mono"),
        (np.zeros(4, np.int64), TypeError, "float"),
    ],
)
def test_bad_blocks_are_refused_and_cost_nothing(transcriber: Transcriber, block, error, words) -> None:
    stream = transcriber.stream(132, 16_000)
    events = stream.feed(CLIP[:6000])
    with pytest.raises(error, match=words):
        stream.feed(block)
    events += stream.feed(CLIP[6000:]) + stream.flush()
    assert events == heard(transcriber, [CLIP[:6000], CLIP[6000:]])[0]


@pytest.mark.slow
def test_windows_of_a_long_recording_show_no_seams(transcriber: Transcriber) -> None:
    rng = np.random.default_rng(1)
    onsets = np.cumsum(rng.uniform(0.1, 0.4, 240))
    strokes = dict(zip(onsets.tolist(), rng.integers(36, 96, len(onsets)).tolist(), strict=True))
    clip = piano_like(strokes, 60.0)
    results = [
        {
            (round(n.onset_s, 3), n.pitch)
            for n in transcriber.transcribe_blocks([clip], 16_000, window_s=w).notes
        }
        for w in (20.0, 10.0, 40.0)
    ]
    assert len(results[0]) > 150
    for other in results[1:]:
        assert len(results[0] ^ other) <= max(1, len(results[0]) // 1000)


def test_stream_is_what_the_face_offers() -> None:
    import hppnet

    assert hppnet.Stream is Stream


def test_what_a_recording_keeps_is_bounded_by_its_window(in_torch: Transcriber) -> None:
    transcriber = in_torch
    driver = RecordingStream(
        TorchWindows(transcriber.network, transcriber.config.front_end, context=25),
        transcriber.config.front_end,
        RecordingDecoder(transcriber.config.decoder),
        16_000,
        window_s=1.0,
    )
    for _ in range(20):
        driver.feed(np.zeros(16_000, np.float32))
        assert len(driver._past.waiting) <= PAST + 25
        assert driver._slices.waiting_frames <= 75
