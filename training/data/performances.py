"""Performances (MIDI): reads their notes and sustain pedal, and adds repeated notes and chords.

Notes end with their keys or with the pedal. ``keys``: a note ends when its key is released. ``sounding``: a
note held by the sustain pedal (control change 64, down from 64 on) ends when the pedal is released or the key
is played again (Hawthorne et al., "Onsets and Frames", 2018, section 3, and all published figures on MAESTRO
since). Among simultaneous events, the pedal's come before the keys', as in note_seq's
``apply_sustain_control_changes``. All channels share one pedal: it is down while any channel holds it. Tempo
changes count in every track.

``with_repeated_notes`` repeats keys while their strings still sound, more often than music does: a stroke on
a ringing string raises its sound far less than a stroke on a still string, and transcribers miss many such
notes. ``with_added_chords`` plays other keys together with a note: music has few chords of more than five
keys, and none of unrelated keys.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np

from ...model.midi_file import SUSTAIN
from ...model.notes import Note, Press, sounding, without_overlaps
from ...model.timebase import KEYS, LOWEST_PITCH

DOWN_FROM = 64  #: the least value of the sustain pedal that frees the strings, as in FluidSynth
MIDI_SUFFIXES = (".mid", ".midi")
DRUMS = 9  #: channel, counted from 0

Event = tuple[float, mido.Message]  #: seconds from the start, and the message


def read_performance(path: Path) -> mido.MidiFile:
    """Reads a MIDI file. Raises ValueError, one line that names it, if it is missing or of another kind."""
    try:
        found = mido.MidiFile(path)
    except FileNotFoundError:
        raise ValueError(f"there is no {path}") from None
    except Exception as error:  # mido raises many kinds of exceptions for a broken file
        said = " ".join(str(error).split()) or "it ends early"
        raise ValueError(f"{path}: expected a MIDI file, could not read it ({said})") from error
    if found.type == 2:
        raise ValueError(f"{path}: expected a MIDI file of type 0 or 1, got type 2 (independent tracks)")
    return found


def notes_of(performance: mido.MidiFile, note_ends: str) -> list[Note]:
    """The notes on the piano's 88 keys, sorted by onset, none overlapping; ``note_ends``: keys or sounding.

    Drums are left out.
    """
    events = list(_events(performance))
    notes = without_overlaps(_played_notes(events))
    if note_ends == "sounding":
        return sounding(notes, [Press(*press) for press in _presses(events)])
    return notes


def moves_pedal(performance: mido.MidiFile) -> bool:
    """Whether it has sustain pedal messages: many files record the keys only."""
    return any(m.type == "control_change" and m.control == SUSTAIN for t in performance.tracks for m in t)


def presses_of(performance: mido.MidiFile) -> list[tuple[float, float]]:
    """Presses of the sustain pedal, (down, up) in seconds; the last one ends with the file at the latest."""
    return _presses(list(_events(performance)))


def _presses(events: list[Event]) -> list[tuple[float, float]]:
    changes = _pedal(events)
    if changes and changes[-1][1]:
        changes.append((events[-1][0], False))
    return [(down, up) for (down, _), (up, _) in zip(changes[::2], changes[1::2], strict=True) if up > down]


def _events(performance: mido.MidiFile) -> Iterator[Event]:
    now_s = 0.0
    for message in performance:
        now_s += message.time
        yield now_s, message


def _played_notes(events: list[Event]) -> Iterator[Note]:
    """Yields every key's strokes up to their release; a key that is never released is left out."""
    down: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for now_s, message in events:
        if message.type not in ("note_on", "note_off") or message.channel == DRUMS:
            continue
        if not LOWEST_PITCH <= message.note < LOWEST_PITCH + KEYS:
            continue
        key = message.channel, message.note
        strokes = down.setdefault(key, [])
        if message.type == "note_on" and message.velocity > 0:
            strokes.append((now_s, message.velocity))
            continue
        ended = [stroke for stroke in strokes if stroke[0] < now_s]
        for onset_s, velocity in ended:
            yield Note(onset_s, now_s, message.note, velocity)
        # A release listed after a simultaneous new stroke belongs to the earlier stroke.
        down[key] = [stroke for stroke in strokes if stroke[0] >= now_s] if ended else []


def _pedal(events: list[Event]) -> list[tuple[float, bool]]:
    """When the pedal goes down (True) and up (False): one entry per change, in order of time."""
    holding: set[int] = set()
    changes: list[tuple[float, bool]] = []
    for now_s, message in events:
        if message.type != "control_change" or message.control != SUSTAIN or message.channel == DRUMS:
            continue
        (holding.add if message.value >= DOWN_FROM else holding.discard)(message.channel)
        if changes and changes[-1][0] == now_s:
            changes.pop()
        if bool(holding) != bool(changes and changes[-1][1]):
            changes.append((now_s, bool(holding)))
    return changes


