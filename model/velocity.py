"""Another head for velocities: how hard a key was struck, from the spectrum around the stroke.

Letters: B batch, T frames, P keys, F bins, U units, W key levels around a key.

What tells is how far a key's partials rise above what sounds already, how fast, and how bright they are: the
head sees the levels of all keys from an octave below to five octaves above the one that is struck, from three
frames before to four after. How loud a stroke is means little without how loud the recording is, so it is
told that of the last five seconds. The velocities' LSTMs have neither: their features are normalised over
frequency, and each knows one key alone. The two err in different ways; their logits add up.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .frontend import FLOOR_DB
from .timebase import BINS_PER_KEY, FRAMES_PER_SECOND, KEYS

PAST, FUTURE = 3, 4  #: frames around the stroke; fewer of the future where R is less
BELOW, ABOVE = 12, 60  #: keys around the one that is struck
MEMORY = 5 * FRAMES_PER_SECOND - 1  #: frames before this one from which loudness is known
#: What is kept of a frame beside the keys' levels: its loudness, the mean of its bins, and that it was there.
LOUDNESS = 3
#: What the head is given lies around 0, or it learns slowly: levels from -60 dB up and down (see
#: ``frontend.normal``), the loudest of the last seconds and the mean of all bins from where they mostly are.
LEVEL, LOUDEST, MEAN, SPREAD = 0.36, 2.45, 1.14, 2.5
SILENCE = -1 - LEVEL
STRETCH = 25  #: frames judged at once: more would fall out of the processor's cache
_NEPERS = -FLOOR_DB / 3 * math.log(10) / 10  #: of power, in one unit of a level as ``frontend.normal`` has it


class VelocityHead(nn.Module):
    """What is added to the velocities' logits: nothing, until it is taught."""

    def __init__(self, units: int) -> None:
        super().__init__()
        around = BELOW + 1 + ABOVE
        frames = PAST + 1 + FUTURE
        bound = (frames * around) ** -0.5
        self.around = nn.Parameter(torch.empty(frames, around, units).uniform_(-bound, bound))
        self.loudness = nn.Linear(5, units)
        self.key = nn.Parameter(torch.zeros(KEYS, units))
        self.future = nn.Parameter(torch.zeros(FUTURE + 1, units))  # by how much of it there is
        self.second = nn.Linear(units, max(1, units // 2))
        self.out = nn.Linear(max(1, units // 2), 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def start(self, batch: int = 1) -> Tensor:
        """What was heard before the first frame: nothing, [B, MEMORY, P + 3]."""
        nothing = self.out.bias.new_zeros(batch, MEMORY, KEYS + LOUDNESS)
        nothing[..., :KEYS] = SILENCE
        return nothing

    def hear(self, levels: Tensor) -> Tensor:
        """What the head keeps of levels [B, T, F] (see ``frontend``): [B, T, P + 3]."""
        keys = levels.unflatten(2, (KEYS, BINS_PER_KEY)).amax(3)
        loud = torch.logsumexp(levels * _NEPERS, dim=2) / _NEPERS
        whole = torch.stack([loud + 1, levels.mean(2) + 1, torch.ones_like(loud)], dim=2)
        return torch.cat([keys - LEVEL, whole], dim=2)

    def step(self, levels: Tensor, state: Tensor, count: int, look_ahead: int) -> tuple[Tensor, Tensor]:
        """New levels [B, T, F] to logits [B, count, P] of the first that wait, and what is heard then."""
        heard = torch.cat([state, self.hear(levels)], dim=1)
        return self.judge(heard, count, look_ahead), heard[:, count:]

    def forward(
        self, levels: Tensor, count: int, look_ahead: int | None, struck: Tensor | None = None
    ) -> Tensor:
        """Logits [B, count, P] of an excerpt's levels [B, T, F], for training; see ``judge``."""
        heard = torch.cat([self.start(len(levels)), self.hear(levels)], dim=1)
        return self.judge(heard, count, look_ahead, struck)

    def judge(
        self, heard: Tensor, count: int, look_ahead: int | None, struck: Tensor | None = None
    ) -> Tensor:
        """Logits [B, count, P] from what is heard [B, MEMORY + T, P + 3], of the first ``count`` of T frames.

        Each frame sees ``look_ahead`` frames of future, but no more than FUTURE; with None that many, and
        silence where there are none. ``struck`` [B, count, P] says where alone to look; elsewhere 0.
        """
        if count == 0:
            return heard.new_zeros(len(heard), 0, KEYS)
        future = FUTURE if look_ahead is None else min(FUTURE, look_ahead)
        keys = heard[:, MEMORY - PAST :, :KEYS]
        if torch.is_autocast_enabled(keys.device.type):  # before every level is copied into 584 windows
            keys = keys.to(torch.get_autocast_dtype(keys.device.type))
        windows = _around(keys, count, PAST + 1 + future)
        weight = self.around[: PAST + 1 + future].flatten(0, 1)
        place = (self.loudness(_loudness(heard[:, :, KEYS:], count)) + self.future[future])[
            :, :, None
        ] + self.key
        if struck is not None:
            logits = place.new_zeros(place.shape[:3])
            logits[struck] = self._logits(windows[struck].flatten(1) @ weight + place[struck])
            return logits
        parts = [
            self._logits(
                windows[:, first : first + STRETCH].flatten(3) @ weight + place[:, first : first + STRETCH]
            )
            for first in range(0, count, STRETCH)
        ]
        return torch.cat(parts, dim=1)

    def _logits(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.second(torch.relu(x))))[..., 0]


def _around(keys: Tensor, count: int, frames: int) -> Tensor:
    """Levels [B, T, P] around every key of every frame: a view [B, count, P, frames, W], silence beyond."""
    wanted = count + frames - 1
    keys = F.pad(keys[:, :wanted], (BELOW, ABOVE, 0, max(0, wanted - keys.shape[1])), value=SILENCE)
    return keys.unfold(2, BELOW + 1 + ABOVE, 1).unfold(1, frames, 1).transpose(3, 4)


def _loudness(whole: Tensor, count: int) -> Tensor:
    """Loudness now and of the last five seconds [B, count, 5], of [B, MEMORY + T, 3]."""
    seen = whole[:, : MEMORY + count]
    loud_now, mean_now, _ = seen[:, MEMORY:].unbind(2)
    loudest = F.max_pool1d(seen[..., 0], MEMORY + 1, 1)
    loud, mean, there = F.avg_pool1d(seen.transpose(1, 2), MEMORY + 1, 1).unbind(1)
    loud, mean = loud / there, mean / there
    told = [loud_now - loudest, mean_now - mean, loudest - LOUDEST, loud - loudest, mean - MEAN]
    return torch.stack(told, dim=2) * SPREAD
