"""The sustain pedal: its head, its decoder, its labels, and that it changes no note."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.checkpoint import CheckpointError, save
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.decoder import HYSTERESIS, SHORTEST_FRAMES, Decoder, PedalDecoder, with_pedal
from hppnet.model.network import HPPNet
from hppnet.model.notes import (
    Event,
    Note,
    NoteOff,
    NoteOn,
    Pedal,
    Press,
    notes_from,
    presses_from,
    read_pedal,
    sounding,
    write_midi,
)
from hppnet.model.torch_engine import joined, parted
from hppnet.model.transcriber import Transcriber
from hppnet.offline.settings import Settings, load_transcriber
from hppnet.offline.writing import writers
from hppnet.training.data.labels import LabelError, pedal_target, read_presses, write_presses
from hppnet.training.data.performances import moves_pedal, notes_of, presses_of
from hppnet.training.evaluate.pedal_scores import mean_pedal, score_pedal
from hppnet.training.evaluate.scores import NoteArrays
from hppnet.training.losses import pedal_loss
from hppnet.training.thresholds import PredictedRecording, _choose_pedal

from .pedal_parts import UNITS, with_moving_pedal
from .tolerances import additions, assert_same_sums

SMALL = NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2, pedal_units=UNITS)


def network_with(pedal_units: int = 4) -> HPPNet:
    torch.manual_seed(1)
    return HPPNet(replace(SMALL, pedal_units=pedal_units)).eval().requires_grad_(False)


def spectra(frames: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(batch, frames, 352, generator=generator) * -80


# --- the head ---


@pytest.mark.parametrize("look_ahead", [0, 1, 4])
@pytest.mark.parametrize("cuts", [[1] * 30, [7, 1, 15, 7], [30]])
def test_blocks_of_any_size_give_one_probability(look_ahead: int, cuts: list[int]) -> None:
    network = network_with()
    whole = network(spectra(30), look_ahead, chunk=1).pedal.sigmoid()
    state, parts = network.start(), []
    for part in spectra(30).split(cuts, dim=1):
        predictions, state = network.step(part, state, look_ahead)
        parts.append(predictions.pedal)
    assert_same_sums(torch.cat(parts, 1), whole[:, : 30 - look_ahead], additions(network, 30))


def test_it_is_taught_as_live_hears_it() -> None:
    network = network_with()
    live = network.step(spectra(30), network.start(), 2)[0].pedal
    taught = network(spectra(30), 2, chunk=8).pedal.sigmoid()
    assert_same_sums(taught, live[:, :24], additions(network, 30))


def test_the_notes_do_not_know_of_the_pedal() -> None:
    with_head, without = network_with(), network_with(0)
    without.load_state_dict({k: v for k, v in with_head.state_dict().items() if not k.startswith("pedal.")})
    for look_ahead in (None, 4):
        assert torch.equal(with_head(spectra(20), look_ahead).notes, without(spectra(20), look_ahead).notes)


def test_teaching_the_pedal_moves_its_head_alone() -> None:
    network = network_with().requires_grad_(True)
    network(spectra(20), None).pedal.sum().backward()
    moved = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert moved and all(name.startswith("pedal.") for name in moved)


def test_states_of_several_streams_join_and_part() -> None:
    network = network_with()
    states = [network.step(spectra(9, 2)[k : k + 1], network.start(), 4)[1] for k in range(2)]
    again = parted(joined(states), 2)
    for before, after in zip(states, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(before.pedal, after.pedal, strict=True))


# --- a stream and a recording ---


@pytest.fixture(scope="module")
def moving(sound: np.ndarray) -> Transcriber:
    return with_moving_pedal(Transcriber(network_with(), ModelConfig(SMALL), precision="fp32"), sound)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    rng = np.random.default_rng(0)
    loudness = np.repeat(10 ** rng.uniform(-3, 0, 40), 2000)
    return (rng.standard_normal(80_000) * loudness * 0.3).astype(np.float32)


@hypothesis_settings(max_examples=15)
@given(sizes=st.lists(st.sampled_from([1, 7, 333, 5_000, 30_000]), min_size=1, max_size=12))
def test_a_stream_moves_the_pedal_alike_whatever_the_blocks(
    moving: Transcriber, sound: np.ndarray, sizes: list[int]
) -> None:
    whole = moving.stream(132, 16_000)
    wanted = whole.feed(sound) + whole.flush()
    assert sum(isinstance(event, Pedal) for event in wanted) >= 4
    stream = moving.stream(132, 16_000)
    edges = [edge for edge in np.cumsum(sizes) if edge < len(sound)]
    heard = [event for block in np.split(sound, edges) for event in stream.feed(block)] + stream.flush()
    assert [type(e) for e in heard] == [type(e) for e in wanted]
    assert [e.time_s for e in heard] == pytest.approx([e.time_s for e in wanted], abs=1e-3)


@pytest.mark.parametrize("latency_ms", [None, 132])
def test_without_the_pedal_the_notes_are_the_same(
    moving: Transcriber, sound: np.ndarray, latency_ms: float | None
) -> None:
    without = moving.without_pedal()
    assert moving.has_pedal and not without.has_pedal
    wanted = moving.transcribe_blocks([sound], 16_000, latency_ms=latency_ms, keep_probabilities=True)
    heard = without.transcribe_blocks([sound], 16_000, latency_ms=latency_ms, keep_probabilities=True)
    assert heard.notes == wanted.notes and heard.pedal is None
    np.testing.assert_array_equal(heard.probabilities, wanted.probabilities)


def test_reset_lets_the_pedal_go(moving: Transcriber, sound: np.ndarray) -> None:
    stream = moving.stream(132, 16_000)
    first = stream.feed(sound) + stream.flush()
    stream.reset()
    assert stream.feed(sound) + stream.flush() == first


@pytest.mark.parametrize("latency_ms", [None, 132])
def test_a_recording_has_presses(moving: Transcriber, sound: np.ndarray, latency_ms: float | None) -> None:
    heard = moving.transcribe_blocks(np.split(sound, 8), 16_000, latency_ms=latency_ms)
    assert moving.has_pedal and heard.pedal
    assert all(0 <= p.down_s < p.up_s <= heard.duration_s for p in heard.pedal)
    assert heard.pedal == sorted(heard.pedal)


@pytest.mark.parametrize("latency_ms", [None, 132])
@pytest.mark.parametrize("samples", [0, 1])
def test_no_sound_has_no_press(moving: Transcriber, latency_ms: float | None, samples: int) -> None:
    heard = moving.transcribe_blocks([np.zeros(samples, np.float32)], 16_000, latency_ms=latency_ms)
    assert all(press.up_s <= 0.02 for press in heard.pedal or ())


def test_windows_do_not_show(moving: Transcriber, sound: np.ndarray) -> None:
    long, short = (moving.transcribe_blocks([sound], 16_000, window_s=w).pedal for w in (20, 1.5))
    assert len(long) == len(short)


# --- the decoder ---


def changes_in(probabilities: list[float], threshold: float = 0.5) -> list[Pedal]:
    decoder = PedalDecoder(threshold)
    found = [change for change in decoder.feed(np.array(probabilities, np.float32)) if change]
    found += [change for change in decoder.feed(decoder.last) if change]
    last = decoder.flush()
    return found + ([last] if last else [])


def test_the_pedal_goes_down_where_two_frames_say_so() -> None:
    assert changes_in([0.1] * 5 + [0.9] + [0.1] * 5) == []
    down, up = changes_in([0.1] * 5 + [0.9] * 10 + [0.1] * 5)
    assert down.down and not up.down
    assert down.time_s == pytest.approx(0.09, abs=0.011) and up.time_s == pytest.approx(0.29, abs=0.011)


def test_between_the_two_thresholds_nothing_changes() -> None:
    between = 0.5 - HYSTERESIS / 2
    assert changes_in([between] * 20) == []
    assert [c.down for c in changes_in([0.9] * 5 + [between] * 20 + [0.1] * 5)] == [True, False]


def test_two_changes_keep_their_distance() -> None:
    found = changes_in([0.9, 0.9, 0.0, 0.0] * 20)
    frames = [change.time_s * 50 for change in found]
    assert all(b - a > SHORTEST_FRAMES - 1 for a, b in itertools.pairwise(frames))


def test_what_is_down_at_the_end_comes_up() -> None:
    assert changes_in([0.9] * 10)[-1] == Pedal(0.2, False)
    assert changes_in([]) == []


@hypothesis_settings(max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), max_size=60), st.lists(st.integers(1, 9), max_size=20))
def test_any_cut_gives_the_same_changes(probabilities: list[float], sizes: list[int]) -> None:
    decoder = PedalDecoder(0.5)
    frames = np.array(probabilities, np.float32)
    parts = np.split(frames, [edge for edge in np.cumsum(sizes) if edge < len(frames)])
    found = [change for part in parts for change in decoder.feed(part)]
    assert found == PedalDecoder(0.5).feed(frames)
    turns = [change for change in found if change]
    assert [turn.down for turn in turns] == [k % 2 == 0 for k in range(len(turns))]
    assert [turn.time_s for turn in turns] == sorted(turn.time_s for turn in turns)


def test_a_key_that_comes_up_as_the_pedal_goes_down_rings_on() -> None:
    events: list[Event] = [NoteOff(1.0, 60), NoteOn(1.002, 64, 80)]
    assert with_pedal(events, Pedal(1.005, True)) == [Pedal(1.0, True), *events]
    assert with_pedal(events, Pedal(1.005, False)) == [*events, Pedal(1.005, False)]


def test_notes_and_pedal_are_decoded_side_by_side() -> None:
    rng = np.random.default_rng(2)
    keys = (rng.random((200, 88, 4)) ** 4).astype(np.float32)
    pedal = np.repeat(rng.random(40), 5).astype(np.float32)
    decoder = Decoder()
    both = decoder.feed(keys, pedal) + decoder.flush()
    alone = Decoder()
    assert notes_from(both) == notes_from(alone.feed(keys) + alone.flush())
    assert any(isinstance(event, Pedal) for event in both)


def test_presses_are_pairs() -> None:
    events = [Pedal(1, True), NoteOn(1, 60, 1), Pedal(2, False), Pedal(3, False), Pedal(4, True)]
    assert presses_from(events) == [Press(1, 2)]


# --- labels ---


def test_labels_say_when_it_is_down() -> None:
    assert pedal_target(np.array([[0.1, 0.2], [-1.0, 0.02]]), 12).tolist() == [
        1,
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        1,
        1,
        0,
        0,
    ]
    assert pedal_target(None, 3).tolist() == [-1, -1, -1]


def test_what_is_not_known_teaches_nothing() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    pedal_loss(logits, torch.tensor([[-1.0] * 4]), torch.tensor(0.0)).backward()
    assert logits.grad is not None and logits.grad.abs().sum() == 0


def test_frames_near_a_change_count_three_times() -> None:
    logits = torch.zeros(1, 60, requires_grad=True)
    wanted = torch.cat([torch.zeros(1, 30), torch.ones(1, 30)], dim=1)
    pedal_loss(logits, wanted, torch.tensor(60.0)).backward()
    assert logits.grad is not None
    size = (logits.grad[0].abs() * 60 / 0.5).round().tolist()
    assert size == [1] * 20 + [3] * 21 + [1] * 19


def test_a_table_of_presses_comes_back(tmp_path: Path) -> None:
    write_presses(tmp_path / "a.pedal", [(0.5, 1.25), (2.0, 3.0)])
    assert read_presses(tmp_path / "a.pedal").tolist() == [[0.5, 1.25], [2.0, 3.0]]
    assert read_presses(tmp_path / "b.pedal") is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "columns"),
        ("up\tdown\n", "columns"),
        ("down\tup\n1\n", "line 2"),
        ("down\tup\n2\t1\n", "in order"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.pedal").write_text(text)
    with pytest.raises(LabelError, match=rf"a\.pedal.*{says}"):
        read_presses(tmp_path / "a.pedal")


# --- scores ---


def test_sounding_ends_are_the_pedals_or_the_next_strokes() -> None:
    notes = [Note(0.0, 0.5, 60, 64), Note(0.6, 0.7, 60, 64), Note(0.0, 0.2, 62, 64), Note(0.0, 1.5, 64, 64)]
    held = sounding(notes, [Press(0.4, 1.0)])
    assert held == [Note(0, 0.2, 62, 64), Note(0, 0.6, 60, 64), Note(0, 1.5, 64, 64), Note(0.6, 1.0, 60, 64)]
    assert sounding(held, [Press(0.4, 1.0)]) == held


def test_scores_of_the_pedal() -> None:
    played = [Note(0.5, 1.0, 60, 64)]
    perfect = score_pedal(played, [Press(0.8, 3.0)], played, [Press(0.8, 3.0)])
    assert {f: getattr(perfect, f).f1 for f in ("frame", "down", "up", "sounding")} == dict.fromkeys(
        ("frame", "down", "up", "sounding"), 100.0
    )
    assert perfect.keys is not None and perfect.keys.f1 == 0
    late = score_pedal(played, [Press(1.0, 2.0), Press(5.0, 6.0)], played, [Press(1.25, 2.1)])
    assert late.down is not None and late.down.f1 == 0
    assert late.up is not None and late.up.p == 100 and late.up.r == 50
    assert late.frame is not None and late.frame.p == pytest.approx(100 * 75 / 85, abs=1)
    nothing = score_pedal(played, [], played, [])
    assert nothing.frame is None and nothing.down is None and nothing.sounding is not None
    assert mean_pedal([perfect, nothing]).frame == perfect.frame


def test_a_midi_file_holds_the_pedal(tmp_path: Path) -> None:
    presses = [Press(0.25, 1.0), Press(1.5, 2.0)]
    write_midi([Note(0.0, 0.5, 60, 64)], tmp_path / "a.mid", presses)
    performance = mido.MidiFile(tmp_path / "a.mid")
    assert moves_pedal(performance)
    found = np.array(presses_of(performance))
    assert found == pytest.approx(np.array([(p.down_s, p.up_s) for p in presses]), abs=1e-3)
    assert np.array([(p.down_s, p.up_s) for p in read_pedal(tmp_path / "a.mid")]) == pytest.approx(found)
    write_midi([Note(0.0, 0.5, 60, 64)], tmp_path / "b.mid")
    assert not moves_pedal(mido.MidiFile(tmp_path / "b.mid")) and not read_pedal(tmp_path / "b.mid")


def test_a_pedal_that_moves_while_it_is_down_is_down_since_it_went_down() -> None:
    moves = [(0.5, True), (0.7, True), (1.0, False), (1.2, False), (2.0, True), (3.0, False)]
    assert presses_from(Pedal(*move) for move in moves) == [Press(0.5, 1.0), Press(2.0, 3.0)]


def test_the_threshold_is_chosen_on_what_was_kept_back() -> None:
    down = np.zeros(500, np.float32)
    down[100:300] = 0.45
    pressed = [Press(2.0, 6.0)]
    judged = PredictedRecording(np.zeros((500, 88, 4)), NoteArrays.of([]), down, pressed)
    assert _choose_pedal([judged], 0.5) in (0.3, 0.4)
    assert _choose_pedal([replace(judged, pressed=None)], 0.5) == 0.5


# --- what is written ---

NOTES = [Note(0.0, 0.5, 60, 64), Note(0.6, 0.7, 62, 64)]
PRESSES = [Press(0.4, 1.0)]


def test_csv_and_json_hold_both_ends(tmp_path: Path) -> None:
    kinds = writers(NOTES, {"source": "a.wav"}, PRESSES)
    for kind in ("csv", "json"):
        kinds[kind](tmp_path / f"a.{kind}")
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["offset_s"], row["sounding_s"]) for row in rows] == [("0.5", "1.0"), ("0.7", "1.0")]
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["pedal"] == [{"down_s": 0.4, "up_s": 1.0}]
    assert [note["sounding_s"] for note in told["notes"]] == [1.0, 1.0]


def test_midi_has_the_pedal_or_sounding_ends(tmp_path: Path) -> None:
    writers(NOTES, {}, PRESSES)["mid"](tmp_path / "keys.mid")
    writers(NOTES, {}, PRESSES, "sounding")["mid"](tmp_path / "sounding.mid")
    keys, held = (mido.MidiFile(tmp_path / f"{name}.mid") for name in ("keys", "sounding"))
    assert moves_pedal(keys) and not moves_pedal(held)
    assert [note.offset_s for note in notes_of(held, "keys")] == pytest.approx([1.0, 1.0], abs=1e-3)
    assert notes_of(keys, "sounding") == notes_of(held, "keys")


def test_sounding_ends_need_a_head(tmp_path: Path) -> None:
    config = ModelConfig(replace(SMALL, pedal_units=0))
    save(tmp_path / "deaf.safetensors", network_with(0), config)
    with pytest.raises(CheckpointError, match=r"deaf\.safetensors.*pedal"):
        load_transcriber(Settings(checkpoint=str(tmp_path / "deaf.safetensors"), note_ends="sounding"))
    with pytest.raises(ValueError, match="keys or sounding"):
        Settings(note_ends="both")


def test_transcribe_writes_the_pedal(moving: Transcriber, sound: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path / "moving.safetensors", moving.network, moving.config)
    soundfile.write(tmp_path / "a.wav", sound, 16_000)
    model = ["--checkpoint", str(tmp_path / "moving.safetensors"), "--device", "cpu"]
    out = ["-o", str(tmp_path / "out"), "--format", "mid,json", "--plot", "-q"]
    done = CliRunner().invoke(app, ["transcribe", str(tmp_path / "a.wav"), *model, *out])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "a.json").read_text())["pedal"]
    assert len(told) > 2
    heard = presses_of(mido.MidiFile(tmp_path / "out" / "a.mid"))
    assert np.array(heard) == pytest.approx(np.array([(p["down_s"], p["up_s"]) for p in told]), abs=1e-3)
    assert (tmp_path / "out" / "a.png").stat().st_size > 1000
