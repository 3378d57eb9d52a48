"""The engine on a CPU: ONNX Runtime computes what PyTorch does, exactly the same for every size of block."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from hppnet.model.checkpoint import CheckpointError, read, save
from hppnet.model.config import CONFIGS, ModelConfig, NetworkConfig
from hppnet.model.engine import network as engine_network
from hppnet.model.engine.network import OnnxNetwork, SpectrumSession
from hppnet.model.engine.step_graph import StepGraph
from hppnet.model.frames import Row, Slices
from hppnet.model.frontend import FrontEndConfig
from hppnet.model.network import HPPNet
from hppnet.model.sizes import shapes_of
from hppnet.model.spectrum import front_end_of
from hppnet.model.timebase import latency_s
from hppnet.model.transcriber import Transcriber, transcriber_of

from . import children
from .sounds import TONE_WEIGHTS, piano_like
from .tolerances import additions, assert_same_sums

RATE = 16_000
SMALL = NetworkConfig(
    stem_channels=3,
    body_channels=4,
    block_kernels=((3, 5), (2, 3)),
    lstm_units=3,
    pedal_units=5,
    velocity_units=6,
)
PAPER = replace(CONFIGS["hppnet-tiny"], stem_channels=2, body_channels=3, lstm_units=2, velocity_units=4)


def random_network(config: NetworkConfig, seed: int = 0) -> HPPNet:
    """It has learned nothing, but it takes some keys for struck in every frame, and no norm is the same."""
    torch.manual_seed(seed)
    network = HPPNet(config).eval().requires_grad_(False)
    network.bias[:] = torch.tensor([-2.5, 0.5, -0.5])
    for name, weights in network.named_parameters():
        if "norm" in name or name.endswith(("velocity.key", "velocity.future")):
            weights += 0.3 * torch.randn_like(weights)
    return network


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    level = np.repeat(rng.uniform(0, 0.3, int(seconds * 8) + 1), RATE // 8)[: round(seconds * RATE)]
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def both(config: NetworkConfig) -> tuple[Transcriber, Transcriber]:
    """One network, computed by PyTorch and by ONNX Runtime."""
    network = random_network(config)
    ours = transcriber_of(network, ModelConfig(config))
    assert isinstance(ours.network, OnnxNetwork)
    return Transcriber(network, ModelConfig(config)), ours


def assert_same(theirs: Transcriber, ours: Transcriber, sound: np.ndarray, latency_ms: float | None) -> None:
    wanted, found = (
        one.transcribe_blocks([sound], RATE, latency_ms=latency_ms, keep_probabilities=True, window_s=2.0)
        for one in (theirs, ours)
    )
    assert wanted.probabilities is not None
    terms = additions(theirs.network, len(wanted.probabilities))
    assert (wanted.probabilities[..., 3] > 0).any(), "no velocity was asked for"
    assert_same_sums(found.probabilities, wanted.probabilities, terms)
    assert (found.pedal_probabilities is None) == (theirs.config.network.pedal_units == 0)
    if wanted.pedal_probabilities is not None:
        assert_same_sums(found.pedal_probabilities, wanted.pedal_probabilities, terms)


@pytest.mark.parametrize("config", [SMALL, PAPER], ids=["small", "paper"])
@pytest.mark.parametrize("look_ahead", [0, 3, 8, None])
def test_the_same_as_in_pytorch(config: NetworkConfig, look_ahead: int | None) -> None:
    """Streams of every kind of look-ahead, and whole recordings of more than a window."""
    latency_ms = None if look_ahead is None else 1000 * latency_s(look_ahead)
    assert_same(*both(config), noise(0.9 if look_ahead is not None else 9.3), latency_ms)


@pytest.mark.parametrize("latency_ms", [132, None])
def test_the_same_as_in_pytorch_at_full_size(latency_ms: float | None) -> None:
    assert_same(*both(CONFIGS["default"]), noise(0.5), latency_ms)


def test_a_stream_is_the_same_to_the_last_digit(transcriber: Transcriber) -> None:
    sound = piano_like({0.2: 60, 0.5: 64, 0.8: 67, 0.85: 40}, 1.3)
    texts = set()
    for size in (len(sound), 4096, 777, 320, 1):
        stream = transcriber.stream(132, RATE)
        blocks = np.split(sound, range(size, len(sound), size)) if size > 1 else [*np.split(sound, [1, 2, 3])]
        texts.add(repr([event for block in blocks for event in stream.feed(block)] + stream.flush()))
    assert len(texts) == 1 and "NoteOn" in texts.pop()


@pytest.mark.parametrize("cents", [-1200.0, 0.0, 30.0, 1200.0])
def test_the_spectrum_is_pytorchs(cents: float) -> None:
    config = FrontEndConfig(tuning_cents=cents)
    sound = noise(0.3)
    wanted = front_end_of(config).frames(torch.from_numpy(sound)[None])[0].numpy()
    found = SpectrumSession(config).frames(sound)
    assert found.shape == wanted.shape and len(SpectrumSession(config).frames(sound[:4000])) == 0
    # 4096 products a bin; a logarithm of powers far above the floor.
    assert_same_sums(found, wanted, 4096)


@pytest.mark.parametrize("hz", [1000, 1900, 2600, 3400, 4000, 7900])
def test_a_loud_tone_above_the_low_bins_does_not_reach_them(hz: int) -> None:
    """They are computed from a quarter of the samples: what would fold into them is filtered out."""
    config = FrontEndConfig()
    sound = np.sin(2 * np.pi * hz * np.arange(6000) / RATE).astype(np.float32)
    wanted = front_end_of(config).frames(torch.from_numpy(sound)[None])[0].numpy()
    assert SpectrumSession(config).frames(sound) == pytest.approx(wanted, abs=0.1)  # dB; the floor is -110


@pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0, 3.33])
def test_windows_of_any_size_give_every_frame(seconds: float) -> None:
    """From samples and from spectra; windows that are no whole blocks wait for the next."""
    theirs, ours = both(SMALL)
    sound, front_end = noise(seconds), ModelConfig().front_end
    spectrum = front_end_of(front_end)
    windows = ours.network.windows(front_end, context=30)
    found: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for spectra, kept in found.items():
        past = windows.start()
        for samples, last in Slices(front_end, RATE, 40, 30).slices([sound]):
            if spectra and len(samples):
                samples = spectrum.frames(torch.from_numpy(samples)[None])[0].numpy()
            predicted = windows.predict([Row(past, samples, last)])
            (past,), ((keys, pedal),) = predicted.pasts, predicted.wait()
            assert pedal is not None and len(keys) == len(pedal)
            kept.append(keys)
    one, other = (np.concatenate(kept) for kept in found.values())
    assert len(one) == round(seconds * 50 + 0.49)
    assert_same_sums(one, other, additions(theirs.network, 30))


_THREADS = """
import os, sys
import numpy, soxr, onnxruntime
before = len(os.listdir("/proc/self/task"))
import hppnet
transcriber = hppnet.load(sys.argv[1])
silence = numpy.zeros(16_000, dtype="float32")
transcriber.transcribe(silence, 16_000)
transcriber.stream(132, 16_000).feed(silence)
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_it_starts_no_thread() -> None:
    """So processes side by side, as --jobs and Dask start them, have a core each."""
    command = [sys.executable, "-c", _THREADS, str(TONE_WEIGHTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=children.PATIENCE_S)
    assert done.stdout.split() == ["0"], done.stdout + done.stderr


def test_shapes_are_pytorchs() -> None:
    for config in (SMALL, PAPER):
        own = HPPNet(config).state_dict()
        assert shapes_of(config) == {name: tuple(tensor.shape) for name, tensor in own.items()}


def test_weights_of_other_sizes_are_named(tmp_path) -> None:
    network = HPPNet(SMALL)
    save(tmp_path / "a.safetensors", network, ModelConfig(replace(SMALL, lstm_units=4)))
    with pytest.raises(CheckpointError, match=r"expected backward_lstm.bias to have the shape \[3, 1, 16\]"):
        read(tmp_path / "a.safetensors")


def notes_of(transcriber: Transcriber) -> str:
    return repr(transcriber.transcribe(piano_like({0.2: 60}, 0.6), RATE))


def test_it_goes_to_other_processes(transcriber: Transcriber) -> None:
    """Pickled, and forked with sessions that are open."""
    wanted = notes_of(transcriber)
    assert "pitch=60" in wanted and notes_of(pickle.loads(pickle.dumps(transcriber))) == wanted
    assert notes_of(transcriber.with_threads(2)) == wanted
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(notes_of, (transcriber,)).get(60) == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_does_not_wait_for_a_thread_that_it_does_not_have(transcriber: Transcriber) -> None:
    """A thread of the parent builds a session at the moment of the fork."""
    network, config = transcriber.network, ModelConfig(transcriber.network.config)
    building, forked = threading.Event(), threading.Event()

    def graph() -> bytes:
        building.set()
        forked.wait(children.PATIENCE_S)
        return StepGraph(network.weights, config, 0).model()

    thread = threading.Thread(target=network._session, args=(("slow",), graph, 1))
    thread.start()
    building.wait(children.PATIENCE_S)
    asked = (config.front_end, 0)
    child = multiprocessing.get_context("fork").Process(target=network.step_session, args=asked)
    child.start()
    try:
        child.join(children.PATIENCE_S)
        assert child.exitcode == 0
    finally:
        child.kill()
        forked.set()
        thread.join()


def test_sessions_are_kept_and_few(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch) -> None:
    network = OnnxNetwork(transcriber.network.weights, transcriber.network.config)
    monkeypatch.setattr(engine_network, "MOST_SESSIONS", 2)
    first, second, third = (FrontEndConfig(tuning_cents=cents) for cents in (0, 10, 20))
    kept = network.step_session(first, 0)
    network.step_session(second, 0)
    assert network.step_session(first, 0) is kept
    network.step_session(third, 0)  # the second is the one that goes
    assert network.step_session(first, 0) is kept and len(network._sessions) == 2
