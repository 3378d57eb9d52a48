"""From notes to what the network is asked for.

Onset and offset targets are triangles of ±2 frames around the exact time (Kong et al.,
"High-resolution Piano Transcription with Pedals by Regressing Onset and Offset Times", 2021,
section III), so that the decoder can find times between frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.timebase import FRAMES_PER_SECOND, KEYS, LOWEST_PITCH

TRIANGLE_FRAMES = 2


@dataclass(frozen=True)
class Targets:
    """Targets [T, 88], each 0 to 1; ``velocity`` counts where ``onset`` is above zero."""

    onset: np.ndarray
    frame: np.ndarray
    offset: np.ndarray
    velocity: np.ndarray

    def stacked(self) -> np.ndarray:
        """[T, 88, 4] in the order of the heads."""
        return np.stack([self.onset, self.frame, self.offset, self.velocity], axis=-1)


def targets(notes: np.ndarray, frames: int, transpose: int = 0) -> Targets:
    """Targets of ``frames`` frames.

    ``notes`` [n, 4]: onset and offset (s, from the first frame's time on; notes may reach out of the
    frames either way), pitch, velocity (1-127, 0 unknown).
    ``transpose`` is in keys; notes that leave the keyboard are dropped.
    """
    out = Targets(*(np.zeros((frames, KEYS), dtype=np.float32) for _ in range(4)))
    for onset_s, offset_s, pitch, velocity in notes:
        key = int(pitch) - LOWEST_PITCH + transpose
        if not 0 <= key < KEYS:
            continue
        on = onset_s * FRAMES_PER_SECOND
        off = offset_s * FRAMES_PER_SECOND
        first, last = max(0, round(on)), min(frames, max(round(off), round(on) + 1))
        out.frame[first:last, key] = 1
        _triangle(out.offset[:, key], off)
        span = _triangle(out.onset[:, key], on)
        out.velocity[span, key] = velocity / 127
    return out


def pedal_target(presses: np.ndarray | None, frames: int) -> np.ndarray:
    """Whether the sustain pedal is down in each frame [T], 1 or 0; -1 throughout where it is not known.

    ``presses`` [n, 2]: down and up, in seconds from the first frame's time on.
    """
    if presses is None:
        return np.full(frames, -1, dtype=np.float32)
    out = np.zeros(frames, dtype=np.float32)
    for down_s, up_s in presses:
        out[max(0, round(down_s * FRAMES_PER_SECOND)) : max(0, round(up_s * FRAMES_PER_SECOND))] = 1
    return out


def _triangle(column: np.ndarray, at: float) -> slice:
    """Raises ``column`` to a triangle around frame ``at``; returns the frames it covers."""
    first = max(0, int(np.floor(at)) - TRIANGLE_FRAMES + 1)
    last = min(len(column), int(np.floor(at)) + TRIANGLE_FRAMES + 1)
    if last > first:
        heights = 1 - np.abs(np.arange(first, last) - at) / TRIANGLE_FRAMES
        column[first:last] = np.maximum(column[first:last], heights)
    return slice(first, max(first, last))
