"""What many tests share: the shipped transcriber, and one core for PyTorch."""

from __future__ import annotations

import pytest
import torch

from hppnet.model.transcriber import Transcriber


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    """The shipped checkpoint in fp32."""
    return Transcriber.load(precision="fp32", device="cpu")
