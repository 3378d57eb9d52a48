"""Meters of a live session, and a snapshot of them for the view, the status line and the benchmarks.

The worker and the sender write the meters; any thread may read them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from ..model.notes import Event, NoteOn, Pedal
from ..model.timebase import FRAME_S
from ..model.tuning import estimate_tuning
from .inputs import Block, clean

RECENT_S = 8.0  #: time for which notes are shown
TUNING_S = 12.0  #: sound from which the tuning is estimated, silence not counted
AUDIBLE = 0.003  #: least peak (full scale is 1); quieter blocks are not counted
WORTH_CENTS = 3.0  #: a smaller tuning difference is ignored


@dataclass(frozen=True)
class RecentNote:
    """A note of the last seconds. Times in seconds of stream time; ``offset_s`` is None while it sounds."""

    onset_s: float
    offset_s: float | None
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Status:
    """A snapshot; times in seconds of stream time (0 where the input began), durations as named."""

    running_s: float = 0.0
    level_db: float = -120.0  #: peak of the last blocks against full scale
    clipped: int = 0  #: samples at or above full scale so far
    realtime_factor: float = 0.0  #: seconds of audio computed per second of computing, recent
    compute_ms: tuple[float, float] = (0.0, 0.0)  #: per 20 ms of audio: median, p99, recent
    latency_ms: tuple[float, float] = (0.0, 0.0)  #: measured onset -> sent: median, p99, recent
    algorithmic_latency_ms: float = 0.0
    total_latency_ms: float = 0.0  #: onset -> sent, fixed
    backlog_ms: float = 0.0  #: sound that waits to be computed
    dropped_blocks: int = 0  #: left out because computing could not keep up
    lost_samples: int = 0  #: lost by the device
    bad_samples: int = 0  #: NaN or infinite, replaced by 0
    gaps: int = 0  #: longer breaks in the sound, at which all notes were ended
    late_events: int = 0  #: sent after their time
    left_out: int = 0  #: notes not sent: they came far too late, or faster than the port took them
    notes: int = 0  #: sent so far
    asleep: bool = False  #: the silence gate has put the network to sleep
    faults: tuple[str, ...] = ()  #: the last few lines
    sounding: frozenset[int] = frozenset()  #: pitches down now
    sends_pedal: bool = False  #: whether the sustain pedal is detected and sent
    pedal: bool = False  #: whether the sustain pedal is down now
    recent: tuple[RecentNote, ...] = ()  #: notes of the last RECENT_S seconds
    now_s: float = 0.0  #: stream time of what the port plays now


def troubles(status: Status) -> list[str]:
    """Returns the counts of faults so far, in a few words each; empty if there were none."""
    counts = (
        (status.dropped_blocks, "blocks dropped"),
        (status.gaps, "gaps in the sound"),
        (status.late_events, "events late"),
        (status.left_out, "notes left out"),
        (status.lost_samples, "samples lost"),
        (status.clipped, "samples clipped"),
        (status.bad_samples, "samples bad"),
    )
    return [f"{count} {what}" for count, what in counts if count]


class Recent:
    """The last ``size`` values. One thread writes; a reader may see one value more or less."""

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
    """Measures the computing time for each 20 ms of audio."""

    def __init__(self) -> None:
        self.frame_ms = Recent()
        self._spent_s = Recent(500)
        self._audio_s = Recent(500)
        self._before_s = 0.0  # time of the steps since the last frame

    def add(self, spent_s: float, frames: int) -> None:
        """Adds a step over ``frames`` frames. The time of a step without frames counts for the next frame."""
        self._before_s += spent_s
        if frames:
            self.frame_ms.add(1000 * self._before_s / frames)
            self._spent_s.add(self._before_s)
            self._audio_s.add(frames * FRAME_S)
            self._before_s = 0.0

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
        """Adds samples [n]; NaN counts as 0."""
        sizes = np.abs(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=1.0))
        peak = float(sizes.max(initial=0.0))
        self.clipped += int(np.count_nonzero(sizes >= 0.999))
        peak_db = 20 * float(np.log10(max(peak, 1e-6)))
        self.level_db = max(peak_db, self.level_db - self.FALL_DB_PER_S * duration_s, self.LOWEST_DB)


class Roll:
    """The notes of the last seconds, as they were sent, and the state of the pedal."""

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


class TuningMeter:
    """Estimates how far the piano is from A = 440 Hz, once enough was played (``--tuning auto``).

    Call ``add`` with every block. ``cents`` is None until it is known. The estimate runs in a thread.
    """

    def __init__(self) -> None:
        self.cents: float | None = None
        self._waiting: list[np.ndarray] | None = []
        self._waiting_s = 0.0
        self._sample_rate = 0

    def add(self, block: Block) -> None:
        if self._waiting is None:
            return
        if block.sample_rate != self._sample_rate:
            self._waiting, self._waiting_s, self._sample_rate = [], 0.0, block.sample_rate
        samples = clean(block.samples)[0]
        if float(np.abs(samples).max(initial=0.0)) < AUDIBLE:
            return
        self._waiting.append(samples)
        self._waiting_s += block.duration_s
        if self._waiting_s >= TUNING_S:
            sound, self._waiting = self._waiting, None
            threading.Thread(target=self._estimate, args=(sound, block.sample_rate), daemon=True).start()

    def _estimate(self, sound: list[np.ndarray], sample_rate: int) -> None:
        self.cents = estimate_tuning(sound, sample_rate).cents
