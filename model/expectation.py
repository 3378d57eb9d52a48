"""Which of the keys that a score wants next are played, and which others: for programs that teach and follow.

To know that a certain key is played takes less than to find out which one is. A key that is expected is
detected as soon as its onset probability has risen a little while its frame probability says that it sounds.
The decoder waits for a maximum above a higher threshold; its events, which do not change, tell of all others.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .config import DecoderConfig
from .decoder import FRAME, ONSET
from .notes import Event, NoteOn
from .timebase import FRAME_S, FRAMES_PER_SECOND, KEYS, LOWEST_PITCH

#: How much an expected key's onset probability must rise, and from which share of the decoder's threshold on
#: its frame probability says that it sounds. At 132 ms on eleven recordings that training keeps back these
#: report 98.9 % of the keys played and 0.6 % of as many wrong ones. A share of 0.25 would report 99.1 and
#: 0.8 %, but at 52 ms 4.7 % of the wrong ones, for 2.8 %.
RISE = 0.03
SOUNDING = 0.5
RISE_FRAMES = 4  #: within which it rises
#: An onset's probability is learned as a triangle of two frames to either side (Kong et al., 2021): the less
#: of it there is, the later is its centre. With two frames, soft onsets would be placed too late.
UNTIL_CENTRE_FRAMES = 1.5
SAME_STROKE_FRAMES = 6  #: within which a key that was reported is not reported again
MOST_KEPT = 4096  #: keys that were found and not asked for; older ones are forgotten
LONGEST_S = 3600.0


class Sounded(NamedTuple):
    """A key that was played."""

    pitch: int
    time_s: float  #: as the events' times; of wanted keys to some 10 ms
    wanted: bool


class Expectation:
    """What one stream expects, and has found. Frames are counted as the decoder counts them."""

    def __init__(self, config: DecoderConfig) -> None:
        self._sounds_from = SOUNDING * config.frame
        self._until: dict[int, list[int]] = {}  # key -> the last frames of its expectations, in order
        self._before: deque[np.ndarray] = deque(
            maxlen=RISE_FRAMES
        )  # onset probabilities [88] of the last frames
        self._reported = np.full(KEYS, -1 - SAME_STROKE_FRAMES)  # frame in which it was last reported
        self._found: deque[Sounded] = deque(maxlen=MOST_KEPT)

    def expect(self, pitches: Iterable[int], until_s: float) -> None:
        """One stroke of each of these keys, up to a time of the stream. Raises ValueError."""
        last = math.floor(until_s * FRAMES_PER_SECOND)
        for key in [_key(pitch) for pitch in pitches]:  # all of them are right, or none is taken
            self._until.setdefault(key, []).append(last)
            self._until[key].sort()

    def feed(self, first: int, frames: np.ndarray, events: Sequence[Sequence[Event]]) -> None:
        """Probabilities [T, 88, 4] from frame ``first`` on, and for each the events known since it came."""
        for number, (frame, known) in enumerate(zip(frames, events, strict=True), first):
            self._forget(number)
            for key in [key for key in self._until if self._rises(key, frame)]:
                if self._is_new(key, number):
                    later = UNTIL_CENTRE_FRAMES * (1 - float(frame[key, ONSET]))
                    self._take(key)
                    self._report(key, number, (number + later) * FRAME_S, wanted=True)
            self._before.append(frame[:, ONSET].copy())
            for event in known:
                if isinstance(event, NoteOn):
                    self._stroke(event, number)

    def take(self) -> list[Sounded]:
        """What was found since the last call, in the order in which it was found."""
        found = list(self._found)
        self._found.clear()
        return found

    def _rises(self, key: int, frame: np.ndarray) -> bool:
        if frame[key, FRAME] < self._sounds_from:
            return False
        lowest = min((float(before[key]) for before in self._before), default=0.0)
        return float(frame[key, ONSET]) - lowest >= RISE

    def _is_new(self, key: int, number: int) -> bool:
        """Whether this is not the stroke that was reported last."""
        return number - self._reported[key] > SAME_STROKE_FRAMES

    def _stroke(self, event: NoteOn, number: int) -> None:
        """An onset of the decoder's: of a key that is not expected, or rose before it was."""
        key = event.pitch - LOWEST_PITCH
        if self._is_new(key, number):
            self._report(key, number, event.time_s, wanted=self._take(key))

    def _report(self, key: int, number: int, time_s: float, wanted: bool) -> None:
        self._reported[key] = number
        self._found.append(Sounded(key + LOWEST_PITCH, time_s, wanted))

    def _take(self, key: int) -> bool:
        """Whether a stroke of the key is expected; one less is from now on."""
        until = self._until.get(key)
        if until is None:
            return False
        del until[0]
        if not until:
            del self._until[key]
        return True

    def _forget(self, number: int) -> None:
        """Expectations end."""
        kept = {key: [last for last in until if last >= number] for key, until in self._until.items()}
        self._until = {key: until for key, until in kept.items() if until}


def check_within(within_s: float) -> float:
    """Seconds, as a number. Raises ValueError for what is no time to wait."""
    if not 0 < within_s <= LONGEST_S:  # NaN is not either
        raise ValueError(f"within_s must be above 0 and at most {LONGEST_S:g} seconds, got {within_s!r}")
    return float(within_s)


def _key(pitch: int) -> int:
    key = pitch - LOWEST_PITCH
    if not 0 <= key < KEYS or key != int(key):
        highest = LOWEST_PITCH + KEYS - 1
        raise ValueError(f"expected pitches from {LOWEST_PITCH} to {highest}, got {pitch!r}")
    return int(key)
