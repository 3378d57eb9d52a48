"""What many tests share: the shipped transcriber, a small one, and one core for PyTorch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hppnet.model.checkpoint import save
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.model.transcriber import Transcriber


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    """The shipped checkpoint in fp32."""
    return Transcriber.load(precision="fp32", device="cpu")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint so small that nothing takes long; it has learned nothing."""
    torch.manual_seed(0)
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2))
    path = tmp_path_factory.mktemp("small") / "small.safetensors"
    save(path, HPPNet(config.network), config)
    return path
