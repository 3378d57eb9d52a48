"""Keys struck again and again while their strings still sound, more often than pieces have it.

A stroke on a ringing string raises it far less than one on a still string: of the notes that a transcriber
misses many are such. Here some notes of a performance become several.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import mido
import numpy as np

TEMPO = 500_000  #: microseconds a quarter note
TICKS = 30_000  #: a quarter note: one is 17 microseconds
SHORTEST_S = 0.05  #: of a stroke


@dataclass(frozen=True)
class Stroke:
    """A key that goes down and comes up, in seconds."""

    on_s: float
    off_s: float
    key: int
    velocity: int


def struck_again(midi: mido.MidiFile, share: float, rng: np.random.Generator) -> mido.MidiFile:
    """The same performance with a ``share`` of its notes struck once to five times more, mostly softer.

    Notes come on channel 0. All else keeps its time.
    """
    strokes, rest = _parts(midi)
    out = [(at_s, 0, message) for at_s, message in rest]
    for key in sorted(strokes):
        following = [*strokes[key][1:], None]
        for stroke, after in zip(strokes[key], following, strict=True):
            until_s = after.on_s if after else stroke.off_s + 1.0
            again = _several(stroke, until_s, rng) if rng.random() < share else [stroke]
            for one in again:
                down = mido.Message("note_on", note=key, velocity=one.velocity)
                out += [(one.on_s, 2, down), (one.off_s, 1, mido.Message("note_off", note=key))]
    return _file(sorted(out, key=lambda event: event[:2]))


def _several(stroke: Stroke, until_s: float, rng: np.random.Generator) -> list[Stroke]:
    """A stroke and others after it at about equal distances, all before ``until_s``."""
    every_s = float(np.exp(rng.uniform(np.log(0.08), np.log(0.6))))
    times = [stroke.on_s]
    for _ in range(rng.integers(1, 6)):
        times.append(times[-1] + every_s * float(np.exp(rng.normal(0, 0.06))))
    times = [at_s for at_s in times if at_s <= max(stroke.on_s, until_s - 2 * SHORTEST_S)]
    velocities = [stroke.velocity]
    velocities += [int(np.clip(stroke.velocity * rng.uniform(0.4, 1.1), 1, 127)) for _ in times[1:]]
    ends = [at_s - min(rng.uniform(0.02, 0.08), every_s / 3) for at_s in times[1:]]
    ends.append(min(until_s, max(stroke.off_s, times[-1] + SHORTEST_S)))
    return [
        Stroke(on_s, off_s, stroke.key, velocity)
        for on_s, off_s, velocity in zip(times, ends, velocities, strict=True)
    ]


def _parts(midi: mido.MidiFile) -> tuple[dict[int, list[Stroke]], list[tuple[float, mido.Message]]]:
    """Each key's strokes in their order, none beyond the next, and all other messages but tempos."""
    strokes: dict[int, list[Stroke]] = defaultdict(list)
    down: dict[int, tuple[float, int]] = {}
    rest = []
    now_s = 0.0

    def up(key: int) -> None:
        if key in down:
            on_s, velocity = down.pop(key)
            strokes[key].append(Stroke(on_s, now_s, key, velocity))

    for message in midi:
        now_s += message.time
        if message.type == "note_on" and message.velocity > 0:
            up(message.note)
            down[message.note] = now_s, message.velocity
        elif message.type in ("note_on", "note_off"):
            up(message.note)
        elif message.type not in ("set_tempo", "end_of_track"):
            rest.append((now_s, message))
    for key in list(down):
        up(key)
    rest.append((now_s, mido.MetaMessage("marker", text="end")))  # it lasts as long as before
    return strokes, rest


def _file(events: list[tuple[float, int, mido.Message]]) -> mido.MidiFile:
    """Messages at their times in seconds, in order, as one track."""
    out = mido.MidiFile(type=0, ticks_per_beat=TICKS)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=TEMPO)])
    before = 0
    for at_s, _, message in events:
        at = round(at_s * 1e6 / TEMPO * TICKS)
        track.append(message.copy(time=at - before))
        before = at
    out.tracks.append(track)
    return out
