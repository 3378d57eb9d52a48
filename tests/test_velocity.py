"""The velocity head: streams like the rest, and predicts where an onset may be alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hppnet.model.config import FUTURE, MEMORY, PAST, DecoderConfig, ModelConfig, NetworkConfig
from hppnet.model.frontend import FLOOR_DB, normal
from hppnet.model.network import HPPNet
from hppnet.model.torch_engine import joined, parted
from hppnet.model.transcriber import Transcriber
from hppnet.model.velocity import VelocityHead

from .tolerances import additions, assert_same_sums, tolerance

SMALL = NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2, pedal_units=2, velocity_units=4)


def network_with(config: NetworkConfig = SMALL) -> HPPNet:
    """Random weights; an onset may be anywhere."""
    torch.manual_seed(2)
    network = HPPNet(config).eval()
    with torch.no_grad():
        for weights in network.velocity.parameters():
            weights.copy_(torch.randn_like(weights) * 0.2)
        network.weight[0], network.bias[0] = 0.0, 0.0
    return network.requires_grad_(False)


def spectra(frames: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(batch, frames, 352, generator=generator) * -80


def velocities(network: HPPNet, spectrum: torch.Tensor, look_ahead: int | None) -> torch.Tensor:
    """All keys' velocities in all frames."""
    shape = (len(spectrum), spectrum.shape[1] - (look_ahead or 0), 88)
    return network(spectrum, look_ahead, 1, torch.ones(shape, dtype=torch.bool)).velocity


@pytest.mark.parametrize("look_ahead", [0, 1, 4, 6])
@pytest.mark.parametrize("cuts", [[1] * 30, [7, 1, 15, 7], [30]])
def test_blocks_of_any_size_give_one_velocity(look_ahead: int, cuts: list[int]) -> None:
    network = network_with()
    state, parts = network.start(), []
    for part in spectra(30).split(cuts, dim=1):
        predictions, state = network.step(part, state, look_ahead)
        assert predictions.keys.shape[2:] == (88, 4)
        parts.append(predictions.keys[..., 3])
    wanted = velocities(network, spectra(30), look_ahead)
    assert_same_sums(torch.cat(parts, 1), wanted, additions(network, 30))


@pytest.mark.parametrize("look_ahead", [0, 2, 4, None])
def test_each_frame_sees_what_it_may_see(look_ahead: int | None) -> None:
    network, frame = network_with(), 10
    before = velocities(network, spectra(20), look_ahead)[0, frame]
    future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
    for at, seen in [(frame - PAST, True), (frame + future, True), (frame + future + 1, False)]:
        changed = spectra(20)
        changed[0, at, 160:170] += 20
        apart = (velocities(network, changed, look_ahead)[0, frame] - before).abs().max()
        moved = bool(apart > tolerance(before, additions(network, 20)))
        assert moved == seen, at
    changed = spectra(20)
    changed[0, 0] += 60  # long before the stroke: the recording is loud
    apart = (velocities(network, changed, look_ahead)[0, frame] - before).abs().max()
    assert apart > tolerance(before, additions(network, 20))


def test_what_was_loud_is_forgotten_after_five_seconds() -> None:
    network = network_with()
    quiet = spectra(MEMORY + 12)
    loud = quiet.clone()
    loud[0, 0] += 60
    apart = (velocities(network, quiet, 0) - velocities(network, loud, 0)).abs().amax((0, 2))
    assert apart[PAST + 1 : MEMORY + 1].min() > 1e-4 and apart[MEMORY + 1 :].max() < 1e-5


def test_loudness_is_known_from_the_first_frame_on() -> None:
    """The silence before a recording is not a quiet passage."""
    steady, network = spectra(1).expand(1, 40, 352), network_with()
    network.velocity.features.zero_()  # features see where the sound begins
    found = velocities(network, steady, 2)[0, PAST:]
    assert_same_sums(found, found[:1].expand_as(found), additions(network, 30))


@pytest.mark.parametrize(("look_ahead", "future"), [(0, 0), (2, 2), (6, FUTURE), (None, FUTURE)])
def test_each_look_ahead_is_learned_by_itself(look_ahead: int | None, future: int) -> None:
    network = network_with().requires_grad_(True)
    velocities(network, spectra(20), look_ahead).sum().backward()
    assert network.velocity.future.grad is not None
    assert network.velocity.future.grad.any(1).nonzero().tolist() == [[future]]


def test_beyond_the_keyboard_and_before_the_beginning_is_silence() -> None:
    head = network_with().velocity
    head.key.zero_()
    history = torch.cat([head.start(), head.summarise(normal(torch.full((1, 12, 352), FLOOR_DB)))], dim=1)
    found = head(history, torch.zeros(PAST + 12, 88, 2), torch.ones(1, 12, 88, dtype=torch.bool), None)
    assert_same_sums(found, found[:1, :1, :1].expand_as(found), additions(head, 12))


