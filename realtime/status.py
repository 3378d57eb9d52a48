"""What a live session says of itself: one snapshot for the view, the status line and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RecentNote:
    """A note of the last seconds. Times in seconds of stream time; ``offset_s`` is None while it sounds."""

    onset_s: float
    offset_s: float | None
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Status:
    """A snapshot; times in seconds of stream time (0 where listening began), durations as named."""

    running_s: float = 0.0
    level_db: float = -120.0  #: peak of the last blocks against full scale
    clipped: int = 0  #: samples at or above full scale so far
    realtime_factor: float = 0.0  #: seconds of audio computed per second of computing, recent
    compute_ms: tuple[float, float] = (0.0, 0.0)  #: per 20 ms of audio: median, p99, recent
    latency_ms: tuple[float, float] = (0.0, 0.0)  #: measured onset -> sent: median, p99, recent
    algorithmic_latency_ms: float = 0.0
    total_latency_ms: float = 0.0  #: onset -> sent, fixed
    backlog_ms: float = 0.0  #: sound that waits to be computed
    dropped_blocks: int = 0  #: left out because computing could not follow
    lost_samples: int = 0  #: lost by the device, replaced by silence
    bad_samples: int = 0  #: NaN or infinite, replaced by 0
    gaps: int = 0  #: longer breaks in the sound, at which all notes were ended
    late_events: int = 0  #: sent after their time
    left_out: int = 0  #: notes not sent: they came far too late, or faster than the port took them
    notes: int = 0  #: sent so far
    asleep: bool = False  #: the silence gate has put the network to sleep
    faults: tuple[str, ...] = ()  #: the last few lines
    sounding: frozenset[int] = frozenset()  #: pitches down now
    sends_pedal: bool = False  #: whether the sustain pedal is listened for
    pedal: bool = False  #: it is down now
    recent: tuple[RecentNote, ...] = ()  #: notes of the last RECENT_S seconds
    now_s: float = 0.0  #: stream time of what is heard at the port now


def troubles(status: Status) -> list[str]:
    """What went wrong so far, counted: a few words each, nothing where all is well."""
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


RECENT_S = 8.0
