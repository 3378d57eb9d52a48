"""The velocity head: how hard a key was played, from the spectrum and the features around its onset.

Letters: B batch, T frames, P keys, F bins, C features, U units, W key levels around a key, M candidates,
N = B * P sequences.

Velocities are predicted at onset candidates only, so the head costs next to nothing and needs no LSTM.
The cues are how far and how fast a key's partials rise above the previous sound, and how bright they are. So
the head receives the levels of all keys from an octave below to five octaves above the key, and the key's
own features, from three frames before the onset to four after it. An onset's loudness means little without
that of the recording, so the head also receives the loudness of the last five seconds. The features do not
contain it, since they are normalised over frequency.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import (
    ABOVE,
    AROUND,
    BELOW,
    FUTURE,
    LEVEL,
    LOUDEST,
    LOUDNESS,
    MEAN,
    MEMORY,
    NEPERS,
    PAST,
    SILENCE,
    SPREAD,
)
from .timebase import BINS_PER_KEY, KEYS


class VelocityHead(nn.Module):
    """Predicts velocities, 0 to 1, at onset candidates."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        frames = PAST + 1 + FUTURE
        bound = (frames * (AROUND + features)) ** -0.5
        self.levels = nn.Parameter(torch.empty(frames, AROUND, units).uniform_(-bound, bound))
        self.features = nn.Parameter(torch.empty(frames, features, units).uniform_(-bound, bound))
        self.loudness = nn.Linear(5, units)
        self.key = nn.Parameter(torch.zeros(KEYS, units))
        self.future = nn.Parameter(torch.zeros(FUTURE + 1, units))  # one row per number of future frames
        self.second = nn.Linear(units, max(1, units // 2))
        self.out = nn.Linear(max(1, units // 2), 1)

    def start(self, batch: int = 1) -> Tensor:
        """The history before the first frame: silence, [B, MEMORY, P + 3]."""
        history = self.out.bias.new_zeros(batch, MEMORY, KEYS + LOUDNESS)
        history[..., :KEYS] = SILENCE
        return history

    def summarise(self, levels: Tensor) -> Tensor:
        """Summarises levels [B, T, F] (see ``frontend``) for the head's history: [B, T, P + 3]."""
        keys = levels.unflatten(2, (KEYS, BINS_PER_KEY)).amax(3)
        loud = torch.logsumexp(levels * NEPERS, dim=2) / NEPERS
        whole = torch.stack([loud + 1, levels.mean(2) + 1, torch.ones_like(loud)], dim=2)
        return torch.cat([keys - LEVEL, whole], dim=2)

    def forward(self, history: Tensor, x: Tensor, candidates: Tensor, look_ahead: int | None) -> Tensor:
        """Velocities [B, T, P] at candidates [B, T, P] (bool), 0 elsewhere.

        ``history`` holds summaries [B, MEMORY + T', P + 3], ``x`` features [PAST + T', N, C], T' >= T. A
        candidate sees ``look_ahead`` frames of future, at most FUTURE (None: FUTURE), silent beyond the end.
        """
        velocities = torch.zeros(candidates.shape, device=history.device)
        where = candidates.nonzero(as_tuple=True)
        if not len(where[0]) and not torch.is_grad_enabled():  # in training, all weights take part
            return velocities
        future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
        frames = PAST + 1 + future
        count = candidates.shape[1]
        levels = levels_around(history, count, frames)[where].flatten(1)
        x = _extended(x, count, frames, 0.0)
        clip, frame, key = where
        rows = (frame[:, None] + torch.arange(frames, device=x.device)) * x.shape[1]
        rows += (clip * KEYS + key)[:, None]
        own = x.flatten(0, 1).index_select(0, rows.flatten()).view(len(rows), frames * x.shape[2])
        place = self.loudness(loudness(history[:, :, KEYS:], count)[clip, frame])
        place = place + self.future[future] + self.key[key]
        units = (
            levels @ self.levels[:frames].flatten(0, 1) + own @ self.features[:frames].flatten(0, 1) + place
        )
        logits = self.out(torch.relu(self.second(torch.relu(units))))[:, 0]
        return velocities.index_put(where, torch.sigmoid(logits.float()))


def levels_around(history: Tensor, count: int, frames: int) -> Tensor:
    """Levels around every key of ``count`` frames: a view [B, count, P, frames, W], silence beyond.

    ``history`` holds summaries [B, MEMORY + T, P + 3]. The first of ``frames`` lies PAST frames earlier.
    """
    keys = _extended(history[:, MEMORY - PAST :, :KEYS].transpose(0, 1), count, frames, SILENCE)
    keys = F.pad(keys.transpose(0, 1), (BELOW, ABOVE), value=SILENCE)
    return keys.unfold(2, AROUND, 1).unfold(1, frames, 1).transpose(3, 4)


def _extended(x: Tensor, count: int, frames: int, value: float) -> Tensor:
    """The first count + frames - 1 frames of x [T, ...], filled up with ``value`` if T is less."""
    wanted = count + frames - 1
    after = (0, 0) * (x.ndim - 1) + (0, max(0, wanted - len(x)))
    return F.pad(x[:wanted], after, value=value)


def loudness(whole: Tensor, count: int) -> Tensor:
    """Current and recent (5 s) loudness [B, count, 5], from summaries [B, MEMORY + T, 3]."""
    seen = whole[:, : MEMORY + count]
    loud_now, mean_now, _ = seen[:, MEMORY:].unbind(2)
    loudest = F.max_pool1d(seen[..., 0], MEMORY + 1, 1)
    loud, mean, there = F.avg_pool1d(seen.transpose(1, 2), MEMORY + 1, 1).unbind(1)
    loud, mean = loud / there, mean / there
    told = [loud_now - loudest, mean_now - mean, loudest - LOUDEST, loud - loudest, mean - MEAN]
    return torch.stack(told, dim=2) * SPREAD
