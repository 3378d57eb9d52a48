"""The notes of a performance (MIDI), ending with their keys or with the pedal.

``keys``: a note ends where its key is released. ``sounding``: where the sustain pedal (control change 64,
down from 64 on) holds it, at the pedal's release; where the key is struck again, there (Hawthorne et al.,
"Onsets and Frames", 2018, section 3, and all published figures on MAESTRO since). At one time the pedal
moves before the keys, as in note_seq's ``apply_sustain_control_changes``.

The pedal is the piano's: down where any channel holds it. Tempo changes count in every track.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mido

from ...model.midi_file import SUSTAIN
from ...model.notes import Note, Press, sounding, without_overlaps
from ...model.timebase import KEYS, LOWEST_PITCH

DOWN_FROM = 64  #: the least value of the sustain pedal that holds the strings
MIDI_SUFFIXES = (".mid", ".midi")
DRUMS = 9  #: channel, counted from 0

Event = tuple[float, mido.Message]  #: seconds from the start, and what happens


def read_performance(path: Path) -> mido.MidiFile:
    """A MIDI file. Raises ValueError, one line that names it, for what is none or is broken."""
    try:
        return mido.MidiFile(path)
    except FileNotFoundError:
        raise ValueError(f"there is no {path}") from None
    except Exception as error:  # mido has many for a broken file
        said = " ".join(str(error).split()) or "it ends early"
        raise ValueError(f"{path}: expected a MIDI file, could not read it ({said})") from error


def notes_of(performance: mido.MidiFile, note_ends: str) -> list[Note]:
    """The notes on the piano's 88 keys, sorted by onset, none overlapping; drums left out.

    ``note_ends`` is ``keys`` or ``sounding``. Raises ValueError for a file of independent tracks (type 2).
    """
    if performance.type == 2:
        raise ValueError("expected a MIDI file of type 0 or 1, got type 2 (independent tracks)")
    events = list(_events(performance))
    notes = without_overlaps(_struck(events))
    if note_ends == "sounding":
        return sounding(notes, [Press(*press) for press in _presses(events)])
    return notes


def moves_pedal(performance: mido.MidiFile) -> bool:
    """Whether it says anything of the sustain pedal: many files hold keys alone."""
    return any(m.type == "control_change" and m.control == SUSTAIN for t in performance.tracks for m in t)


def presses_of(performance: mido.MidiFile) -> list[tuple[float, float]]:
    """When the sustain pedal goes down and comes up again, in seconds; by the file's end at the latest."""
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


def _struck(events: list[Event]) -> Iterator[Note]:
    """Every key's strokes up to its release; one that is never released is left out."""
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
        # A release written after the next stroke of the same moment is the earlier stroke's.
        down[key] = [stroke for stroke in strokes if stroke[0] >= now_s] if ended else []


def _pedal(events: list[Event]) -> list[tuple[float, bool]]:
    """When the pedal goes down (True) and up: one entry a change, at times that rise."""
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
