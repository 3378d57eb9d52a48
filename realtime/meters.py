"""Counters and recent figures of a session. Written by the worker and the sender, read by any thread."""

from __future__ import annotations

import threading

import numpy as np

from ..model.notes import Event, NoteOn, Pedal
from ..model.timebase import FRAME_S
from .status import RECENT_S, RecentNote


class Recent:
    """The last ``size`` figures. One thread writes; a reader may see one figure more or less."""

    def __init__(self, size: int = 2000) -> None:
        self._values = np.zeros(size)
        self._count = 0

    def add(self, value: float) -> None:
        self._values[self._count % len(self._values)] = value
        self._count += 1

    def values(self) -> np.ndarray:
        return self._values[: min(self._count, len(self._values))].copy()

    def median_and_p99(self) -> tuple[float, float]:
        values = self.values()
        if not len(values):
            return 0.0, 0.0
        median, p99 = np.percentile(values, (50, 99))
        return float(median), float(p99)


class ComputeMeter:
    """What computing costs, for each 20 ms of audio."""

    def __init__(self) -> None:
        self.frame_ms = Recent()
        self._spent_s = Recent(500)
        self._audio_s = Recent(500)

    def add(self, spent_s: float, frames: int) -> None:
        """One step over ``frames`` frames; steps that computed none are part of the next."""
        if frames:
            self.frame_ms.add(1000 * spent_s / frames)
            self._spent_s.add(spent_s)
            self._audio_s.add(frames * FRAME_S)

    @property
    def realtime_factor(self) -> float:
        """Seconds of audio computed in a second of computing."""
        spent_s = float(self._spent_s.values().sum())
        return float(self._audio_s.values().sum()) / spent_s if spent_s > 0 else 0.0


class LevelMeter:
    """Peak of the last blocks, falling slowly enough to be read."""

    FALL_DB_PER_S = 24.0
    LOWEST_DB = -120.0

    def __init__(self) -> None:
        self.level_db = self.LOWEST_DB
        self.clipped = 0

    def add(self, samples: np.ndarray, duration_s: float) -> None:
        """Samples [n]; NaN counts as nothing."""
        sizes = np.abs(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=1.0))
        peak = float(sizes.max(initial=0.0))
        self.clipped += int(np.count_nonzero(sizes >= 0.999))
        peak_db = 20 * float(np.log10(max(peak, 1e-6)))
        self.level_db = max(peak_db, self.level_db - self.FALL_DB_PER_S * duration_s, self.LOWEST_DB)


class Roll:
    """The notes of the last seconds, as they were sent, and where the pedal is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: list[RecentNote] = []
        self._down: dict[int, NoteOn] = {}
        self.notes = 0
        self.pedal_down = False

    def add(self, event: Event) -> None:
        if isinstance(event, Pedal):
            self.pedal_down = event.down
            return
        with self._lock:
            on = self._down.pop(event.pitch, None)
            if on is not None:
                self._done.append(RecentNote(on.time_s, event.time_s, on.pitch, on.velocity))
            if isinstance(event, NoteOn):
                self._down[event.pitch] = event
                self.notes += 1
            if len(self._done) > 256:
                self._forget(event.time_s)

    def recent(self, now_s: float) -> tuple[RecentNote, ...]:
        with self._lock:
            self._forget(now_s)
            down = (RecentNote(on.time_s, None, on.pitch, on.velocity) for on in self._down.values())
            return (*self._done, *down)

    def _forget(self, now_s: float) -> None:
        first_s = now_s - RECENT_S
        self._done = [note for note in self._done if note.offset_s is None or note.offset_s >= first_s]
