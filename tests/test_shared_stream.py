"""Streams computed together give what each gives alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hppnet.model.notes import Event
from hppnet.model.shared_stream import shared_stream, step_together
from hppnet.model.torch_engine import joined, parted
from hppnet.model.transcriber import Transcriber

from .sounds import piano_like
from .tolerances import additions, assert_same_sums

RATE = 16_000


def sound(seed: int, seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    onsets = {float(t): int(rng.integers(40, 80)) for t in rng.uniform(0.1, seconds - 0.3, 6)}
    return piano_like(onsets, seconds)


class Watched:
    """Keeps the probabilities of a stream."""

    def __init__(self) -> None:
        self.blocks: list[np.ndarray] = []

    def __call__(self, probabilities: np.ndarray) -> None:
        self.blocks.append(probabilities)

    @property
    def all(self) -> np.ndarray:
        return np.concatenate(self.blocks)


def alone(transcriber: Transcriber, samples: np.ndarray, latency_ms: float) -> tuple[np.ndarray, list[Event]]:
    watched = Watched()
    stream = transcriber.stream(latency_ms, RATE, watched)
    events = stream.feed(samples) + stream.flush()
    return watched.all, events


def rounded(events: list[Event]) -> list[tuple]:
    return [(type(e).__name__, getattr(e, "pitch", None), round(e.time_s, 3)) for e in events]


@pytest.mark.parametrize("engine", ["in_torch", "transcriber"])
def test_together_as_alone_whatever_comes_when(engine: str, request: pytest.FixtureRequest) -> None:
    """Streams of two latencies that begin at different moments and get blocks of different sizes."""
    transcriber = request.getfixturevalue(engine)
    latencies, sizes, starts = (132, 132, 92, 132), (160, 320, 800, 5000), (0, 3, 0, 7)
    sounds = [sound(seed) for seed in range(4)]
    watched = [Watched() for _ in sounds]
    streams = [shared_stream(transcriber, ms, RATE, w) for ms, w in zip(latencies, watched, strict=True)]
    fed, events = [0] * 4, [[] for _ in sounds]
    turn = 0
    while any(at < len(s) for at, s in zip(fed, sounds, strict=True)):
        for i, stream in enumerate(streams):
            if turn >= starts[i] and fed[i] < len(sounds[i]):
                assert stream.feed(sounds[i][fed[i] : fed[i] + sizes[i]]) == []
                fed[i] += sizes[i]
        step_together(streams)
        assert not any(stream.waiting_frames for stream in streams)
        for own, stream in zip(events, streams, strict=True):
            own += stream.collect()
        turn += 1
    for i, stream in enumerate(streams):
        events[i] += stream.flush()
        probabilities, expected = alone(transcriber, sounds[i], latencies[i])
        assert_same_sums(watched[i].all, probabilities, additions(transcriber.network, len(probabilities)))
        assert rounded(events[i]) == rounded(expected) and expected


def test_flush_takes_what_still_waits(transcriber: Transcriber) -> None:
    samples, watched = sound(5), Watched()
    stream = shared_stream(transcriber, 132, RATE, watched)
    stream.feed(samples)
    events = stream.flush()
    probabilities, expected = alone(transcriber, samples, 132)
    assert_same_sums(watched.all, probabilities, additions(transcriber.network, len(probabilities)))
    assert rounded(events) == rounded(expected)
    stream.reset()
    assert stream.flush() == []


def test_a_fault_in_one_stream_stays_its_own(transcriber: Transcriber) -> None:
    def refuse(probabilities: np.ndarray) -> None:
        raise ArithmeticError("not numbers")

    watched = Watched()
    good, bad = (shared_stream(transcriber, 132, RATE, watch) for watch in (watched, refuse))
    for stream in (bad, good):
        stream.feed(sound(1))
    step_together([bad, good])
    with pytest.raises(ArithmeticError):
        bad.collect()
    assert len(watched.all) > 50 and good.collect()
    assert bad.collect() == []  # told once


def test_states_join_and_part(in_torch: Transcriber) -> None:
    network = in_torch.network
    with torch.inference_mode():
        states = [network.step(torch.randn(1, 9, 352) * 10 - 60, network.start(), 4)[1] for _ in range(3)]
    for before, after in zip(states, parted(joined(states), 3), strict=True):
        for a, b in zip(before.pasts, after.pasts, strict=True):
            assert torch.equal(a, b)
        assert all(torch.equal(a, b) for a, b in zip(before.forward, after.forward, strict=True))
        assert torch.equal(before.gates, after.gates)
