"""From the probability that the sustain pedal is down to its changes, frame by frame, no I/O.

The pedal goes down where the probability rises above its threshold and is still above it in the next frame,
and comes up likewise below a lower one (hysteresis); between two changes lies a shortest time. So a change
is announced when a note's onset would be: as soon as its frame's right neighbour has been judged.
"""

from __future__ import annotations

import numpy as np

from .notes import Pedal
from .timebase import FRAME_S

HYSTERESIS = 0.1  #: the pedal comes up below the threshold less this
SHORTEST_FRAMES = 3  #: between two changes


class PedalDecoder:
    """Incremental decoder of one stream's pedal. Times count from the first frame ever fed."""

    def __init__(self, threshold: float) -> None:
        self._above, self._below = threshold, max(0.0, threshold - HYSTERESIS)
        self.reset()

    def reset(self) -> None:
        """As new: the pedal is up, the next frame fed is frame 0 again."""
        self._edge = [0.0, 0.0]  # the last two frames fed
        self._next = -1  # number of the frame to judge next: the last one fed
        self._changed = -SHORTEST_FRAMES
        self._down = False

    def feed(self, frames: np.ndarray) -> list[Pedal | None]:
        """For each frame that can be judged now a change or None [T], from probabilities [T]."""
        joined = [*self._edge, *frames.tolist()]
        self._edge = joined[-2:]
        return [self._judge(*joined[i : i + 3]) for i in range(len(frames))]

    @property
    def last(self) -> np.ndarray:
        """The last frame fed [1]: fed once more at the end, it is judged as if it went on."""
        return np.array(self._edge[-1:])

    def flush(self) -> Pedal | None:
        """Lets the pedal up at the end, ``_next`` being the number of frames fed."""
        if not self._down:
            return None
        self._down = False
        return Pedal(max(0, self._next) * FRAME_S, False)

    def _judge(self, before: float, here: float, after: float) -> Pedal | None:
        number, self._next = self._next, self._next + 1
        level = self._below if self._down else self._above
        turns = max(here, after) < level if self._down else min(here, after) >= level
        if not turns or number - self._changed < SHORTEST_FRAMES:
            return None
        self._down, self._changed = not self._down, number
        # Where between this frame and the one before the level was passed; no earlier than a note's onset
        # in this frame could lie, so that it can be sent as late as those.
        share = (here - level) / (here - before) if here != before else 0.0
        return Pedal(max(0.0, (number - min(0.5, max(0.0, share))) * FRAME_S), self._down)
