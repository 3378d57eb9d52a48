"""Notes, the events they are made of, and MIDI files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path

from . import midi_file
from .timebase import KEYS, LOWEST_PITCH

TRACK_NAME = "Piano, written by hppnet"  #: track name in the MIDI files written here
PITCH_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_DRUMS = 9  #: the MIDI channel on which keys are drums


@dataclass(frozen=True, order=True)
class Note:
    """One note. Times in seconds from the recording's start, pitch 21-108, velocity 1-127 (0: unknown)."""

    onset_s: float
    offset_s: float
    pitch: int
    velocity: int

    @property
    def name(self) -> str:
        """The pitch as musicians write it: C4 is middle C, MIDI 60."""
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
    """A press of the sustain pedal. Times in seconds."""

    down_s: float
    up_s: float


Event = NoteOn | NoteOff | Pedal


def pitch_name(pitch: int) -> str:
    """A MIDI pitch as musicians write it: 60 is C4."""
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
    """Pairs the pedal's events into presses. A press that never ended is left out."""
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
    """Sorts notes by onset, ends them when their key is played again, and removes empty ones."""
    following: dict[int, float] = {}
    kept = []
    for note in sorted(notes, reverse=True):
        offset_s = min(note.offset_s, following.get(note.pitch, note.offset_s))
        following[note.pitch] = note.onset_s
        if offset_s > note.onset_s:
            kept.append(replace(note, offset_s=offset_s))
    return kept[::-1]


def sounding(notes: Iterable[Note], presses: Iterable[Press]) -> list[Note]:
    """Extends notes to the end of their sound: the release of key and pedal, or the key's next stroke."""
    presses = sorted(presses)
    downs = [press.down_s for press in presses]
    held = []
    for note in notes:
        last = bisect_right(downs, note.offset_s) - 1
        ring_s = presses[last].up_s if last >= 0 else 0.0
        held.append(replace(note, offset_s=max(note.offset_s, ring_s)))
    return without_overlaps(held)


def write_midi(
    notes: Iterable[Note],
    path: str | PathLike[str],
    pedal: Iterable[Press] = (),
    text: Iterable[str] = (),
) -> None:
    """Writes a Standard MIDI File with one piano track, called TRACK_NAME; ``text`` becomes text events.

    A tick is half a millisecond, from 83 minutes on a whole one. Notes of velocity 0 (unknown) get 64,
    empty notes last a tick, and notes end when their key is played again. Presses of the sustain pedal
    become control changes 64 with the values 127 and 0. Text is written as UTF-8.

    Raises ValueError, before it writes anything, for notes and presses that MIDI cannot hold, and OSError.
    """
    notes, presses = list(notes), list(pedal)
    for note in notes:
        _check_note(note)
    for press in presses:
        _check_times("a press", press, press.down_s, press.up_s)
    end_s = max([0.0, *(note.offset_s for note in notes), *(press.up_s for press in presses)])
    a_quarter = midi_file.ticks_a_quarter(end_s)

    def at(time_s: float) -> int:
        return midi_file.nearest_tick(time_s, midi_file.ticks_a_second(a_quarter))

    in_ticks = [
        midi_file.MidiNote(at(n.onset_s), at(n.offset_s), int(n.pitch), int(n.velocity) or 64) for n in notes
    ]
    held = [(at(press.down_s), at(press.up_s)) for press in presses]
    track = midi_file.piano_track(in_ticks, held, midi_file.beginning(TRACK_NAME, text))
    Path(path).write_bytes(midi_file.whole_file(track, a_quarter))


def _check_note(note: Note) -> None:
    _check_times("a note", note, note.onset_s, note.offset_s)
    for name, value in (("pitch", note.pitch), ("velocity", note.velocity)):
        if not (0 <= value <= 127 and value == int(value)):
            raise ValueError(f"expected a {name} from 0 to 127, got {value} in {note}")


def _check_times(what: str, value: Note | Press, start_s: float, end_s: float) -> None:
    if not 0 <= start_s <= end_s <= midi_file.LONGEST_S:  # also refuses NaN
        raise ValueError(
            f"expected {what} with 0 s <= start <= end <= {midi_file.LONGEST_S:.0f} s, got {value}"
        )


def read_midi(path: str | PathLike[str]) -> list[Note]:
    """All notes of a MIDI file on the piano's 88 keys, sorted by onset, key releases as offsets.

    Raises ValueError if it is not a MIDI file.
    """
    down: dict[tuple[int, int, int], list[tuple[int, float, int]]] = {}
    notes = []
    for track, tick, time_s, message in midi_file.messages(path):
        if message.type not in ("note_on", "note_off") or message.channel == _DRUMS:
            continue
        started = down.setdefault((track, message.channel, message.note), [])
        if message.type == "note_on" and message.velocity:
            started.append((tick, time_s, message.velocity))
            continue
        # If a key is released and played again at one tick, a file may have either message first.
        notes += [Note(on_s, time_s, message.note, velocity) for on, on_s, velocity in started if on < tick]
        started[:] = [one for one in started if one[0] == tick]
    return without_overlaps(note for note in notes if LOWEST_PITCH <= note.pitch < LOWEST_PITCH + KEYS)


def read_pedal(path: str | PathLike[str]) -> list[Press]:
    """All presses of the sustain pedal in a MIDI file (down: values from 64 on). Raises as ``read_midi``.

    The last one ends with the file at the latest.
    """
    changes, end_s = [], 0.0
    for _, _, time_s, message in midi_file.messages(path):
        end_s = max(end_s, time_s)
        if message.type == "control_change" and message.control == midi_file.SUSTAIN:
            changes.append(Pedal(time_s, message.value >= 64))
    changes.sort(key=lambda change: change.time_s)
    return presses_from([*changes, Pedal(end_s, False)])
