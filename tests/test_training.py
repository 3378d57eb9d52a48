"""What training draws and computes with: targets, kernels, excerpts, augmentation."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hppnet.model.config import NetworkConfig
from hppnet.model.decoder import Decoder
from hppnet.model.frontend import FrontEndConfig
from hppnet.model.layers import FrequencyNorm, PoolToKeys
from hppnet.model.network import HPPNet
from hppnet.model.notes import notes_from
from hppnet.model.spectrum import front_end_of
from hppnet.model.timebase import HOP, SAMPLE_RATE
from hppnet.training.data.augmentation import in_the_world, mixed
from hppnet.training.data.dataset import Excerpts
from hppnet.training.data.labels import LabelError, targets
from hppnet.training.data.rooms_and_noises import FIRST_ARRIVAL, made_room
from hppnet.training.kernels import accelerate, alone_in, norm, pool

from .needs import needs
from .tolerances import additions, assert_same_sums, tolerance
from .training_runs import PLAIN, make_music, open_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_music(tmp_path)


def test_targets_decode_to_the_notes_they_were_made_from() -> None:
    notes = np.array([[0.31, 0.82, 60, 64], [0.5, 0.62, 64, 100], [0.82, 1.2, 60, 30]])
    decoder = Decoder()
    roll = targets(notes, 80).stacked()
    found = notes_from(decoder.feed(roll) + decoder.flush())
    assert [(n.pitch, n.velocity) for n in found] == [(60, 64), (64, 100), (60, 30)]
    for note, (on, off, _, _) in zip(found, notes, strict=True):
        assert note.onset_s == pytest.approx(on, abs=1e-3)
        assert note.offset_s == pytest.approx(off, abs=1e-3)


def test_targets_of_an_excerpt_are_those_of_the_whole() -> None:
    notes = np.array([[0.31, 0.82, 60, 64], [0.507, 0.63, 64, 100], [0.9, 1.2, 21, 30]])
    whole, part = targets(notes, 80).stacked(), targets(notes - [0.4, 0.4, 0, 0], 40).stacked()
    assert_same_sums(part, whole[20:60], 100)  # a sum of a time and an offset, of up to 50 frames
    assert targets(notes, 80, transpose=-1).frame[:, 0].sum() == 0  # left the keyboard


@pytest.mark.slow
@needs("compiler")
@pytest.mark.parametrize(("look_ahead", "stem_channels", "units"), [(None, 8, 24), (3, 8, 24), (3, 4, 5)])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_faster_roads_give_what_the_plain_one_gives(
    device: str, look_ahead: int | None, stem_channels: int, units: int
) -> None:
    """Also where kernels were not made for a layer's sizes. A GPU's road is taken on the CPU here."""
    torch.manual_seed(0)
    network = HPPNet(NetworkConfig(stem_channels=stem_channels, body_channels=16, lstm_units=units))
    spectrum = torch.randn(2, 21, 352) * 15 - 60

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        out = network(spectrum, look_ahead, 5).notes
        out.square().sum().backward()
        return out.detach(), [p.grad.clone() for p in network.parameters() if p.grad is not None]

    plain, plain_grads = gradients()
    assert accelerate(network, device) == (device == "cpu")
    fast, fast_grads = gradients()
    terms = additions(network, 21)
    assert_same_sums(fast, plain, terms)
    # A gradient adds up what comes back of every output, and goes the way there once more.
    largest = max(float(g.abs().max()) for g in plain_grads)
    rounding = tolerance([largest], 2 * terms + plain.numel() // plain.shape[-1])
    for one, other in zip(fast_grads, plain_grads, strict=True):
        assert float((one - other).abs().max()) <= rounding


def test_excerpts_depend_on_seed_step_and_place_alone(folder: Path) -> None:
    pieces = open_folder(folder / "music", folder / "cache")
    draws = [Excerpts([pieces], [1.0], 64, replace(PLAIN, keys=3, noise=1.0)) for _ in range(2)]
    both = draws[0].batch(0, 5, range(0, 4))
    parts = [draws[1].batch(0, 5, places) for places in (range(0, 2), range(2, 4))]
    for k in range(2):
        assert torch.equal(both[k], torch.cat([part[k] for part in parts]))
    assert not torch.equal(both[0], draws[0].batch(0, 6, range(0, 4))[0])


def test_noise_alone_has_no_notes(folder: Path) -> None:
    pieces = open_folder(folder / "music", folder / "cache")
    drawn = Excerpts([pieces], [1.0], 64, replace(PLAIN, no_piano=1.0))
    spectrum, wanted, pedal, _, _ = drawn.batch(0, 0, range(2))
    assert wanted.abs().max() == 0 and pedal.abs().max() == 0 and spectrum.max() > -80


def test_a_sudden_beginning_is_that_of_a_stream(tmp_path: Path) -> None:
    """Nothing lies before the first frame, and all is as it was where that is no longer heard."""
    tone = 0.3 * np.sin(np.arange(5 * SAMPLE_RATE) * 2 * np.pi * 55 / SAMPLE_RATE)
    soundfile.write(tmp_path / "hum.flac", tone, SAMPLE_RATE)
    (tmp_path / "hum.tsv").write_text("onset\toffset\tnote\tvelocity\n")
    pieces = open_folder(tmp_path, tmp_path / "cache")
    cut, whole = (
        Excerpts([pieces], [1.0], 64, replace(PLAIN, sudden=sudden)).draw(np.random.default_rng(2))[0]
        for sudden in (1.0, 0.0)
    )
    front = front_end_of(FrontEndConfig())
    sound = torch.from_numpy(tone[: 63 * HOP + front.after].astype(np.float32))
    stream = front.frames(torch.nn.functional.pad(sound, (front.before, 0))[None])[0]
    hum = 4 * 12 + 1  # of A1, 55 Hz
    assert whole[0, hum] - cut[0, hum] > 6 and (whole[:, hum] - whole[0, hum]).abs().max() < 1
    torch.testing.assert_close(cut[:, hum], stream[:, hum], atol=1.5, rtol=0)
    assert torch.equal(cut[front.before // HOP + 1 :], whole[front.before // HOP + 1 :])


def test_two_excerpts_at_once_have_the_notes_of_both() -> None:
    sound = np.full(1000, 0.1, np.float32)
    one = sound, np.array([[0.1, 0.5, 60, 64], [0.4, 0.6, 62, 64]])
    other = 3 * sound, np.array([[-0.05, 0.7, 64, 30], [0.3, 0.9, 60, 90]])
    samples, notes = mixed(one, other, np.random.default_rng(0))
    assert notes.tolist() == [[-0.05, 0.7, 64, 0], [0.1, 0.3, 60, 0], [0.3, 0.9, 60, 0], [0.4, 0.6, 62, 0]]
    added = samples / sound - 1
    assert 10 ** (-12 / 20) <= added.min() == added.max() <= 1  # never louder than the first


def test_noise_and_rooms_leave_the_timing(tmp_path: Path) -> None:
    room = np.zeros(4000, np.float32)
    room[16:] = 0.9 * np.exp(-np.arange(3984) / 300)
    soundfile.write(tmp_path / "room.flac", room, 16_000)
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.5
    how = replace(PLAIN, room=1.0, made_room=0, rooms=str(tmp_path))
    wet = in_the_world(click, how, np.random.default_rng(0))
    assert int(np.abs(wet).argmax()) == 8000 and np.abs(wet[8100:8200]).max() > 0


def test_a_recording_that_was_replaced_is_decoded_anew(folder: Path) -> None:
    sound = folder / "music" / "one.flac"
    before = open_folder(folder / "music", folder / "cache")[0].samples[:]
    soundfile.write(sound, -before.astype(float) / 32768, 16_000)
    os.utime(sound, (time.time() + 10,) * 2)
    after = open_folder(folder / "music", folder / "cache")[0].samples
    assert np.abs(after.astype(int) + before).max() <= 1 < np.abs(before).max()


def test_labels_are_read_once_until_they_are_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = folder / "music" / "one.tsv"
    before = open_folder(folder / "music", folder / "cache")[0].notes[:]
    with monkeypatch.context() as patch:
        patch.setattr("hppnet.training.data.dataset.read_labels", None)
        assert np.array_equal(open_folder(folder / "music", folder / "cache")[0].notes, before)
    labels.write_text("onset\toffset\tnote\tvelocity\n0.5\t0.9\t60\n")
    os.utime(labels, (time.time() + 10,) * 2)
    with pytest.raises(LabelError, match="line 2"):
        open_folder(folder / "music", folder / "cache")
    labels.write_text("onset\toffset\tnote\tvelocity\n0.5\t0.9\t60\t70\n")
    os.utime(labels, (time.time() + 10,) * 2)
    assert open_folder(folder / "music", folder / "cache")[0].notes.tolist() == [[0.5, 0.9, 60, 70]]


def test_a_made_up_room_begins_with_the_direct_sound_and_dies_away() -> None:
    responses = [made_room(np.random.default_rng(seed)) for seed in range(300)]
    for response in responses:
        assert not response[:FIRST_ARRIVAL].any() and response[FIRST_ARRIVAL] == 1
        first, last = np.array_split(response[FIRST_ARRIVAL + 1 :].astype(float) ** 2, 2)
        assert 0 < last.sum() < first.sum() and np.abs(response[FIRST_ARRIVAL + 1 :]).max() < 1
    assert len({len(response) for response in responses}) > 200
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.5
    for seed in range(50):
        wet = in_the_world(click, replace(PLAIN, room=1.0, fully_wet=1.0), np.random.default_rng(seed))
        assert (
            np.abs(wet[:8000]).max() < 1e-6 < np.abs(wet[8032:]).max() and int(np.abs(wet).argmax()) == 8000
        )


@pytest.mark.slow
@needs("compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_compiled_norms_and_pooling_are_pytorchs(dtype: torch.dtype) -> None:
    """Results and gradients, with what is added or cut off afterwards, in every precision of training."""
    torch.manual_seed(0)
    layer, to_keys = FrequencyNorm(3), PoolToKeys()
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x, passing = (torch.randn(2, 3, 4, 88, dtype=dtype).requires_grad_() for _ in range(2))
    # Where a value is near 0, rounding decides whether it is cut off.
    probe = torch.randn(2, 3, 4, 88) * (layer(x).abs() > 0.1)

    def results() -> list[torch.Tensor]:
        inputs = [x, passing, layer.weight, layer.bias]
        outputs = [layer(x, relu=True), layer(x, passing=passing), layer(x), to_keys(x)]
        found = [out.detach() for out in outputs]
        for out in outputs:
            total = (out.float() * probe[..., : out.shape[3]].detach()).sum()
            grads = torch.autograd.grad(total, inputs, allow_unused=True)
            found += [grad for grad in grads if grad is not None]
        return [part.float() for part in found]

    plain = results()
    layer.kernel, to_keys.kernel = norm, pool
    step = torch.finfo(dtype).eps  # what PyTorch rounds between its operations, and adds up over 88 keys
    for one, other in zip(results(), plain, strict=True):
        torch.testing.assert_close(one, other, atol=30 * step * float(other.abs().max()), rtol=0)


def test_a_lock_that_a_killed_process_left_holds_up_no_build(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()  # as PyTorch leaves it
    with alone_in(tmp_path):
        assert not (tmp_path / "lock").exists()
