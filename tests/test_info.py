"""``hppnet info``, the multiply-adds that it prints, and what a checkpoint's identity is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.model.checkpoint import DEFAULT, identity, save
from hppnet.model.config import CONFIGS, DecoderConfig, ModelConfig
from hppnet.model.network import HPPNet
from hppnet.model.sizes import multiply_adds


def executed(network: HPPNet, look_ahead: int) -> float:
    """Multiply-adds that PyTorch executes for one more frame of a stream."""
    spectrum = torch.rand(1, 1, 352, generator=torch.Generator().manual_seed(1)) * -80
    with torch.inference_mode():
        _, state = network.step(spectrum.expand(1, 12, 352), network.start(), look_ahead)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        predictions, _ = network.step(spectrum, state, look_ahead)
    assert predictions.keys.shape[1] == 1
    return counter.get_total_flops() / 2


@pytest.mark.parametrize(
    ("look_ahead", "onset_bias", "velocities"), [(4, -30.0, 0), (4, 30.0, 88), (0, 30.0, 88)]
)
def test_multiply_adds_are_those_that_are_executed(
    look_ahead: int, onset_bias: float, velocities: int
) -> None:
    network = HPPNet(CONFIGS["default"]).eval()
    network.bias.data[0] = onset_bias
    counted = multiply_adds(network.config, look_ahead, velocities)
    assert executed(network, look_ahead) == sum(counted.values())


def test_a_frame_takes_at_most_20_million_multiply_adds() -> None:
    """22 are the limit; what is left is for context across keys."""
    counted = multiply_adds(CONFIGS["default"], 4)
    assert 0 < counted["velocity"] < 0.1e6 and sum(counted.values()) < 20e6


def test_identity_is_of_tensors_and_config(small: Path, tmp_path: Path) -> None:
    network, config, _ = checkpoint.load(small)
    other = tmp_path / "other.safetensors"
    save(other, network, config, {"steps": 7})
    assert other.read_bytes() != small.read_bytes() and identity(other) == identity(small)
    save(other, network, replace(config, decoder=DecoderConfig(onset=0.3)))
    assert identity(other) != identity(small)
    network.bias[1] += 1e-3
    save(other, network, config)
    assert identity(other) != identity(small)
    assert len(identity()) == 12 and identity() == identity(DEFAULT)


def test_info_shows_what_ships() -> None:
    result = CliRunner().invoke(app, ["info"])
    assert result.exit_code == 0, result.output
    assert identity() in result.output and "key releases" in result.output and "total" in result.output
    assert "for note ends of whole recordings" in result.output


def test_info_tells_everything_as_json_and_as_text(small: Path, tmp_path: Path) -> None:
    network, config, _ = checkpoint.load(small)
    path = tmp_path / "mine.safetensors"
    about = {"recipe": "config = 'default'\nbatch = 4\n", "hours": 1.5, "figures": {"onset": 97.5}}
    save(path, network, config, about)
    result = CliRunner().invoke(app, ["info", str(path), "--json"])
    found = json.loads(result.output)
    assert found["about"] == about and found["format"] == "2" and found["identity"] == identity(path)
    assert found["weights_of_releases"] == 0
    assert found["thresholds"]["onset"] == config.decoder.onset and found["bytes"] == path.stat().st_size
    counts = found["multiply_adds"]
    assert counts["total"] == sum(multiply_adds(network.config, 4).values()) and counts["latency_ms"] == 132
    text = CliRunner().invoke(app, ["info", str(path)]).output
    assert "batch = 4" in text and "hours: 1.5" in text and "onset: 97.5" in text


def test_info_names_what_is_wrong(small: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("no weights")
    for arguments, code, words in (
        ([str(tmp_path / "none.safetensors")], 2, "does not exist"),
        ([str(tmp_path / "a.safetensors")], 1, "expected a safetensors file"),
        ([str(small), "--latency", "100"], 2, "latency must be one of"),
    ):
        result = CliRunner().invoke(app, ["info", *arguments])
        assert result.exit_code == code and words in " ".join(result.output.replace("│", " ").split())


def test_a_format_that_is_not_known_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, HPPNet(replace(CONFIGS["default"], lstm_units=2)), ModelConfig())
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"format":"2"', b'"format":"3"'))
    assert path.read_bytes() != content
    with pytest.raises(
        checkpoint.CheckpointError, match="found format 3; install the version of hppnet that"
    ):
        checkpoint.load(path)
