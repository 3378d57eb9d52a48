"""Decodes whole recordings: as ``Decoder``, but what follows a note helps to choose where it ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .config import DecoderConfig
from .decoder import FRAME, OFFSET, SHORTEST_NOTE_S, Decoder
from .notes import Event, NoteOff, NoteOn, Pedal
from .releases import AROUND_S, LONGEST_S, NoteTable, Releases
from .timebase import FRAME_S, FRAMES_PER_SECOND, KEYS

HORIZON_S = LONGEST_S + 0.1  #: seconds after an onset that are known when the note's end is chosen


@dataclass
class _Note:
    """A note as the decoder found it."""

    onset_s: float
    pitch: int
    velocity: int
    end_s: float = math.inf  #: infinite while it sounds
    chosen: bool = False  #: its end has been chosen; it stays for the notes around it
    lasts: bool = False  #: it ends where the decoder will end it


class RecordingDecoder:
    """Incremental decoder of one recording.

    Without ``releases``, the events are those of ``Decoder``. With them, they come sorted by time, when the
    HORIZON_S after a note's onset are known; the same ones for windows of any length.
    """

    def __init__(self, config: DecoderConfig, releases: Releases | None = None) -> None:
        self._decoder = Decoder(config)
        self._releases = releases
        self._keys = np.zeros((0, KEYS, 2), dtype=np.float32)  # frame and offset probabilities, from ...
        self._first = 0  # ... this frame on
        self._notes: list[_Note] = []
        self._sounding: dict[int, _Note] = {}
        self._waiting: list[Event] = []

    def feed(self, keys: np.ndarray, pedal: np.ndarray | None = None) -> list[Event]:
        """The events that are decided now, from probabilities [T, 88, 4] and the pedal's [T]."""
        events = self._decoder.feed(keys, pedal)
        if self._releases is None:
            return events
        self._keys = np.concatenate([self._keys, keys[..., [FRAME, OFFSET]]])
        self._take(events)
        return self._decide((self._first + len(self._keys)) * FRAME_S - HORIZON_S, self._releases)

    def flush(self) -> list[Event]:
        """All remaining events."""
        events = self._decoder.flush()
        if self._releases is None:
            return events
        self._take(events)
        return self._decide(math.inf, self._releases)

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Pedal):
                self._waiting.append(event)
                continue
            ended = self._sounding.pop(event.pitch, None)
            if ended is not None:
                ended.end_s = event.time_s
                if ended.lasts:
                    self._waiting.append(NoteOff(event.time_s, event.pitch))
            if isinstance(event, NoteOn):
                self._sounding[event.pitch] = note = _Note(event.time_s, event.pitch, event.velocity)
                self._notes.append(note)
        self._notes.sort(key=lambda note: note.onset_s)

    def _decide(self, until_s: float, releases: Releases) -> list[Event]:
        """Chooses the ends of the notes that begin before ``until_s``; returns the events before it."""
        ready = [
            number for number, note in enumerate(self._notes) if not note.chosen and note.onset_s < until_s
        ]
        if ready:
            self._choose(np.array(ready), releases)
        self._forget(until_s)
        done = sorted((event for event in self._waiting if event.time_s < until_s), key=_order)
        self._waiting = [event for event in self._waiting if event.time_s >= until_s]
        return done

    def _choose(self, which: np.ndarray, releases: Releases) -> None:
        columns = zip(*((n.onset_s, n.pitch, n.velocity, n.end_s) for n in self._notes), strict=True)
        table = NoteTable(*(np.array(column) for column in columns))
        chosen_s = releases.ends(table, which, self._keys, self._first)
        ends = dict(zip(which.tolist(), chosen_s.tolist(), strict=True))
        following: dict[int, float] = {}
        for number, note in reversed(list(enumerate(self._notes))):
            if number in ends:
                end_s = min(ends[number], following.get(note.pitch, math.inf))
                self._waiting.append(NoteOn(note.onset_s, note.pitch, note.velocity))
                note.chosen, note.lasts = True, end_s == math.inf
                if not note.lasts:
                    self._waiting.append(NoteOff(max(end_s, note.onset_s + SHORTEST_NOTE_S), note.pitch))
            following[note.pitch] = note.onset_s

    def _forget(self, limit_s: float) -> None:
        """Forgets what no note from ``limit_s`` on needs."""
        if limit_s == math.inf:
            self._notes.clear()
            return
        self._notes = [
            note for note in self._notes if not note.chosen or note.onset_s > limit_s + AROUND_S[0]
        ]
        first = max(self._first, int(limit_s * FRAMES_PER_SECOND))
        self._keys, self._first = self._keys[first - self._first :], first


def _order(event: Event) -> tuple[float, int, int]:
    """By time. At one time, the pedal goes down first and comes up last, notes end before others begin."""
    if isinstance(event, Pedal):
        return event.time_s, 0 if event.down else 3, 0
    return event.time_s, 1 if isinstance(event, NoteOff) else 2, event.pitch
