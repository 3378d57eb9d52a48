"""Checkpoints: what is saved comes back, and what is not whole is refused in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from hppnet.model import checkpoint
from hppnet.model.checkpoint import DEFAULT, CheckpointError
from hppnet.model.config import DecoderConfig, ModelConfig, NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.model.transcriber import Transcriber

SMALL = NetworkConfig(name="small", stem_channels=4, body_channels=8, lstm_units=6)
CONFIG = ModelConfig(network=SMALL, decoder=DecoderConfig(onset=0.31))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "a.safetensors", HPPNet(SMALL), CONFIG, {"step": 7})
    return tmp_path / "a.safetensors"


def test_comes_back_whole(tmp_path: Path) -> None:
    network = HPPNet(SMALL)
    checkpoint.save(tmp_path / "a.safetensors", network, CONFIG, {"step": 7})
    again, config, about = checkpoint.load(tmp_path / "a.safetensors")
    assert config == CONFIG and about == {"step": 7}
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.safetensors"]


def test_one_without_an_own_threshold_for_short_latencies_has_the_same_for_all(saved: Path) -> None:
    with safe_open(saved, "pt") as opened:
        metadata = opened.metadata()
    config = json.loads(metadata["config"])
    del config["decoder"]["onset_soonest"]
    save_file(load_file(saved), saved, {**metadata, "config": json.dumps(config)})
    assert checkpoint.read(saved).config.decoder.at(0).onset == 0.31


def test_the_shipped_one_loads_and_fits_the_package() -> None:
    network, config, _ = checkpoint.load()
    assert config.network.pedal_units == 64 and not network.training
    assert DEFAULT.stat().st_size < 8e6


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda p: p.unlink(), "found no such file"),
        (lambda p: p.write_bytes(b"RIFF not weights"), "could not read it"),
        (lambda p: p.write_bytes(p.read_bytes()[:-100]), "could not read it"),
        (lambda p: save_file({"a": torch.zeros(2)}, p), "format none"),
        (lambda p: save_file({"a": torch.zeros(2)}, p, {"format": "99"}), "format 99"),
        (lambda p: save_file({"a": torch.zeros(2)}, p, {"format": "1"}), "format 1; it was made for"),
        (lambda p: save_file({"a": torch.zeros(2)}, p, {"format": "2", "config": "{}"}), "cannot be read"),
        (lambda p: change_metadata(p, about="{"), "about entries cannot be read"),
        (lambda p: change_metadata(p, about="7"), "about entries cannot be read"),
        (lambda p: change_config(p, network=7), "configuration cannot be read"),
        (lambda p: change_config(p, network={"stem_kernels": 7}), "do not fit its configuration"),
    ],
)
def test_what_is_not_a_checkpoint_is_named(saved: Path, damage, words: str) -> None:
    damage(saved)
    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load(saved)
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)


def change_metadata(path: Path, **changed: str) -> None:
    with safe_open(path, "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(path), path, {**metadata, **changed})


def change_config(path: Path, **changed: object) -> None:
    with safe_open(path, "pt") as opened:
        config = json.loads(opened.metadata()["config"])
    change_metadata(path, config=json.dumps({**config, **changed}))


def test_weights_of_another_size_do_not_pass_in_silence(tmp_path: Path) -> None:
    other = replace(CONFIG, network=replace(SMALL, body_channels=16))
    checkpoint.save(tmp_path / "a.safetensors", HPPNet(SMALL), other)
    with pytest.raises(CheckpointError, match="do not fit"):
        checkpoint.load(tmp_path / "a.safetensors")


def test_a_failed_save_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(saved, HPPNet(SMALL), CONFIG)
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


def test_devices_and_precisions_are_checked() -> None:
    with pytest.raises(ValueError, match="device must be one of auto, cpu, cuda, mps, got 'gpu'"):
        Transcriber.load(device="gpu")
    with pytest.raises(ValueError, match="precision must be one of"):
        Transcriber.load(precision="int8")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="cuda is not available here"):
            Transcriber.load(device="cuda")


def test_a_changed_copy_leaves_the_original() -> None:
    transcriber = Transcriber.load(device="cpu")
    other = transcriber.with_thresholds(onset=0.9).with_tuning(20)
    assert other.config.decoder.at(0).onset == other.config.decoder.onset == 0.9
    assert other.config.front_end.tuning_cents == 20
    assert transcriber.config.front_end.tuning_cents == 0 and transcriber.config.decoder.onset != 0.9
    with pytest.raises(ValueError, match="-200 to 200 cents"):
        transcriber.with_tuning(201)


def test_weights_are_named_without_loading_pytorch() -> None:
    """Whoever only hands out work, to processes or to a cluster, is ready a second and a half sooner."""
    look = (
        "import sys; from hppnet.model.checkpoint import identity; import hppnet.offline.executors.cluster; "
        "import hppnet.offline.executors.worker_processes; print(identity(), 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout
    assert out.split() == [Transcriber.load().checkpoint_name.split()[-1], "False"]
