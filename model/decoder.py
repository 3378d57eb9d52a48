"""Turns probabilities into events, frame by frame: ``feed(frames) -> events``, no I/O.

An onset is a local maximum of the onset probability above its threshold, confirmed by the frame
probability there or in the next frame; a frame's right neighbour must be known before it is decoded.
A note ends at a local maximum of the offset probability, where the frame probability falls below
its threshold, or where its key is played again. The sustain pedal, if predicted, is decoded separately.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .config import HEADS, DecoderConfig
from .notes import Event, NoteOff, NoteOn, Pedal
from .timebase import FRAME_S, KEYS, LOWEST_PITCH

HYSTERESIS = 0.1  #: the pedal comes up below the threshold minus this
SHORTEST_FRAMES = 3  #: least number of frames between two changes of the pedal


class PedalDecoder:
    """Incremental decoder of one stream's pedal. Times count from the first frame after ``reset``.

    The pedal goes down where the probability reaches its threshold and stays there in the next frame. It
    comes up likewise below a lower threshold (hysteresis). Two changes lie at least SHORTEST_FRAMES apart.
    Like an onset, a change is emitted as soon as the right neighbour of its frame is known.
    """

    def __init__(self, threshold: float) -> None:
        self._above, self._below = threshold, max(0.0, threshold - HYSTERESIS)
        self.reset()

    def reset(self) -> None:
        """Starts anew: the pedal is up, the next frame is frame 0."""
        self._edge = [0.0, 0.0]  # the last two frames fed
        self._next = -1  # number of the frame to decode next: the last one fed
        self._changed = -SHORTEST_FRAMES
        self._down = False

    def feed(self, frames: np.ndarray) -> list[Pedal | None]:
        """Returns a pedal change or None for each frame decoded now [T], from probabilities [T]."""
        joined = [*self._edge, *frames.tolist()]
        self._edge = joined[-2:]
        return [self._decode(*joined[i : i + 3]) for i in range(len(frames))]

    @property
    def last(self) -> np.ndarray:
        """The last frame fed [1]. Fed again at the end, it stands for its missing right neighbour."""
        return np.array(self._edge[-1:])

    def flush(self) -> Pedal | None:
        """Returns the event that ends a press at the end; ``_next`` is then the number of frames fed."""
        if not self._down:
            return None
        self._down = False
        return Pedal(max(0, self._next) * FRAME_S, False)

    def _decode(self, before: float, here: float, after: float) -> Pedal | None:
        number, self._next = self._next, self._next + 1
        level = self._below if self._down else self._above
        turns = max(here, after) < level if self._down else min(here, after) >= level
        if not turns or number - self._changed < SHORTEST_FRAMES:
            return None
        self._down, self._changed = not self._down, number
        # The crossing between the previous frame and this one, but no earlier than an onset decoded in this
        # frame could lie: so pedal events need no more latency than notes.
        share = (here - level) / (here - before) if here != before else 0.0
        return Pedal(max(0.0, (number - min(0.5, max(0.0, share))) * FRAME_S), self._down)


#: Probabilities of one recording [T, 88, 4], and the pedal's [T] if the network has that head.
Probable = tuple[np.ndarray, np.ndarray | None]
ONSET, FRAME, OFFSET, VELOCITY = range(len(HEADS))
#: Least number of frames between two strokes of a key: a nearer peak lies on the slope of the first one.
SHORTEST_REPEAT_FRAMES = 3
SHORTEST_NOTE_S = 0.02


@dataclass
class _Sounding:
    """A note whose key is down."""

    frame: int
    onset_s: float


class Decoder:
    """Incremental decoder of one stream. Times count from the first frame after ``reset``."""

    def __init__(self, config: DecoderConfig | None = None) -> None:
        self.config = config or DecoderConfig()
        self._pedal = PedalDecoder(self.config.pedal)
        self.reset()

    def reset(self) -> None:
        """Starts anew: the next frame is frame 0."""
        self._pedal.reset()
        self._edge = np.zeros((2, KEYS, len(HEADS)), dtype=np.float32)  # the last two frames fed
        self._next = -1  # number of the frame to decode next: the last one fed
        self._sounding: dict[int, _Sounding] = {}
        self._onsets = np.full(KEYS, -SHORTEST_REPEAT_FRAMES)  # frame of each key's last onset

    def feed(self, frames: np.ndarray, pedal: np.ndarray | None = None) -> list[Event]:
        """Events of the frames that can be decoded now, from probabilities [T, 88, 4] and the pedal's [T]."""
        return [event for events in self.feed_frames(frames, pedal) for event in events]

    def feed_frames(self, frames: np.ndarray, pedal: np.ndarray | None = None) -> list[list[Event]]:
        """As ``feed``, grouped: for each of the T frames, the events that it completed."""
        if not len(frames):
            return []
        joined = np.concatenate([self._edge, frames])
        self._edge = joined[-2:].copy()
        strokes, ends = self._candidates(joined)
        turns = self._pedal.feed(pedal) if pedal is not None else [None] * len(frames)
        events: list[list[Event]] = []
        for i, turn in enumerate(turns):
            around = joined[i : i + 3]
            here: list[Event] = []
            if self._sounding:
                for key in [k for k in self._sounding if ends[i, k]]:
                    here.extend(self._end(key, around))
            for key in np.flatnonzero(strokes[i]).tolist() if strokes[i].any() else ():
                onset = self._begin(key, around)
                here = [*(_ended_by(onset[-1], event) for event in here), *onset] if onset else here
            events.append(here if turn is None else with_pedal(here, turn))
            self._next += 1
        return events

    def flush(self) -> list[Event]:
        """Decodes the last frame and ends all sounding notes. Call ``reset`` before feeding again."""
        events = self.feed(np.zeros((1, KEYS, len(HEADS)), dtype=np.float32), self._pedal.last)
        end_s = self._next * FRAME_S
        for key, note in sorted(self._sounding.items()):
            events.append(NoteOff(max(end_s, note.onset_s + SHORTEST_NOTE_S), key + LOWEST_PITCH))
        self._sounding.clear()
        up = self._pedal.flush()
        return events if up is None else [*events, up]

    def _candidates(self, joined: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where notes may begin and where they may end, [T, 88] each, from ``joined`` [T + 2, 88, 4]."""
        left, here, right = joined[:-2], joined[1:-1], joined[2:]
        peak = (here > left) & (here >= right)
        firm = here[..., FRAME] >= self.config.frame
        confirmed = firm | (right[..., FRAME] >= self.config.frame)
        strokes = peak[..., ONSET] & (here[..., ONSET] >= self.config.onset) & confirmed
        released = peak[..., OFFSET] & (here[..., OFFSET] >= self.config.offset)
        # If an offset peak follows in the next frame, its time is more exact than that of the fall.
        coming = (right[..., OFFSET] > here[..., OFFSET]) & (right[..., OFFSET] >= self.config.offset)
        return strokes, released | (~firm & ~coming)

    def _begin(self, key: int, around: np.ndarray) -> list[Event]:
        if self._next - self._onsets[key] < SHORTEST_REPEAT_FRAMES:
            return []
        onset_s = max(0.0, (self._next + _between(around[:, key, ONSET])) * FRAME_S)
        events: list[Event] = []
        before = self._sounding.get(key)
        if before is not None:
            onset_s = max(onset_s, before.onset_s + SHORTEST_NOTE_S)
            events.append(NoteOff(onset_s, key + LOWEST_PITCH))
        velocity = int(np.clip(round(float(around[1, key, VELOCITY]) * 127), 1, 127))
        events.append(NoteOn(onset_s, key + LOWEST_PITCH, velocity))
        self._sounding[key] = _Sounding(self._next, onset_s)
        self._onsets[key] = self._next
        return events

    def _end(self, key: int, around: np.ndarray) -> list[Event]:
        note = self._sounding[key]
        if self._next < note.frame + 2:  # the frame probability may rise a frame after the onset
            return []
        del self._sounding[key]
        peaked = around[1, key, OFFSET] >= self.config.offset
        offset_s = (self._next + (_between(around[:, key, OFFSET]) if peaked else 0.0)) * FRAME_S
        return [NoteOff(max(offset_s, note.onset_s + SHORTEST_NOTE_S), key + LOWEST_PITCH)]


def _ended_by(stroke: Event, event: Event) -> Event:
    """Moves the end of the key's note to no later than ``stroke``: a later end would cut the new note."""
    if isinstance(event, NoteOff) and isinstance(stroke, NoteOn) and event.pitch == stroke.pitch:
        return replace(event, time_s=min(event.time_s, stroke.time_s))
    return event


def with_pedal(events: list[Event], turn: Pedal) -> list[Event]:
    """A frame's events together with its pedal change, in an order that ends no note too early.

    If a key comes up in the frame in which the pedal goes down, its note rings on: the pedal comes first.
    """
    if not turn.down:
        return [*events, turn]
    first_s = min((event.time_s for event in events if isinstance(event, NoteOff)), default=turn.time_s)
    return [replace(turn, time_s=min(turn.time_s, first_s)), *events]


def _between(values: np.ndarray) -> float:
    """Position of a triangle's peak, -0.5 to 0.5 frames from the middle one, from three points [3].

    Kong et al., "High-resolution Piano Transcription", 2021, section III-D.
    """
    left, top, right = (float(v) for v in values)
    slope = top - min(left, right)
    return float(np.clip((right - left) / (2 * slope), -0.5, 0.5)) if slope > 0 else 0.0
