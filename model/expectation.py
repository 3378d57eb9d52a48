"""Detects whether the keys expected next are played, and all other keys: for teaching and score following.

Confirming an expected key needs less evidence than finding out which key was played. An expected key is
detected as soon as its onset probability has risen a little and its frame probability shows that it sounds.
The decoder waits for a maximum above a higher threshold. Its events do not change and report all other keys.
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

#: An expected key's onset probability must rise by RISE while its frame probability is at least SOUNDING
#: times the decoder's threshold. On eleven recordings kept back from training, at 132 ms, this reports 98.9 %
#: of the keys played and 0.6 % of as many wrong ones. SOUNDING = 0.25 would report 99.1 % and 0.8 %, but at
#: 52 ms 4.7 % instead of 2.8 % of the wrong ones.
RISE = 0.03
SOUNDING = 0.5
RISE_FRAMES = 4  #: frames within which it must rise
#: Onset probabilities are trained as triangles of two frames to either side (Kong et al., 2021): the lower
#: the probability, the later the triangle's centre. A value of 2 would place soft onsets too late.
UNTIL_CENTRE_FRAMES = 1.5
SAME_STROKE_FRAMES = 6  #: frames after a report within which the key is not reported again
MOST_KEPT = 4096  #: detected keys that wait for ``take``; older ones are dropped
LONGEST_S = 3600.0


class Sounded(NamedTuple):
    """A key that was played."""

    pitch: int
    time_s: float  #: onset time as in events; for wanted keys accurate to about 10 ms
    wanted: bool


class Expectation:
    """The expected and the detected keys of one stream. Frame numbers are the decoder's."""

    def __init__(self, config: DecoderConfig) -> None:
        self._sounds_from = SOUNDING * config.frame
        self._until: dict[int, list[int]] = {}  # key -> last frame of each of its expectations, sorted
        self._before: deque[np.ndarray] = deque(
            maxlen=RISE_FRAMES
        )  # onset probabilities [88] of the last frames
        self._reported = np.full(KEYS, -1 - SAME_STROKE_FRAMES)  # frame of each key's last report
        self._found: deque[Sounded] = deque(maxlen=MOST_KEPT)

    def expect(self, pitches: Iterable[int], until_s: float) -> None:
        """Expects one stroke of each key until ``until_s``. Raises ValueError for other pitches."""
        last = math.floor(until_s * FRAMES_PER_SECOND)
        for key in [_key(pitch) for pitch in pitches]:  # checks all pitches before it adds any
            self._until.setdefault(key, []).append(last)
            self._until[key].sort()

    def feed(self, first: int, frames: np.ndarray, events: Sequence[Sequence[Event]]) -> None:
        """Adds probabilities [T, 88, 4] from frame ``first`` on, and the events that each frame completed."""
        for number, (frame, known) in enumerate(zip(frames, events, strict=True), first):
            self._forget(number)
            for key in [key for key in self._until if self._rises(key, frame)]:
                if self._is_new(key, number):
                    later = UNTIL_CENTRE_FRAMES * (1 - float(frame[key, ONSET]))
                    self._take(key)
                    self._report(key, number, (number + later) * FRAME_S, wanted=True)
            self._before.append(frame[:, ONSET].copy())
            self.add(known, number)

    def add(self, events: Iterable[Event], number: int) -> None:
        """Adds the strokes among the events that frame ``number`` completed."""
        for event in events:
            if isinstance(event, NoteOn):
                self._stroke(event, number)

    def take(self) -> list[Sounded]:
        """The keys detected since the last call, in order of detection."""
        found = list(self._found)
        self._found.clear()
        return found

    def _rises(self, key: int, frame: np.ndarray) -> bool:
        if frame[key, FRAME] < self._sounds_from:
            return False
        lowest = min((float(before[key]) for before in self._before), default=0.0)
        return float(frame[key, ONSET]) - lowest >= RISE

    def _is_new(self, key: int, number: int) -> bool:
        """Whether this is not the last reported stroke of the key."""
        return number - self._reported[key] > SAME_STROKE_FRAMES

    def _stroke(self, event: NoteOn, number: int) -> None:
        """Reports an onset that only the decoder detected: its key was not expected when it rose."""
        key = event.pitch - LOWEST_PITCH
        if self._is_new(key, number):
            self._report(key, number, event.time_s, wanted=self._take(key))

    def _report(self, key: int, number: int, time_s: float, wanted: bool) -> None:
        self._reported[key] = number
        self._found.append(Sounded(key + LOWEST_PITCH, time_s, wanted))

    def _take(self, key: int) -> bool:
        """Whether a stroke of the key is expected; if so, removes that expectation."""
        until = self._until.get(key)
        if until is None:
            return False
        del until[0]
        if not until:
            del self._until[key]
        return True

    def _forget(self, number: int) -> None:
        """Removes the expectations that ended before frame ``number``."""
        kept = {key: [last for last in until if last >= number] for key, until in self._until.items()}
        self._until = {key: until for key, until in kept.items() if until}


def check_within(within_s: float) -> float:
    """``within_s`` as a float. Raises ValueError unless it is above 0 and at most LONGEST_S."""
    if not 0 < within_s <= LONGEST_S:  # also refuses NaN
        raise ValueError(f"within_s must be above 0 and at most {LONGEST_S:g} seconds, got {within_s!r}")
    return float(within_s)


def _key(pitch: int) -> int:
    key = pitch - LOWEST_PITCH
    if not 0 <= key < KEYS or key != int(key):
        highest = LOWEST_PITCH + KEYS - 1
        raise ValueError(f"expected pitches from {LOWEST_PITCH} to {highest}, got {pitch!r}")
    return int(key)
