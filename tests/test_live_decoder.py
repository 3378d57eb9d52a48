"""The decoder: what live hears is what a file gives, and no key stays down, whatever comes in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model.notes import Event, Note, NoteOff, NoteOn, Pedal, notes_from
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.inputs import Block, FileInput
from hppnet.realtime.listener import LiveTranscriber
from hppnet.realtime.live_decoder import LONGEST_NOTE_S, DecoderFault, GateSettings, LiveDecoder

from .live_fakes import FakeModel
from .sounds import piano_like, three_notes

RATE = 16_000
LOUD = np.full(160, 0.5, dtype=np.float32) * np.where(np.arange(160) % 2, 1, -1).astype(np.float32)
QUIET = np.zeros(160, dtype=np.float32)
PEDAL = -1  #: among the keys


def feed(decoder: LiveDecoder, samples: np.ndarray, start_s: float = 0.0, block: int = 160) -> list[Event]:
    events: list[Event] = []
    for first in range(0, len(samples), block):
        events += decoder.feed(Block(samples[first : first + block], start_s + first / RATE, 0, RATE))
    return events


def assert_paired(events: list[Event]) -> None:
    """Every note ends, none before it began, no key goes down twice; the pedal likewise."""
    down: dict[int, float] = {}
    for event in events:
        if isinstance(event, Pedal):
            if event.down:
                assert PEDAL not in down
                down[PEDAL] = event.time_s
            else:
                assert event.time_s >= down.pop(PEDAL)
        elif isinstance(event, NoteOn):
            assert event.pitch not in down
            down[event.pitch] = event.time_s
        else:
            assert event.time_s >= down.pop(event.pitch)
    assert not down


def rounded(notes: list[Note]) -> list[tuple[int, float, float, int]]:
    return [(n.pitch, round(n.onset_s, 5), round(n.offset_s, 5), n.velocity) for n in notes]


def test_live_gives_what_the_file_gives(transcriber: Transcriber) -> None:
    sound = three_notes(48_000)
    found = notes_from(LiveTranscriber(transcriber, FileInput([sound], 48_000, speed=None), latency_ms=132))
    assert rounded(found) == rounded(transcriber.transcribe(sound, 48_000, latency_ms=132))
    assert {note.pitch for note in found} >= {60, 64, 67}


@given(seed=st.integers(0, 2**16))
@settings(max_examples=5)
def test_block_sizes_do_not_matter(transcriber: Transcriber, seed: int) -> None:
    rng, sound = np.random.default_rng(seed), three_notes()
    decoder, events, at = LiveDecoder(transcriber, RATE), [], 0
    while at < len(sound):
        size = int(rng.integers(1, 4000))
        events += decoder.feed(Block(sound[at : at + size], at / RATE, 0, RATE))
        at += size
    events += decoder.flush()
    reference = transcriber.transcribe(sound, RATE, latency_ms=132)
    assert rounded(notes_from(events)) == rounded(reference)


def test_a_gap_ends_what_sounds_and_time_goes_on() -> None:
    decoder = LiveDecoder(FakeModel(), RATE)
    before = feed(decoder, np.tile(LOUD, 10))
    after = decoder.feed(Block(np.tile(LOUD, 4), 100.0, 0, RATE))
    assert [type(event) for event in before + after] == [NoteOn, NoteOff, NoteOn]
    assert after[0].time_s == pytest.approx(0.1)
    assert after[1].time_s == pytest.approx(100.0)
    assert decoder.gaps == 1


def test_a_short_gap_moves_the_times_on() -> None:
    decoder = LiveDecoder(FakeModel(), RATE)
    events = feed(decoder, np.tile(QUIET, 10)) + feed(decoder, np.tile(LOUD, 4), start_s=0.1 + 0.013)
    assert [event.time_s for event in events] == [pytest.approx(0.113)]
    assert decoder.gaps == 0


def test_another_sample_rate_begins_afresh() -> None:
    decoder = LiveDecoder(FakeModel(), RATE)
    events = feed(decoder, np.tile(LOUD, 10))
    events += decoder.feed(Block(np.full(960, 0.5, dtype=np.float32), 0.1, 0, 48_000))
    assert [type(event) for event in events] == [NoteOn, NoteOff, NoteOn]
    assert events[2].time_s == pytest.approx(0.1)


def test_not_numbers_are_counted_and_become_silence() -> None:
    bad = np.tile(QUIET, 4)
    bad[[3, 4, 5]] = np.nan, np.inf, -np.inf
    decoder = LiveDecoder(FakeModel(), RATE)
    assert feed(decoder, bad) == []
    assert decoder.bad_samples == 3


def test_a_fault_of_the_network_keeps_no_note_end_back() -> None:
    model = FakeModel()
    decoder = LiveDecoder(model, RATE)
    begun = feed(decoder, np.tile(LOUD, 10))

    def fail(frames: int) -> None:
        raise RuntimeError("no more memory")

    model.step = fail
    with pytest.raises(RuntimeError):
        decoder.feed(Block(LOUD, 50.0, 0, RATE))  # a gap ends the note, and then the network fails
    assert_paired(begun + decoder.interrupt(broken=True))
    model.step = lambda frames: None
    assert_paired(feed(decoder, np.tile(LOUD, 10), 60.0) + decoder.flush())


def test_what_sounds_when_the_network_fails_is_ended_without_asking_it() -> None:
    model = FakeModel()
    decoder = LiveDecoder(model, RATE)
    begun = feed(decoder, np.tile(LOUD, 10))
    model.streams[0].flush = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    assert_paired(begun + decoder.interrupt(broken=True))


def test_a_network_that_gives_no_numbers_is_a_fault(transcriber: Transcriber) -> None:
    decoder = LiveDecoder(transcriber, RATE)
    with pytest.raises(DecoderFault):
        decoder._watch(np.full((1, 88, 4), np.nan))


def test_no_note_is_longer_than_a_piano_sounds() -> None:
    decoder = LiveDecoder(FakeModel(), RATE)
    events = feed(decoder, np.tile(LOUD, round(100 * LONGEST_NOTE_S) + 200), block=1600)
    assert [type(event) for event in events] == [NoteOn, NoteOff]
    assert events[1].time_s == pytest.approx(LONGEST_NOTE_S, abs=0.2)


def test_it_sleeps_in_silence_and_wakes_with_the_first_note(transcriber: Transcriber) -> None:
    silence = np.zeros(8 * RATE, dtype=np.float32)
    later = piano_like({0.1: 60, 0.4: 64}, 1.5)
    decoder = LiveDecoder(transcriber, RATE, gate=GateSettings(after_s=2))
    events = feed(decoder, np.concatenate([three_notes(), silence]))
    assert decoder.asleep
    slept_at = decoder.frames
    events += feed(decoder, silence[: 2 * RATE], 9.5)
    assert decoder.frames == slept_at
    events += feed(decoder, later, 11.5) + decoder.flush()
    assert not decoder.asleep
    assert_paired(events)
    woken = [note for note in notes_from(events) if note.onset_s > 5]
    assert [note.pitch for note in woken if note.pitch in (60, 64)][:2] == [60, 64]
    assert woken[0].onset_s == pytest.approx(11.6, abs=0.02)


def test_what_sounds_when_it_falls_asleep_is_ended() -> None:
    class Holding(FakeModel):
        LOUD = -1.0  # hears a note in silence, too

    decoder = LiveDecoder(Holding(), RATE, gate=GateSettings(after_s=1))
    events = feed(decoder, np.tile(QUIET, 150))
    assert decoder.asleep and not decoder.sounding
    assert_paired(events)


def _speech(rng: np.random.Generator) -> np.ndarray:
    """Noise and a wandering voice in syllables: what talking beside the piano is like."""
    t = np.arange(4 * RATE) / RATE
    pitch = np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    voice = sum(np.sin(2 * np.pi * h * pitch) / h for h in range(1, 12))
    return (0.1 * voice + 0.02 * rng.normal(size=len(t))) * (np.sin(2 * np.pi * 2.5 * t) > -0.3)


@pytest.mark.parametrize("kind", ["silence", "DC", "clipped", "NaN", "noise", "speech", "huge"])
def test_nothing_that_comes_in_leaves_a_note_on(transcriber: Transcriber, kind: str) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.2, 3 * RATE)
    sound = {
        "silence": np.zeros(3 * RATE),
        "DC": np.full(3 * RATE, 0.7),
        "clipped": np.clip(30 * piano_like({0.2: 60, 0.5: 64}, 3), -1, 1),
        "NaN": np.where(rng.random(3 * RATE) < 0.3, np.nan, noise),
        "noise": noise,
        "speech": _speech(rng),
        "huge": noise * 1e30,
    }[kind].astype(np.float32)
    decoder = LiveDecoder(transcriber, RATE)
    assert_paired(feed(decoder, sound) + decoder.flush())
    # And it still hears afterwards.
    notes = notes_from(feed(decoder, three_notes(), 4.0) + decoder.flush())
    assert {60, 64, 67} <= {note.pitch for note in notes}


def test_breaking_the_loop_closes_the_input() -> None:
    class Watched(FileInput):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    source = Watched([np.tile(LOUD, 50)], RATE, speed=None)
    for event in LiveTranscriber(FakeModel(), source):
        assert isinstance(event, NoteOn)
        break
    assert source.closed


def test_notes_are_those_of_the_engine() -> None:
    sound = np.concatenate([np.tile(QUIET, 10), np.tile(LOUD, 20), np.tile(QUIET, 10)])
    events = LiveTranscriber(FakeModel(), FileInput([sound], RATE, speed=None))
    assert notes_from(events) == [Note(pytest.approx(0.1), pytest.approx(0.3), 49, 80)]