def pedal_of(labels: tuple[Path, ...]) -> list[tuple[float, float]] | None:
    """Presses of the sustain pedal, in seconds; None where no MIDI file has pedal messages.

    Raises ValueError for a broken MIDI file.
    """
    for path in labels:
        if path.suffix.lower() in MIDI_SUFFIXES and moves_pedal(performance := read_performance(path)):
            return presses_of(performance)
    return None


def performed(labels: tuple[Path, ...], note_ends: str) -> list[Note]:
    """The notes of a MIDI file. Raises ValueError for a file that cannot be used."""
    (path,) = labels
    return notes_of(read_performance(path), note_ends)


TEMPO = 500_000  #: microseconds a quarter note
TICKS = 30_000  #: ticks a quarter note: one tick is 17 microseconds
SHORTEST_S = 0.05  #: shortest stroke, in seconds

#: Seconds from the start, the order among simultaneous messages, the message.
TimedMessage = tuple[float, int, mido.Message]


def with_repeated_notes(midi: mido.MidiFile, share: float, rng: np.random.Generator) -> mido.MidiFile:
    """The performance with a ``share`` of its notes repeated one to five times, mostly softer.

    The notes are those of ``notes_of``, on channel 0. All other messages keep their times.
    """
    strokes = _by_key(notes_of(midi, "keys"))
    played: list[Note] = []
    for key in sorted(strokes):
        following = [*strokes[key][1:], None]
        for stroke, after in zip(strokes[key], following, strict=True):
            until_s = after.onset_s if after else stroke.offset_s + 1.0
            played += _several(stroke, until_s, rng) if rng.random() < share else [stroke]
    return _replayed(midi, played)


def _several(stroke: Note, until_s: float, rng: np.random.Generator) -> list[Note]:
    """A stroke and its repetitions at about equal intervals, all before ``until_s``."""
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


def with_added_chords(midi: mido.MidiFile, share: float, rng: np.random.Generator) -> mido.MidiFile:
    """The performance with one to nine other keys played together with a ``share`` of its notes.

    These keys go down within 10 ms of the note and come up within 50 ms of it, about as loud. Keys in use
    meanwhile are left out. The notes are those of ``notes_of``, on channel 0.
    """
    notes = notes_of(midi, "keys")
    strokes = _by_key(notes)
    for note in [note for note in notes if rng.random() < share]:
        pitches = LOWEST_PITCH + rng.permutation(KEYS)[: rng.integers(1, 10)]
        for added in (_beside(note, int(pitch), rng) for pitch in pitches):
            if all(_apart(added, other) for other in strokes[added.pitch]):
                strokes[added.pitch].append(added)
    return _replayed(midi, [note for key in sorted(strokes) for note in strokes[key]])


def _beside(stroke: Note, pitch: int, rng: np.random.Generator) -> Note:
    """A note of another key, at about the times of a stroke."""
    onset_s = stroke.onset_s + float(rng.uniform(0, 0.01))
    offset_s = stroke.offset_s + float(rng.uniform(-0.05, 0.05))
    velocity = int(np.clip(stroke.velocity * rng.uniform(0.6, 1.2), 1, 127))
    return Note(onset_s, max(offset_s, onset_s + SHORTEST_S), pitch, velocity)


def _apart(one: Note, other: Note) -> bool:
    """Whether a key is up for a while between two strokes."""
    return one.onset_s > other.offset_s + SHORTEST_S or other.onset_s > one.offset_s + SHORTEST_S


def _by_key(notes: list[Note]) -> dict[int, list[Note]]:
    """The notes of each pitch; none for a pitch that is not played."""
    found: dict[int, list[Note]] = defaultdict(list)
    for note in notes:
        found[note.pitch].append(note)
    return found


def _replayed(midi: mido.MidiFile, notes: list[Note]) -> mido.MidiFile:
    """The performance with these notes, on channel 0, in place of its own."""
    out = _all_but_notes(midi)
    for note in notes:
        down = mido.Message("note_on", note=note.pitch, velocity=note.velocity)
        up = mido.Message("note_off", note=note.pitch)
        out += [(note.onset_s, 2, down), (note.offset_s, 1, up)]
    return _file(sorted(out, key=lambda event: event[:2]))


def _all_but_notes(midi: mido.MidiFile) -> list[TimedMessage]:
    """All messages but notes and tempos, to precede simultaneous notes; the last marks the file's end."""
    out: list[TimedMessage] = []
    now_s = 0.0
    for message in midi:
        now_s += message.time
        if message.type not in ("note_on", "note_off", "set_tempo", "end_of_track"):
            out.append((now_s, 0, message))
    return [*out, (now_s, 0, mido.MetaMessage("marker", text="end"))]


def _file(events: list[TimedMessage]) -> mido.MidiFile:
    """A file of one track with messages at their times in seconds; they must be in order."""
    out = mido.MidiFile(type=0, ticks_per_beat=TICKS)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=TEMPO)])
    before = 0
    for at_s, _, message in events:
        at = round(at_s * 1e6 / TEMPO * TICKS)
        track.append(message.copy(time=at - before))
        before = at
    out.tracks.append(track)
    return out
