"""HPPNet, causal except for the R frames of future that the backward LSTMs receive.

After Wei, Li, Yang, Xu and Li, "HPPNet: Modeling the Harmonic Structure and Pitch Invariance in
Piano Transcription" (ISMIR 2022). Letters: B batch, C channels, T frames, F bins, P keys, H heads,
U LSTM units, N = B * P sequences.

        spectrum [B, T, 352] -> stem -> harmonic dilated convolution -> pool 4 bins to a key
          -> residual blocks -> features [T, N, C]
             -> forward LSTM, its state carried on -----------\\
             -> backward LSTM, begun R frames after each -----+-> onset, frame, offset [B, T, P, H]
             -> with the spectrum, at onset candidates -> velocity head [B, T, P]
             -> pooled over keys, with the spectrum -> pedal head [B, T]
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import HEADS, NOTE_HEADS, ONSET_FLOOR, PAST, NetworkConfig
from .frontend import normal
from .layers import CausalConv, HarmonicDilatedConv, PoolToKeys, ResidualBlock
from .lstm import FineGrainedLSTM, State, project
from .pedal import PedalHead, PedalState
from .timebase import BINS, BINS_PER_OCTAVE, KEYS
from .velocity import VelocityHead

ONSET = HEADS.index("onset")


@dataclass(frozen=True)
class NetworkState:
    """The state of a stream between two calls. Immutable."""

    pasts: tuple[Tensor, ...]  #: earlier frames, one tensor per causal convolution
    forward: State  #: state of the forward LSTMs
    features: Tensor  #: [PAST + <= R, N, C]: PAST frames, then those that wait for their R frames of future
    gates: Tensor  #: the backward LSTMs' input gates of the waiting frames [H, <= R, N, 4U], projected once
    history: Tensor  #: the velocity head's summaries, waiting frames included [B, MEMORY + <= R, P + 3]
    pedal: PedalState | None = None  #: state of the pedal head, if the network has it


class NetworkOutput(NamedTuple):
    """The probabilities that the network predicts."""

    keys: Tensor  #: [B, T, P, 4], heads as in HEADS; velocities are 0 where onsets are below ONSET_FLOOR
    pedal: Tensor | None = None  #: [B, T], if the network has the head


class Logits(NamedTuple):
    """The outputs for an excerpt that the losses need."""

    notes: Tensor  #: [B, T, P, H]: onset, frame and offset
    velocity: Tensor  #: [B, T, P], 0 to 1 instead of logits; 0 where none was requested
    pedal: Tensor | None  #: [B, T], if the network has the head
    features: Tensor  #: [T, N, C] of all frames


class HPPNet(nn.Module):
    """The network: ``forward`` is for training, ``step`` for streams, ``FullContext`` for recordings."""

    def __init__(self, config: NetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NetworkConfig()
        sizes = [1, *[config.stem_channels] * len(config.stem_kernels)]
        self.stem = nn.ModuleList(
            CausalConv(a, b, kernel)
            for a, b, kernel in zip(sizes, sizes[1:], config.stem_kernels, strict=False)
        )
        harmonics = config.harmonics_up + tuple(-h for h in config.harmonics_down)
        self.harmonic = HarmonicDilatedConv(
            config.stem_channels, config.body_channels, harmonics, BINS_PER_OCTAVE
        )
        self.pool = PoolToKeys()
        self.blocks = nn.ModuleList(
            ResidualBlock(config.body_channels, size, config.block_harmonics) for size in config.block_kernels
        )
        heads = len(NOTE_HEADS)
        self.forward_lstm = FineGrainedLSTM(heads, config.body_channels, config.lstm_units)
        self.backward_lstm = FineGrainedLSTM(heads, config.body_channels, config.lstm_units)
        self.weight = nn.Parameter(torch.randn(heads, 2 * config.lstm_units) * config.lstm_units**-0.5)
        # Most frames have no onset: starting near zero saves the first hundred steps.
        self.bias = nn.Parameter(torch.full((heads,), -3.0))
        self.pedal = PedalHead(config.body_channels, config.pedal_units) if config.pedal_units else None
        self.velocity = VelocityHead(config.body_channels, config.velocity_units)

    def without_pedal(self) -> HPPNet:
        """A copy that does not predict the pedal; the notes are the same."""
        network = copy.deepcopy(self)
        network.pedal = None
        network.config = replace(network.config, pedal_units=0)
        return network

    @property
    def stem_layers(self) -> list[CausalConv]:
        """The stem's convolutions, in order."""
        return cast("list[CausalConv]", list(self.stem))

    @property
    def body(self) -> list[ResidualBlock]:
        """The residual blocks, in order."""
        return cast("list[ResidualBlock]", list(self.blocks))

    def start(self, batch: int = 1) -> NetworkState:
        """The state before the first frame."""
        pasts = [conv.start(batch, BINS) for conv in self.stem_layers]
        pasts += [block.conv.start(batch, KEYS) for block in self.body]
        return NetworkState(
            tuple(pasts),
            self.forward_lstm.start(batch * KEYS),
            self.bias.new_zeros(PAST, batch * KEYS, self.config.body_channels),
            self.bias.new_zeros(len(NOTE_HEADS), 0, batch * KEYS, 4 * self.config.lstm_units),
            self.velocity.start(batch),
            self.pedal.start(batch) if self.pedal is not None else None,
        )

    def features(self, levels: Tensor, pasts: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Levels [B, T, 352] (see ``frontend``) to features [T, N, C]; and the pasts for the next call."""
        batch, frames, _ = levels.shape
        x = levels.unsqueeze(1)
        new: list[Tensor] = []
        for conv, past in zip(self.stem_layers, pasts, strict=False):
            x, after = conv(x, past)
            x = F.relu(x)
            new.append(after)
        x = self.pool(self.harmonic(x))
        for block in self.body:
            x, after = block(x, pasts[len(new)])
            new.append(after)
        return x.permute(2, 0, 3, 1).reshape(frames, batch * KEYS, -1), tuple(new)

    def step(
        self, spectrum: Tensor, state: NetworkState, look_ahead: int
    ) -> tuple[NetworkOutput, NetworkState]:
        """Takes new frames [B, T, 352]; predicts the T' frames whose R frames of future are complete now."""
        levels = normal(spectrum)
        new, pasts = self.features(levels, state.pasts)
        features = torch.cat([state.features, new])
        gates = torch.cat([state.gates, self.backward_lstm.input_gates(new)], dim=1)
        history = torch.cat([state.history, self.velocity.summarise(levels)], dim=1)
        count = max(0, gates.shape[1] - look_ahead)
        pedal, pedal_state = self._step_pedal(new, levels, state.pedal, count, look_ahead)
        forward = state.forward
        keys = spectrum.new_zeros(len(spectrum), 0, KEYS, len(HEADS))
        if count:
            forward_weight, backward_weight = self.output_weights
            own = features[PAST : PAST + count]
            past, forward = self.forward_lstm.advance(own, forward, forward_weight)
            future = project(self.backward_lstm.windows(gates, count, look_ahead), backward_weight)
            keys = self.probabilities(self.logits(past + future), history, features, look_ahead)
        after = NetworkState(
            pasts, forward, features[count:], gates[:, count:], history[:, count:], pedal_state
        )
        return NetworkOutput(keys, pedal), after

    @property
    def output_weights(self) -> tuple[Tensor, Tensor]:
        """Output weights [H, U] of the forward and of the backward LSTMs."""
        forward, backward = self.weight.split(self.config.lstm_units, dim=1)
        return forward, backward

    def logits(self, projected: Tensor) -> Tensor:
        """Projected hidden states [H, T, N] to logits [B, T, P, H]."""
        return (projected.permute(1, 2, 0) + self.bias).unflatten(1, (-1, KEYS)).transpose(0, 1)

    def probabilities(
        self, logits: Tensor, history: Tensor, features: Tensor, look_ahead: int | None
    ) -> Tensor:
        """The LSTMs' logits [B, T, P, H] to probabilities [B, T, P, 4], heads as in HEADS.

        The velocity head reads ``history`` and ``features``, which begin PAST frames earlier.
        """
        notes = torch.sigmoid(logits.float())
        velocity = self.velocity(history, features, notes[..., ONSET] >= ONSET_FLOOR, look_ahead)
        return torch.cat([notes, velocity[..., None]], dim=3)

    def _step_pedal(
        self, features: Tensor, levels: Tensor, state: PedalState | None, count: int, look_ahead: int
    ) -> tuple[Tensor | None, PedalState | None]:
        if self.pedal is None or state is None:
            return None, None
        gates = torch.cat([state[2], self.pedal.input_gates(features, levels)])
        if count == 0:
            return levels.new_zeros(levels.shape[0], 0), (*state[:2], gates)
        logits, after = self.pedal.predict(gates, state, count, look_ahead)
        return torch.sigmoid(logits), after

    def forward(
        self,
        spectrum: Tensor,
        look_ahead: int | None = None,
        chunk: int = 8,
        onsets: Tensor | None = None,
    ) -> Logits:
        """Logits of an excerpt [B, T, 352], for training.

        With a look-ahead R, ``chunk`` frames share one backward window of chunk + R frames: the last of
        them sees R frames of future, the first chunk - 1 more. Returns the logits of the T' frames of
        complete windows. ``onsets`` [B, T', P] (bool) marks where to predict velocities; None: nowhere.
        """
        levels = normal(spectrum)
        x, _ = self.features(levels, self.start(len(levels)).pasts)
        # No half precision: its rounding errors would add up over an LSTM's steps.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            notes = self._excerpt(x, look_ahead, chunk)
            velocity = torch.zeros(notes.shape[:3], device=notes.device)
            if onsets is not None:
                history = torch.cat(
                    [self.velocity.start(len(levels)), self.velocity.summarise(levels)], dim=1
                )
                before = x.new_zeros(PAST, *x.shape[1:])
                velocity = self.velocity(history, torch.cat([before, x]), onsets, look_ahead)
            if self.pedal is None:
                return Logits(notes, velocity, None, x)
            pedal = self.pedal(x, levels, look_ahead)
        return Logits(notes, velocity, pedal[:, : notes.shape[1]], x)

    def _excerpt(self, x: Tensor, look_ahead: int | None, chunk: int) -> Tensor:
        """Logits [B, T', P, H] of features [T, N, C]."""
        forward_weight, backward_weight = self.output_weights
        if look_ahead is None:
            forward = self.forward_lstm.run(x, forward_weight)
            backward = self.backward_lstm.run(x, backward_weight, reverse=True)
        else:
            backward = self.backward_lstm.run(x, backward_weight, reverse=True, windows=(chunk, look_ahead))
            forward = self.forward_lstm.run(x[: backward.shape[1]], forward_weight)
        return self.logits(forward + backward)


def filled(config: NetworkConfig, weights: Mapping[str, np.ndarray]) -> HPPNet:
    """A network with these sizes and these weights, which must fit them, in evaluation mode."""
    network = HPPNet(config)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval().requires_grad_(False)
