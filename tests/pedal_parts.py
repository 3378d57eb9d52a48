"""A transcriber whose notes are the shipped one's, and whose pedal moves often, for no good reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hppnet.model.checkpoint import save, weights_of
from hppnet.model.config import NetworkConfig
from hppnet.model.engine.network import OnnxNetwork
from hppnet.model.network import HPPNet
from hppnet.model.notes import presses_from
from hppnet.model.spectrum import front_end_of
from hppnet.model.timebase import frames_for_latency
from hppnet.model.transcriber import Transcriber

UNITS = 4
LATENCY_MS = 132
SMALL = NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2)


def with_moving_pedal(transcriber: Transcriber, sound: np.ndarray) -> Transcriber:
    """Notes as they are; on ``sound`` [n], at 16 kHz, the pedal moves about once a second or oftener."""
    for seed in range(50):
        moving = _with_head(transcriber, sound, seed)
        stream = moving.stream(LATENCY_MS, 16_000)
        live, whole = stream.feed(sound) + stream.flush(), moving.transcribe_blocks([sound], 16_000)
        if min(len(presses_from(live)), len(whole.pedal or [])) > len(sound) / 32_000:
            return moving
    raise AssertionError("no head moved often enough")


def _with_head(transcriber: Transcriber, sound: np.ndarray, seed: int) -> Transcriber:
    """With a random head that says down in half of the frames."""
    torch.manual_seed(seed)
    config = replace(transcriber.config, network=replace(transcriber.config.network, pedal_units=UNITS))
    own = transcriber.network
    kind = HPPNet if isinstance(own, OnnxNetwork) else type(own)
    network = kind(config.network).eval().requires_grad_(False)
    notes = {k: torch.from_numpy(v) for k, v in weights_of(own).items() if not k.startswith("pedal.")}
    network.load_state_dict(notes, strict=False)
    assert network.pedal is not None
    spectrum = front_end_of(config.front_end).frames(torch.from_numpy(sound)[None])
    look_ahead = frames_for_latency(LATENCY_MS, config.front_end.look_ahead)
    with torch.inference_mode():
        middle = network.step(spectrum, network.start(), look_ahead)[0].pedal.logit().median()
    network.pedal.out.bias -= middle
    network.pedal.out.weight *= 200
    network.pedal.out.bias *= 200
    if isinstance(own, OnnxNetwork):
        return replace(transcriber, network=OnnxNetwork(weights_of(network), config.network), config=config)
    return replace(transcriber, network=network, config=config)


def saved(transcriber: Transcriber, path: Path) -> Path:
    save(path, transcriber.network, transcriber.config)
    return path
