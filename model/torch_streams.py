"""Streams computed by PyTorch: on a GPU, and as the reference for the engine."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor

from .decoder import Probable
from .frontend import FrontEndConfig
from .network import HPPNet, NetworkState
from .pedal import PedalState
from .spectrum import FrontEnd, front_end_of

MOST_FRAMES = 25  #: of a stream in one step


@dataclass(frozen=True)
class TorchStreams:
    """A network for streams with a look-ahead of R frames."""

    network: HPPNet
    front_end: FrontEndConfig
    look_ahead: int
    most_frames: int = MOST_FRAMES

    @cached_property
    def _transform(self) -> FrontEnd:
        return front_end_of(self.front_end, self.network.bias.device)

    def start(self) -> NetworkState:
        """The state before the first frame."""
        with torch.inference_mode():
            return self.network.start()

    def kind(self, state: NetworkState) -> Hashable:
        """Streams that wait for as many frames of future may be one batch."""
        return state.gates.shape[1]

    def most_streams(self, frames: int) -> int:
        """Any number."""
        return 2**31

    @torch.inference_mode()
    def step(
        self, samples: np.ndarray, states: Sequence[NetworkState]
    ) -> tuple[list[Probable], list[NetworkState]]:
        """As ``StreamEngine.step``; the numbers differ from those of a stream alone by rounding only."""
        spectra = self._transform.frames(torch.from_numpy(samples).to(self.network.bias.device))
        predictions, state = self.network.step(spectra, joined(states), self.look_ahead)
        keys = predictions.keys.cpu().numpy()  # once for all
        pedal = None if predictions.pedal is None else predictions.pedal.cpu().numpy()
        found: list[Probable] = [
            (own, None if pedal is None else pedal[number]) for number, own in enumerate(keys)
        ]
        return found, parted(state, len(states))


def joined(states: Sequence[NetworkState]) -> NetworkState:
    """States of one stream each as the state of a batch."""
    if len(states) == 1:
        return states[0]
    pasts = tuple(torch.cat(past) for past in zip(*(state.pasts for state in states), strict=True))
    hidden, cell = (torch.cat([state.forward[part] for state in states], dim=1) for part in (0, 1))
    pedals = [state.pedal for state in states if state.pedal is not None]
    pedal = cast("PedalState", tuple(torch.cat(part, dim=1) for part in zip(*pedals, strict=True)))
    return NetworkState(
        pasts,
        (hidden, cell),
        torch.cat([state.features for state in states], dim=1),
        torch.cat([state.gates for state in states], dim=2),
        torch.cat([state.history for state in states]),
        pedal or None,
    )


def parted(state: NetworkState, count: int) -> list[NetworkState]:
    """The state of a batch as ``count`` states of one stream each."""
    if count == 1:
        return [state]
    pasts = zip(*(past.chunk(count) for past in state.pasts), strict=True)
    parts: list[Sequence[Tensor]] = [part.chunk(count, dim=1) for part in (*state.forward, state.features)]
    parts += [state.gates.chunk(count, dim=2), state.history.chunk(count)]
    pedals = [part.chunk(count, dim=1) for part in state.pedal or ()]
    pedal = cast("list[PedalState | None]", list(zip(*pedals, strict=True)) or [None] * count)
    return [
        NetworkState(own, (hidden, cell), features, gates, history, own_pedal)
        for own, hidden, cell, features, gates, history, own_pedal in zip(pasts, *parts, pedal, strict=True)
    ]