@pytest.mark.parametrize("look_ahead", [0, 2, 4, None])
def test_a_velocity_sees_its_own_keys_features_around_it(look_ahead: int | None) -> None:
    head, count, frame = network_with().velocity, 12, 6
    history = torch.cat([head.start(2), head.summarise(normal(spectra(16, 2)))], dim=1)
    x = torch.randn(PAST + 16, 2 * 88, 2)
    onsets = torch.zeros(2, count, 88, dtype=torch.bool)
    onsets[1, frame, 40] = True
    before = head(history, x, onsets, look_ahead)
    future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
    seen = set()
    for at in range(len(x)):
        changed = x.clone()
        changed[at, 88 + 40] += 1
        others = x.clone()
        others[at, [40, 88 + 39, 88 + 41]] += 1
        assert torch.equal(head(history, others, onsets, look_ahead), before)
        if not torch.equal(head(history, changed, onsets, look_ahead), before):
            seen.add(at - PAST - frame)
    assert seen == set(range(-PAST, future + 1))


def test_elsewhere_nothing_is_computed_and_at_onsets_the_same() -> None:
    head = network_with().velocity
    history = torch.cat([head.start(2), head.summarise(normal(spectra(12, 2)))], dim=1)
    x = torch.randn(PAST + 12, 2 * 88, 2)
    onsets = torch.rand(2, 12, 88) < 0.1
    everywhere, some = head(history, x, torch.ones_like(onsets), None), head(history, x, onsets, None)
    assert_same_sums(some[onsets], everywhere[onsets], additions(head, 12))
    assert not some[~onsets].any() and everywhere.min() > 0


def test_no_onset_threshold_lies_below_what_velocities_are_predicted_for() -> None:
    with pytest.raises(ValueError, match=r"the onset threshold must be at least 0\.05, got 0\.04"):
        DecoderConfig(onset=0.04)


def test_states_of_several_streams_join_and_part() -> None:
    network = network_with()
    states = [network.step(spectra(9, 2)[k : k + 1], network.start(), 4)[1] for k in range(2)]
    for before, after in zip(states, parted(joined(states), 2), strict=True):
        assert torch.equal(before.history, after.history) and before.history.shape[1] == MEMORY + 4
        assert torch.equal(before.features, after.features) and before.features.shape[0] == PAST + 4
        assert torch.equal(before.gates, after.gates) and before.gates.shape[1] == 4


@pytest.mark.parametrize("seconds", [0.5, 9.3])
def test_seams_between_windows_do_not_show(seconds: float) -> None:
    transcriber = Transcriber(network_with(), ModelConfig(SMALL, decoder=DecoderConfig()))
    samples = np.random.default_rng(0).normal(0, 0.1, round(seconds * 16_000)).astype(np.float32)
    whole, cut = (
        transcriber.transcribe_blocks([samples], 16_000, keep_probabilities=True, window_s=window_s)
        for window_s in (20.0, 1.0)
    )
    assert whole.probabilities is not None and cut.probabilities is not None
    terms = additions(transcriber.network, len(whole.probabilities))
    assert_same_sums(cut.probabilities[..., 3], whole.probabilities[..., 3], terms)
    live = transcriber.transcribe_blocks([samples], 16_000, latency_ms=132, keep_probabilities=True)
    assert live.probabilities is not None
    # With R = 4 a stroke is as strong live, until the sound ends: offline nothing at all comes after it.
    assert_same_sums(live.probabilities[:-FUTURE, :, 3], whole.probabilities[:-FUTURE, :, 3], terms)


def test_half_precision_says_the_same_of_whole_recordings() -> None:
    """And is used: copying the levels into windows takes longer than all else the head does."""
    samples = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)
    exact, half = (
        Transcriber(network_with(), ModelConfig(SMALL), precision=precision)
        .transcribe_blocks([samples], 16_000, keep_probabilities=True)
        .probabilities
        for precision in ("fp32", "bf16")
    )
    assert exact is not None and half is not None
    off = np.abs(exact - half)[..., 3].max()
    assert 0 < off < 0.02 < np.ptp(exact[..., 3])


def test_it_learns_that_a_louder_stroke_was_a_harder_one() -> None:
    torch.manual_seed(4)
    head, levels = VelocityHead(2, 32), normal(torch.full((2, 20, 352), -70.0))
    levels[0, 10:, 160:164] += 0.6  # 22 dB in key 40
    levels[1, 10:, 160:164] += 1.2
    onsets = torch.zeros(2, 20, 88, dtype=torch.bool)
    onsets[:, 10, 40] = True
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    for _ in range(60):
        history = torch.cat([head.start(2), head.summarise(levels)], dim=1)
        found = head(history, torch.zeros(PAST + 20, 2 * 88, 2), onsets, None)[:, 10, 40]
        loss = (found - torch.tensor([0.3, 0.8])).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.005
