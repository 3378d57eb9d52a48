"""The network: shapes, causality, and that one set of weights serves every latency."""

from __future__ import annotations

import pytest
import torch

from hppnet.model.config import CONFIGS, ONSET_FLOOR, NetworkConfig
from hppnet.model.frontend import normal
from hppnet.model.full_context import FullContext
from hppnet.model.layers import FrequencyNorm, HarmonicDilatedConv, shifted
from hppnet.model.network import HPPNet

from .tolerances import additions, assert_same_sums

SMALL = NetworkConfig(stem_channels=4, body_channels=8, lstm_units=6, pedal_units=5)


@pytest.fixture
def network() -> HPPNet:
    """Random weights, by which some onsets are above the floor and some below."""
    torch.manual_seed(0)
    network = HPPNet(SMALL).eval()
    with torch.no_grad():
        network.bias[:] = -3.0
    return network


def spectra(frames: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, frames, 352, generator=torch.Generator().manual_seed(1)) * 15 - 60


@pytest.mark.parametrize("name", CONFIGS)
def test_every_named_size_runs(name: str) -> None:
    network = HPPNet(CONFIGS[name])
    with torch.no_grad():
        assert network(spectra(12), 2, 4).notes.shape == (1, 8, 88, 3)
        assert network.step(spectra(12), network.start(), 2)[0].keys.shape == (1, 10, 88, 4)


def test_named_sizes_are_of_the_order_that_is_documented() -> None:
    sizes = {name: sum(p.numel() for p in HPPNet(config).parameters()) for name, config in CONFIGS.items()}
    assert 0.25e6 < sizes["default"] < 0.3e6
    assert 0.15e6 < sizes["hppnet-tiny"] < 0.35e6
    assert 0.6e6 < sizes["hppnet-large"] < 1.4e6


@torch.no_grad()
def test_features_depend_on_the_past_alone(network: HPPNet) -> None:
    one, other = spectra(30), spectra(30)
    other[:, 20:] = 0
    a, _ = network.features(normal(one), network.start().pasts)
    b, _ = network.features(normal(other), network.start().pasts)
    assert torch.equal(a[:20], b[:20])
    assert not torch.allclose(a[20], b[20])


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", [0, 3])
def test_a_frame_sees_exactly_its_look_ahead(network: HPPNet, look_ahead: int) -> None:
    def logits(spectrum: torch.Tensor) -> torch.Tensor:
        return network.step(spectrum, network.start(), look_ahead)[0].keys

    one, other = spectra(30), spectra(30)
    other[:, 20:] = 0
    apart = (logits(one) - logits(other)).abs().amax(dim=(0, 2, 3))
    assert bool((apart[: 20 - look_ahead] == 0).all())
    assert bool((apart[20 - look_ahead :] > 0).all())


@torch.no_grad()
def test_training_with_one_frame_a_window_is_what_live_computes(network: HPPNet) -> None:
    live, _ = network.step(spectra(30), network.start(), 4)
    onsets = live.keys[..., 0] >= ONSET_FLOOR
    assert 100 < onsets.sum() < 0.9 * onsets.numel() and not live.keys[..., 3][~onsets].any()
    assert live.keys[..., 3][onsets].min() > 0
    taught = network(spectra(30), 4, 1, onsets)
    assert_same_sums(taught.notes.sigmoid(), live.keys[..., :3], additions(network, 30))
    assert_same_sums(taught.velocity, live.keys[..., 3], additions(network, 30))
    assert_same_sums(taught.pedal.sigmoid(), live.pedal, additions(network, 30))


@torch.no_grad()
def test_the_last_frame_of_a_training_chunk_sees_what_live_sees(network: HPPNet) -> None:
    live, _ = network.step(spectra(30), network.start(), 2)
    taught = network(spectra(30), 2, chunk=8).notes.sigmoid()
    assert_same_sums(taught[:, 7::8], live.keys[:, 7:24:8, :, :3], additions(network, 30))


@torch.no_grad()
def test_full_context_is_the_same_in_training_and_in_judging(network: HPPNet) -> None:
    state, levels = network.start(), normal(spectra(150))
    features, _ = network.features(levels, state.pasts)
    features = torch.cat([state.features, features])
    history = torch.cat([state.history, network.velocity.summarise(levels)], dim=1)
    found, _ = FullContext(network).keys([features], [150], [True], [state.forward], [history])
    taught = network(spectra(150), onsets=found[..., 0] >= ONSET_FLOOR)
    assert_same_sums(taught.notes.sigmoid(), found[..., :3], additions(network, 30))
    assert_same_sums(taught.velocity, found[..., 3], additions(network, 30))


@torch.no_grad()
@pytest.mark.parametrize("look_ahead", [0, 2, 6])
@pytest.mark.parametrize("cuts", [[1] * 30, [7, 1, 15, 7]])
def test_blocks_of_any_size_give_the_same(network: HPPNet, look_ahead: int, cuts: list[int]) -> None:
    whole, _ = network.step(spectra(30), network.start(), look_ahead)
    state, parts = network.start(), []
    for part in spectra(30).split(cuts, dim=1):
        predictions, state = network.step(part, state, look_ahead)
        parts.append(predictions)
    for name in ("keys", "pedal"):
        joined = torch.cat([getattr(part, name) for part in parts], dim=1)
        assert_same_sums(joined, getattr(whole, name), additions(network, 30))


@torch.no_grad()
def test_clips_of_a_batch_do_not_mix(network: HPPNet) -> None:
    both = spectra(20, batch=2)
    onsets = torch.rand(2, 16, 88) < 0.1
    for a, b in zip(network(both, 3, 8, onsets)[:3], network(both[1:], 3, 8, onsets[1:])[:3], strict=True):
        assert_same_sums(a[1:], b, additions(network, 30))


def test_velocities_teach_the_features_and_the_pedal_does_not(network: HPPNet) -> None:
    onsets = torch.zeros(1, 30, 88, dtype=torch.bool)
    onsets[0, 10, 40] = True
    for part, teaches in (("velocity", True), ("pedal", False)):
        network.zero_grad()
        getattr(network(spectra(30), None, 8, onsets), part).sum().backward()
        grad = network.blocks[0].conv.conv.weight.grad
        assert (grad is not None and bool(grad.any())) == teaches


def test_harmonic_shifts_are_rounded_logarithms() -> None:
    layer = HarmonicDilatedConv(4, 8, (1, 2, 3, 7, -3), bins_per_octave=48)
    assert layer.shifts == (0, 48, 76, 135, -76)


def test_shifted_copies_and_their_gradient() -> None:
    x = torch.randn(1, 2, 3, 10, dtype=torch.float64, requires_grad=True)
    assert torch.equal(shifted(x, (0, 3, -2))[:, 2:4, :, :7], x[..., 3:])
    assert torch.autograd.gradcheck(lambda y: shifted(y, (0, 3, -2)), x)


def test_the_norm_uses_one_frame_at_a_time() -> None:
    norm, x = FrequencyNorm(3), torch.randn(1, 3, 5, 40)
    assert_same_sums(norm(x)[:, :, 2:3], norm(x[:, :, 2:3]), additions(norm, 1))
    assert norm(x).detach().mean(dim=-1).abs().max() < 1e-5
