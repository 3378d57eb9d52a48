"""Keys struck again and again while their strings still sound, more often than pieces have it.

A stroke on a ringing string raises it far less than one on a still string: of the notes that a transcriber
misses many are such. Here some notes of a performance become several.
"""

from __future__ import annotations

from collections import defaultdict

import mido
import numpy as np

from ..model.notes import Note
from .prepare.ends import notes_of

TEMPO = 500_000  #: microseconds a quarter note
TICKS = 30_000  #: a quarter note: one is 17 microseconds
SHORTEST_S = 0.05  #: of a stroke

#: Seconds from the start, the order within one moment, what happens.
TimedMessage = tuple[float, int, mido.Message]


def struck_again(midi: mido.MidiFile, share: float, rng: np.random.Generator) -> mido.MidiFile:
    """The same performance with a ``share`` of its notes struck once to five times more, mostly softer.

    Notes are those of ``notes_of``, on channel 0. All else keeps its time. Raises ValueError as that does.
    """
    strokes: dict[int, list[Note]] = defaultdict(list)
    for note in notes_of(midi, "keys"):
        strokes[note.pitch].append(note)
    out = _all_but_notes(midi)
    for key in sorted(strokes):
        following = [*strokes[key][1:], None]
        for stroke, after in zip(strokes[key], following, strict=True):
            until_s = after.onset_s if after else stroke.offset_s + 1.0
            for one in _several(stroke, until_s, rng) if rng.random() < share else [stroke]:
                down = mido.Message("note_on", note=key, velocity=one.velocity)
                out += [(one.onset_s, 2, down), (one.offset_s, 1, mido.Message("note_off", note=key))]
    return _file(sorted(out, key=lambda event: event[:2]))


def _several(stroke: Note, until_s: float, rng: np.random.Generator) -> list[Note]:
    """A stroke and others after it at about equal distances, all before ``until_s``."""
    every_s = float(np.exp(rng.uniform(np.log(0.08), np.log(0.6))))
    times = [stroke.onset_s]
    for _ in range(rng.integers(1, 6)):
        times.append(times[-1] + every_s * float(np.exp(rng.normal(0, 0.06))))
    times = [at_s for at_s in times if at_s <= max(stroke.onset_s, until_s - 2 * SHORTEST_S)]
    velocities = [stroke.velocity]
    velocities += [int(np.clip(stroke.velocity * rng.uniform(0.4, 1.1), 1, 127)) for _ in times[1:]]
    ends = [at_s - min(rng.uniform(0.02, 0.08), every_s / 3) for at_s in times[1:]]
    ends.append(min(until_s, max(stroke.offset_s, times[-1] + SHORTEST_S)))
    return [
        Note(onset_s, offset_s, stroke.pitch, velocity)
        for onset_s, offset_s, velocity in zip(times, ends, velocities, strict=True)
    ]


def _all_but_notes(midi: mido.MidiFile) -> list[TimedMessage]:
    """All messages but notes and tempos, before the notes of their time; it ends when the file does."""
    out: list[TimedMessage] = []
    now_s = 0.0
    for message in midi:
        now_s += message.time
        if message.type not in ("note_on", "note_off", "set_tempo", "end_of_track"):
            out.append((now_s, 0, message))
    return [*out, (now_s, 0, mido.MetaMessage("marker", text="end"))]


def _file(events: list[TimedMessage]) -> mido.MidiFile:
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
