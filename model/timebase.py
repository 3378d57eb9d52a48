"""The one time base: every rate and duration of the project follows from the numbers here.

Frame *i* is centred on sample ``HOP * i`` (time ``0.02 * i`` seconds).
"""

from __future__ import annotations

SAMPLE_RATE = 16_000  #: Hz
HOP = 320  #: samples from one frame's centre to the next
FRAMES_PER_SECOND = SAMPLE_RATE // HOP  #: 50
FRAME_S = HOP / SAMPLE_RATE  #: 0.02 s
LOOK_AHEAD = 512  #: samples the front end needs after a frame's centre (32 ms)

LOWEST_PITCH = 21  #: MIDI number of key 0 (A0)
KEYS = 88
BINS_PER_KEY = 4
BINS = KEYS * BINS_PER_KEY  #: 352
BINS_PER_OCTAVE = 12 * BINS_PER_KEY  #: 48

LATENCIES = {"fast": 0, "balanced": 2, "accurate": 4}  #: name -> look-ahead frames R
MAX_LOOK_AHEAD_FRAMES = 8

if SAMPLE_RATE % HOP:
    raise ValueError(f"the hop must divide the sample rate, got {HOP} and {SAMPLE_RATE}")


def latency_s(look_ahead_frames: int, look_ahead_samples: int = LOOK_AHEAD) -> float:
    """Algorithmic latency in seconds: front-end look-ahead, R frames, and one for a peak's neighbour."""
    return look_ahead_samples / SAMPLE_RATE + (look_ahead_frames + 1) * FRAME_S


def frames_for_latency(latency_ms: float, look_ahead_samples: int = LOOK_AHEAD) -> int:
    """The look-ahead R for an algorithmic latency in milliseconds.

    Raises ValueError for a latency that cannot be reached; the message lists those that can.
    """
    reachable = [1000 * latency_s(r, look_ahead_samples) for r in range(MAX_LOOK_AHEAD_FRAMES + 1)]
    for frames, value in enumerate(reachable):
        if abs(value - latency_ms) < 0.5:
            return frames
    values = ", ".join(f"{value:.0f}" for value in reachable)
    raise ValueError(f"latency must be one of {values} ms, got {latency_ms:g}")


def frames_in(samples: int) -> int:
    """The number of frames of a clip: those whose centre lies on one of its samples."""
    return -(-samples // HOP)
