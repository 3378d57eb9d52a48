"""A piece that is rendered: a performance (MIDI) on a piano, with a touch and a tuning, in a room of its own.

What is chosen for a piece depends on the seed and the piece's name alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mido
import numpy as np

from ...model.notes import Note
from ...model.timebase import SAMPLE_RATE
from ..key_releases import KeyUp, with_releases
from ..rendering import Touch, at_peak, play_with, render
from ..resonance import PedalSound, PressTimes, with_pedal
from ..rooms import in_room
from ..sound_files import read_sound
from .ends import MIDI_SUFFIXES, notes_of, presses_of, read_performance
from .pairs import Found, names_of, walk
from .piece import Take

LONGEST_S = 4 * 3600.0  #: a longer performance is a broken file
_CUT_S = 0.1  #: by which what FluidSynth renders may be shorter than the performance


@dataclass(frozen=True)
class Choices:
    """What pieces are rendered with."""

    soundfonts: tuple[Path, ...]
    weights: tuple[float, ...]  #: how often each sound font, against the others
    rooms: tuple[Path, ...] = ()  #: impulse responses
    room_chance: float = 0.5  #: how often a room, if there are any
    restrike_chance: float = 0.0  #: how often a piece has keys struck again and again
    seed: int = 0
    plain: bool = False  #: everything but the piano as it is: the player's own touch, in tune, no room
    velocity_exponent: tuple[float, float] = (0.75, 2.0)  #: range of the exponent that bends velocities
    velocity_spread: tuple[float, float] = (1.0, 1.0)  #: range of their spread's factor
    velocity_shift: tuple[float, float] = (0.0, 0.0)  #: range of the steps that are added
    pedal_threshold: tuple[int, int] | None = None  #: range in which the pedal works; None: a switch at 64
    key_releases: Path | None = None  #: folder of recorded key releases
    key_release_chance: float = 2 / 3  #: how often a piece has them, where there is a folder

    def of(self, name: str) -> Choice:
        """The choice for a piece; always the same for a seed and a name."""
        rng = np.random.default_rng([self.seed, *hashlib.sha256(name.encode()).digest()[:16]])
        odds = np.asarray(self.weights) / np.sum(self.weights)
        soundfont = self.soundfonts[int(rng.choice(len(self.soundfonts), p=odds))]
        if self.plain:
            return Choice(soundfont, Touch())
        touch = Touch.random(rng, self.velocity_exponent).striking_again(self.restrike_chance)
        touch = touch.of_any_dynamics(self.velocity_spread, self.velocity_shift)
        if self.pedal_threshold is not None:
            touch = touch.on_any_pedal(self.pedal_threshold)
        wet, dry = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.0, 0.7))
        room = None
        if self.rooms and rng.random() < self.room_chance:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
        pedal = PedalSound.random(rng)
        key_up = KeyUp() if self.key_releases is None else KeyUp.random(rng, self.key_release_chance)
        return Choice(soundfont, touch, room, wet, dry, pedal, key_up)

    def settings(self) -> dict[str, object]:
        """What another run must share to go on with this one."""
        return {
            "seed": self.seed,
            "soundfonts": {p.name: weight for p, weight in zip(self.soundfonts, self.weights, strict=True)},
            "rooms": [path.name for path in self.rooms],
            "room_chance": self.room_chance,
            "pedal": "strings and dampers",  # earlier versions let it hold the notes alone
        } | {name: value for name in ("plain", "restrike_chance") if (value := getattr(self, name))}


@dataclass(frozen=True)
class Choice:
    """What one piece is rendered with."""

    soundfont: Path
    touch: Touch
    room: Path | None = None
    wet: float = 0.0  #: gain of the room
    dry: float = 1.0  #: gain of the piano without it
    pedal: PedalSound = field(default_factory=PedalSound)
    key_up: KeyUp = field(default_factory=KeyUp)


@dataclass(frozen=True)
class Rendered:
    """A performance and what it is rendered with."""

    name: str
    folder: Path
    midi: Path
    choices: Choices

    def take(self, note_ends: str) -> Take:
        performance = read_performance(self.midi)
        # Unisons are second strokes on another channel: they sound, and are no notes.
        played = play_with(performance, replace(self.choices.of(self.name).touch, unison_cents=0.0))
        notes = notes_of(played, note_ends)
        if performance.length > LONGEST_S:
            hours = performance.length / 3600
            raise ValueError(
                f"{self.midi}: expected {LONGEST_S / 3600:g} hours at most, it lasts {hours:.1f}"
            )
        # What a renderer plays is all there is: no pedal in the file is no pedal in the sound.
        # It is down where the strings are free: from the piano's own threshold on.
        presses = presses_of(played)
        released = notes if note_ends == "keys" else notes_of(played, "keys")
        return Take(notes, self._sound(performance, presses, released), presses)

    def about(self) -> dict[str, object]:
        choice = self.choices.of(self.name)
        return {
            "midi": str(self.midi),
            "soundfont": choice.soundfont.name,
            "velocity_exponent": round(choice.touch.velocity_exponent, 3),
            "cents": round(choice.touch.cents, 1),
            "restrikes": round(choice.touch.restrikes, 3),
            "pedal_threshold": choice.touch.pedal.threshold,
            "resonance_db": round(choice.pedal.resonance_db, 1),
            "room": choice.room.name if choice.room else None,
        }

    def _sound(
        self, performance: mido.MidiFile, presses: list[PressTimes], released: list[Note]
    ) -> Iterator[np.ndarray]:
        """Lazily, since a performance without notes is not worth rendering."""
        choice = self.choices.of(self.name)
        samples = render(play_with(performance, choice.touch), choice.soundfont)
        seconds = len(samples) / SAMPLE_RATE
        if seconds < performance.length - _CUT_S:
            raise ValueError(
                f"{self.midi}: expected {performance.length:.1f} s from fluidsynth, it rendered {seconds:.1f}"
            )
        samples = with_pedal(samples, presses, choice.pedal)
        if self.choices.key_releases is not None:
            samples = with_releases(samples, released, self.choices.key_releases, choice.key_up)
        samples = at_peak(samples)
        yield samples if choice.room is None else in_its_room(samples, choice)


def in_its_room(samples: np.ndarray, choice: Choice) -> np.ndarray:
    """Samples [n] as heard in the room, at the level that rendering gives; the timing stays."""
    assert choice.room is not None
    wet = in_room(samples, read_sound(choice.room))
    return at_peak(choice.wet * wet + choice.dry * samples)


def find_performances(folder: Path, out: Path, choices: Choices) -> Found:
    """Every MIDI file of a folder, at any depth. Raises ValueError where there is none."""
    paths = [path for path in walk(folder, out) if path.suffix.lower() in MIDI_SUFFIXES]
    if not paths:
        raise ValueError(f"{folder}: expected MIDI files (.mid, .midi), found none")
    names = names_of([path.with_suffix("") for path in paths], folder)
    return Found([Rendered(names[path.with_suffix("")], out, path, choices) for path in paths], [])
