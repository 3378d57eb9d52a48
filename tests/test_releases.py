"""Where notes of whole recordings end: chosen from what follows them, the same for windows of any length."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hppnet.model import checkpoint
from hppnet.model.checkpoint import CheckpointError
from hppnet.model.config import DecoderConfig, ModelConfig, NetworkConfig
from hppnet.model.decoder import FRAME, OFFSET, Decoder
from hppnet.model.engine.network import OnnxNetwork
from hppnet.model.network import HPPNet
from hppnet.model.notes import Event, Note, NoteOff, NoteOn, Pedal, notes_from
from hppnet.model.recording_decoder import RecordingDecoder
from hppnet.model.releases import CELLS, FACTS, INPUTS, LENGTHS_S, NoteTable, Releases, inputs, length_class
from hppnet.model.timebase import FRAME_S
from hppnet.model.transcriber import Transcriber

from .test_decoder import KEY, PITCH, silence, stroke

SMALL = NetworkConfig(name="small", stem_channels=4, body_channels=8, lstm_units=6)
LAST_CELL = CELLS[0] * CELLS[1]


def layers(units: tuple[int, int] = (8, 8), seed: int | None = None) -> Releases:
    """Random weights; with ``seed`` None all are zero."""
    sizes = (INPUTS, *units, len(LENGTHS_S))
    rng = np.random.default_rng(seed)
    pairs = []
    for wide, high in pairwise(sizes):
        weight = rng.normal(size=(high, wide)) / np.sqrt(wide) if seed is not None else np.zeros((high, wide))
        pairs.append((weight.astype(np.float32), np.zeros(high, np.float32)))
    return Releases(tuple(pairs))


def always(length_s: float) -> Releases:
    """Predicts one length for all notes, surely."""
    found = layers()
    found.layers[-1][1][length_class(np.array(length_s))] = 100
    return found


def decoded(roll: np.ndarray, releases: Releases | None, *sizes: int) -> list[Event]:
    decoder, at, events = RecordingDecoder(DecoderConfig(), releases), 0, []
    pedal = (np.sin(np.arange(len(roll)) / 20) / 2 + 0.5).astype(np.float32)
    for size in sizes or (len(roll),):
        events += decoder.feed(roll[at : at + size], pedal[at : at + size])
        at += size
    return events + decoder.flush()


def music(seed: int, frames: int = 900) -> np.ndarray:
    """Strokes of random keys and lengths, some of them longer than the horizon."""
    rng = np.random.default_rng(seed)
    roll = silence(frames)
    for at in range(5, frames - 40, 12):
        stroke(roll, at, min(frames - 5, at + rng.choice([5, 20, 60, 400])), key=int(rng.integers(30, 60)))
    return roll


def test_without_weights_the_decoder_alone_ends_notes() -> None:
    roll = music(1)
    plain = Decoder(DecoderConfig())
    assert notes_from(decoded(roll, None)) == notes_from(plain.feed(roll) + plain.flush())


def test_a_chosen_end_replaces_one_that_is_less_probable() -> None:
    (note,) = notes_from(decoded(stroke(silence(200), 10, 100), always(0.6)))
    assert note.onset_s == pytest.approx(0.2) and note.offset_s - note.onset_s == pytest.approx(0.6, rel=0.05)


def test_an_end_that_agrees_stays_exact() -> None:
    roll = stroke(silence(200), 10, 40.3)
    (plain,), (note,) = (notes_from(decoded(roll, one)) for one in (None, always(0.6)))
    assert note == plain


def test_a_chosen_end_is_not_after_the_next_stroke() -> None:
    roll = stroke(stroke(silence(200), 10, 20), 30, 90)
    first, second = notes_from(decoded(roll, always(1.5)))
    assert first.offset_s == second.onset_s == pytest.approx(0.6)


@settings(max_examples=20, derandomize=True)
@given(seed=st.integers(0, 1000), sizes=st.lists(st.integers(1, 500), min_size=1, max_size=6))
def test_windows_make_no_difference_and_events_come_in_order(seed: int, sizes: list[int]) -> None:
    roll = music(seed)
    whole = decoded(roll, layers(seed=seed))
    assert decoded(roll, layers(seed=seed), *sizes, max(0, len(roll) - sum(sizes))) == whole
    times = [event.time_s for event in whole]
    assert times == sorted(times)
    down = set()
    for event in whole:
        if isinstance(event, NoteOn):
            assert event.pitch not in down
            down.add(event.pitch)
        elif isinstance(event, NoteOff):
            down.remove(event.pitch)
    assert not down
    onsets = [(note.onset_s, note.pitch, note.velocity) for note in notes_from(whole)]
    assert onsets == [(note.onset_s, note.pitch, note.velocity) for note in notes_from(decoded(roll, None))]


def test_the_pedal_is_as_the_decoder_finds_it() -> None:
    roll = music(2)
    assert [e for e in decoded(roll, layers(seed=1), 300, 600) if isinstance(e, Pedal)] == [
        e for e in decoded(roll, None) if isinstance(e, Pedal)
    ]


def test_what_is_kept_is_bounded_by_the_longest_note() -> None:
    decoder = RecordingDecoder(DecoderConfig(), layers(seed=1))
    for seed in range(20):
        decoder.feed(music(seed))
    assert len(decoder._keys) < 900 + 400 + 400 and len(decoder._notes) < 250 and len(decoder._waiting) < 500


def test_a_note_that_never_ends_holds_nothing_up() -> None:
    """A hum may be taken for a key that is held for hours."""
    decoder = RecordingDecoder(DecoderConfig(), always(5.9))
    on, *rest = decoder.feed(stroke(silence(1000), 10, 5000))
    assert isinstance(on, NoteOn) and rest == [] and len(decoder._keys) < 400
    for frames in [1000] * 3:
        hum = silence(frames)
        hum[:, KEY, FRAME] = 1
        assert decoder.feed(hum) == [] and len(decoder._keys) < 400
    assert decoder.feed(silence(1000)) == [NoteOff(pytest.approx(4000 * FRAME_S), PITCH)]


def test_the_inputs_of_a_note() -> None:
    """A third above begins 0.4 s later; the key itself is played again after 1 s."""
    table = NoteTable(
        np.array([1.0, 1.4, 2.0]), np.array([60, 64, 60]), np.array([64, 64, 64]), np.array([1.5, 1.9, 2.5])
    )
    keys = np.zeros((400, 88, 2), np.float32)
    keys[:80, 60 - 21, 0] = 1
    keys[75, 60 - 21, 1] = 0.7
    (found,) = inputs(table, np.array([0]), keys)
    around = found[:LAST_CELL].reshape(CELLS)
    assert around.sum() == 2 and around[16, 13] == 1 and around[20, 9] == 1
    assert found[LAST_CELL : LAST_CELL + FACTS] == pytest.approx([0, 0, 60 / 44 - 1.5, np.log(0.5)], abs=1e-6)
    frame, offset = found[LAST_CELL + FACTS :].reshape(2, -1)
    assert (frame[LENGTHS_S < 0.57] == 1).all() and (frame[LENGTHS_S > 0.61] == 0).all()
    assert LENGTHS_S[offset.argmax()] == pytest.approx(0.5, rel=0.1) and offset.max() == np.float32(0.7)
    (unheard,) = inputs(table, np.array([0]))
    assert (unheard[:LAST_CELL] == found[:LAST_CELL]).all() and not unheard[LAST_CELL + FACTS - 1 :].any()


def test_a_checkpoint_keeps_them_apart_from_the_network(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, HPPNet(SMALL), ModelConfig(network=SMALL))
    without = checkpoint.identity(path)
    checkpoint.save(path, HPPNet(SMALL), ModelConfig(network=SMALL), releases=layers(seed=3))
    found = checkpoint.read(path)
    assert checkpoint.identity(path) != without
    assert found.releases is not None and isinstance(found.network(), OnnxNetwork)
    for name, value in layers(seed=3).weights.items():
        assert (found.releases.weights[name] == value).all() and name not in found.weights


def test_those_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    broken = layers(seed=3)
    broken = Releases((*broken.layers[:2], (broken.layers[2][0][:5], broken.layers[2][1][:5])))
    checkpoint.save(path, HPPNet(SMALL), ModelConfig(network=SMALL), releases=broken)
    with pytest.raises(CheckpointError, match="do not fit its configuration: releases"):
        checkpoint.read(path)


def test_given_thresholds_of_ends_hold_alone() -> None:
    transcriber = Transcriber.load(device="cpu")
    assert transcriber.releases is not None
    assert transcriber.with_thresholds(onset=0.5).releases is transcriber.releases
    assert transcriber.with_thresholds(offset=0.5).releases is None
    assert transcriber.with_thresholds(frame=0.5).releases is None


def test_the_names_of_the_columns_are_those_of_the_heads() -> None:
    roll = stroke(silence(60), 5, 25)
    assert roll[10, KEY, FRAME] > 0.5 and roll[25, KEY, OFFSET] > 0.5
    (note,) = notes_from(decoded(roll, None))
    assert note.pitch == PITCH and note == Note(
        note.onset_s, pytest.approx(25 * FRAME_S), PITCH, note.velocity
    )
