"""Notes, the events they are made of, and MIDI files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING

from .timebase import KEYS, LOWEST_PITCH

if TYPE_CHECKING:
    import pretty_midi

TRACK_NAME = "Piano, written by hppnet"  #: of the MIDI files written here
MOST_TICKS = 2e8  #: of a MIDI file that is read: a day at half a millisecond a tick
SUSTAIN = 64  #: the controller of the sustain pedal; down from the value 64 on
PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclass(frozen=True, order=True)
class Note:
    """One note. Times in seconds from the recording's start, pitch 21-108, velocity 1-127 (0: unknown)."""

    onset_s: float
    offset_s: float
    pitch: int
    velocity: int

    @property
    def name(self) -> str:
        """As musicians write it: C4 is the middle C, MIDI 60."""
        return pitch_name(self.pitch)


@dataclass(frozen=True)
class NoteOn:
    """A key goes down."""

    time_s: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class NoteOff:
    """A key comes up."""

    time_s: float
    pitch: int


@dataclass(frozen=True)
class Pedal:
    """The sustain pedal goes down, or comes up."""

    time_s: float
    down: bool


@dataclass(frozen=True, order=True)
class Press:
    """The sustain pedal is down from one time to another, in seconds."""

    down_s: float
    up_s: float


Event = NoteOn | NoteOff | Pedal


def pitch_name(pitch: int) -> str:
    return f"{PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def notes_from(events: Iterable[Event]) -> list[Note]:
    """Pairs events into notes, sorted by onset. A note that never ended is left out."""
    sounding: dict[int, NoteOn] = {}
    notes = []
    for event in events:
        if isinstance(event, Pedal):
            continue
        on = sounding.pop(event.pitch, None)
        if on is not None:
            notes.append(Note(on.time_s, event.time_s, on.pitch, on.velocity))
        if isinstance(event, NoteOn):
            sounding[event.pitch] = event
    return sorted(notes)


def presses_from(events: Iterable[Event]) -> list[Press]:
    """Pairs the pedal's events into presses. One that never came up is left out."""
    presses = []
    down_s: float | None = None
    for event in events:
        if isinstance(event, Pedal):
            if event.down:
                down_s = event.time_s if down_s is None else down_s
            elif down_s is not None:
                presses.append(Press(down_s, event.time_s))
                down_s = None
    return presses


def without_overlaps(notes: Iterable[Note]) -> list[Note]:
    """Sorted by onset; a note still down when its key is struck again ends there, empty ones go."""
    following: dict[int, float] = {}
    kept = []
    for note in sorted(notes, reverse=True):
        offset_s = min(note.offset_s, following.get(note.pitch, note.offset_s))
        following[note.pitch] = note.onset_s
        if offset_s > note.onset_s:
            kept.append(replace(note, offset_s=offset_s))
    return kept[::-1]


def sounding(notes: Iterable[Note], presses: Iterable[Press]) -> list[Note]:
    """Notes that end where they stop sounding: with the key, the pedal after it, or the next stroke."""
    presses = sorted(presses)
    downs = [press.down_s for press in presses]
    held = []
    for note in notes:
        last = bisect_right(downs, note.offset_s) - 1
        ring_s = presses[last].up_s if last >= 0 else 0.0
        held.append(replace(note, offset_s=max(note.offset_s, ring_s)))
    return without_overlaps(held)


def write_midi(notes: Iterable[Note], path: str | PathLike[str], pedal: Iterable[Press] = ()) -> None:
    """Writes a Standard MIDI File: one piano track, half a millisecond a tick; its name says who wrote it.

    Presses of the sustain pedal become control changes 64, 127 and 0.
    """
    import pretty_midi

    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=125)
    piano = pretty_midi.Instrument(program=0, name=TRACK_NAME)
    for note in notes:
        velocity = note.velocity or 64
        piano.notes.append(pretty_midi.Note(velocity, note.pitch, note.onset_s, note.offset_s))
    for press in pedal:
        for value, at_s in ((127, press.down_s), (0, press.up_s)):
            piano.control_changes.append(pretty_midi.ControlChange(SUSTAIN, value, at_s))
    midi.instruments.append(piano)
    midi.write(str(path))


def read_midi(path: str | PathLike[str]) -> list[Note]:
    """All notes of a MIDI file on the piano's 88 keys, sorted by onset, key releases as offsets.

    Raises ValueError for what is not a MIDI file.
    """
    midi = _open_midi(path)
    notes = [
        Note(float(n.start), float(n.end), n.pitch, n.velocity)
        for instrument in midi.instruments
        if not instrument.is_drum
        for n in instrument.notes
        if LOWEST_PITCH <= n.pitch < LOWEST_PITCH + KEYS
    ]
    return without_overlaps(notes)


def read_pedal(path: str | PathLike[str]) -> list[Press]:
    """All presses of the sustain pedal in a MIDI file (from 64 on it is down). Raises as ``read_midi``."""
    changes = [c for i in _open_midi(path).instruments for c in i.control_changes if c.number == SUSTAIN]
    return presses_from(Pedal(float(c.time), c.value >= 64) for c in sorted(changes, key=lambda c: c.time))


def _open_midi(path: str | PathLike[str]) -> pretty_midi.PrettyMIDI:
    import pretty_midi

    # As it comes it refuses files of more than 83 minutes at half a millisecond a tick.
    pretty_midi.pretty_midi.MAX_TICK = MOST_TICKS
    try:
        return pretty_midi.PrettyMIDI(str(path))
    except (OSError, EOFError, ValueError, KeyError, IndexError) as error:
        raise ValueError(
            f"{path}: expected a MIDI file, could not read it ({error or 'it ends early'})"
        ) from error
