"""Renders a performance (MIDI) on a sampled piano: sound and labels agree exactly.

FluidSynth renders at 44.1 kHz without its own effects (rendering straight to 16 kHz would alias);
soxr resamples to 16 kHz. The choices for a performance depend on the seed and its name alone.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

from ...model.notes import Note
from ...model.timebase import SAMPLE_RATE
from .performances import notes_of, presses_of, read_performance
from .piano_sounds import KeyUp, PedalSound, PressTimes, with_pedal, with_releases
from .playing_style import PlayingStyle, play_with
from .rooms_and_noises import in_room
from .sounds import Take, files_in, read_sound

LONGEST_S = 4 * 3600.0  #: a longer performance is a broken file
_CUT_S = 0.1  #: FluidSynth's sound may be this much shorter than the performance


@dataclass(frozen=True)
class Choices:
    """The options from which each piece's rendering is chosen."""

    soundfonts: tuple[Path, ...]
    weights: tuple[float, ...]  #: relative frequency of each sound font
    rooms: tuple[Path, ...] = ()  #: impulse responses
    room_chance: float = 0.5  #: chance of a room, if there are any
    restrike_chance: float = 0.0  #: chance that a performance has repeated notes added
    chord_chance: float = 0.0  #: chance that other keys are played together with notes
    seed: int = 0
    plain: bool = False  #: vary nothing but the piano: the player's own dynamics, in tune, no room
    velocity_exponent: tuple[float, float] = (0.75, 2.0)  #: range of the exponent that bends velocities
    velocity_spread: tuple[float, float] = (1.0, 1.0)  #: range of the factor on their spread
    velocity_shift: tuple[float, float] = (0.0, 0.0)  #: range of the MIDI steps added to them
    pedal_threshold: tuple[int, int] | None = None  #: range of the pedal's threshold; None: a switch at 64
    key_releases: Path | None = None  #: folder of recorded key releases
    key_release_chance: float = 2 / 3  #: chance that a piece has them, where there is a folder

    def of(self, name: str) -> Choice:
        """The choice for a piece; always the same for a seed and a name."""
        rng = np.random.default_rng([self.seed, *hashlib.sha256(name.encode()).digest()[:16]])
        odds = np.asarray(self.weights) / np.sum(self.weights)
        soundfont = self.soundfonts[int(rng.choice(len(self.soundfonts), p=odds))]
        if self.plain:
            return Choice(soundfont, PlayingStyle())
        style = PlayingStyle.random(rng, self.velocity_exponent).with_repeats(self.restrike_chance)
        style = style.with_chords(self.chord_chance)
        style = style.of_any_dynamics(self.velocity_spread, self.velocity_shift)
        if self.pedal_threshold is not None:
            style = style.on_any_pedal(self.pedal_threshold)
        wet, dry = float(rng.uniform(0.3, 1.0)), float(rng.uniform(0.0, 0.7))
        room = None
        if self.rooms and rng.random() < self.room_chance:
            room = self.rooms[int(rng.integers(len(self.rooms)))]
        pedal = PedalSound.random(rng)
        key_up = KeyUp() if self.key_releases is None else KeyUp.random(rng, self.key_release_chance)
        return Choice(soundfont, style, room, wet, dry, pedal, key_up)

    def settings(self) -> dict[str, object]:
        """The settings with which a later run must agree to resume this one."""
        return {
            "seed": self.seed,
            "soundfonts": {p.name: weight for p, weight in zip(self.soundfonts, self.weights, strict=True)},
            "rooms": [path.name for path in self.rooms],
            "room_chance": self.room_chance,
            "pedal": "strings and dampers",  # in earlier versions the pedal only held notes
        } | {name: value for name in ("plain", "restrike_chance") if (value := getattr(self, name))}


@dataclass(frozen=True)
class Choice:
    """The choices for rendering one piece."""

    soundfont: Path
    style: PlayingStyle
    room: Path | None = None
    wet: float = 0.0  #: gain of the room
    dry: float = 1.0  #: gain of the piano without the room
    pedal: PedalSound = field(default_factory=PedalSound)
    key_up: KeyUp = field(default_factory=KeyUp)


@dataclass(frozen=True)
class Rendered:
    """A performance and the options for rendering it."""

    name: str
    folder: Path
    midi: Path
    choices: Choices

    def take(self, note_ends: str) -> Take:
        performance = read_performance(self.midi)
        # Unisons are additional strokes on another channel: they sound, but they are not notes.
        played = play_with(performance, replace(self.choices.of(self.name).style, unison_cents=0.0))
        notes = notes_of(played, note_ends)
        if performance.length > LONGEST_S:
            hours = performance.length / 3600
            raise ValueError(
                f"{self.midi}: expected {LONGEST_S / 3600:g} hours at most, it lasts {hours:.1f}"
            )
        # A file without pedal messages has no pedal in its sound, so presses are always known. The pedal is
        # down where the strings are free: from the piano's own threshold on.
        presses = presses_of(played)
        released = notes if note_ends == "keys" else notes_of(played, "keys")
        return Take(notes, self._sound(performance, presses, released), presses)

    def about(self) -> dict[str, object]:
        choice = self.choices.of(self.name)
        return {
            "midi": str(self.midi),
            "soundfont": choice.soundfont.name,
            "velocity_exponent": round(choice.style.velocity_exponent, 3),
            "cents": round(choice.style.cents, 1),
            "restrikes": round(choice.style.restrikes, 3),
            "chords": round(choice.style.chords, 3),
            "pedal_threshold": choice.style.pedal.threshold,
            "resonance_db": round(choice.pedal.resonance_db, 1),
            "room": choice.room.name if choice.room else None,
        }

    def _sound(
        self, performance: mido.MidiFile, presses: list[PressTimes], released: list[Note]
    ) -> Iterator[np.ndarray]:
        """Renders lazily, since a performance without notes is not worth rendering."""
        choice = self.choices.of(self.name)
        samples = render(play_with(performance, choice.style), choice.soundfont)
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
    """Samples [n] in the chosen room, at the level of ``at_peak``; the timing is kept."""
    assert choice.room is not None
    wet = in_room(samples, read_sound(choice.room))
    return at_peak(choice.wet * wet + choice.dry * samples)


RENDER_RATE = 44_100
PEAK = 0.7


def render(midi: mido.MidiFile, soundfont: Path) -> np.ndarray:
    """Samples [n] at 16 kHz, mono, of ``midi`` played by ``soundfont`` (bank 0, program 0).

    Raises RuntimeError where FluidSynth is missing or fails.
    """
    if shutil.which("fluidsynth") is None:
        raise RuntimeError("rendering needs the program fluidsynth: apt-get install fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        midi.save(score)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", str(RENDER_RATE), "-g", "0.5"]
        command += ["-o", "synth.polyphony=512", "-F", str(sound), str(soundfont), str(score)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not sound.exists():
            raise RuntimeError(f"fluidsynth rendered nothing: {done.stderr.strip()[-200:]}")
        samples, _ = soundfile.read(sound, dtype="float32")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    return at_peak(soxr.resample(mono, RENDER_RATE, SAMPLE_RATE))


def at_peak(samples: np.ndarray) -> np.ndarray:
    """Samples [n] scaled to the peak ``PEAK``."""
    return (samples * (PEAK / max(float(np.abs(samples).max(initial=0)), 1e-6))).astype(np.float32)


def choices_of(
    soundfonts: list[str],
    rooms: Path | None,
    room_chance: float,
    restrike_chance: float,
    seed: int,
    plain: bool,
) -> Choices:
    """The choices from the command's options.

    Raises ValueError for missing files, invalid weights and options that exclude each other.
    """
    weights: dict[Path, float] = {}
    for text in soundfonts:
        place, weight = _weighted(text)
        weights |= dict.fromkeys(files_in(place, (".sf2", ".sf3"), "a sound font"), weight)
    if plain and rooms is not None:
        raise ValueError("--plain leaves rooms out: give --plain or --rooms")
    if plain and restrike_chance:
        raise ValueError("--plain repeats no note: give --plain or --restrike-chance")
    responses = () if rooms is None else files_in(rooms, (".flac", ".wav"), "impulse responses")
    if responses:
        read_sound(responses[0])  # fail now rather than for each piece
    return Choices(
        tuple(weights),
        tuple(weights.values()),
        responses,
        room_chance,
        restrike_chance,
        seed=seed,
        plain=plain,
    )


def _weighted(text: str) -> tuple[Path, float]:
    place, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return Path(text), 1.0
    try:
        number = float(weight)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"--soundfont {text}: expected a weight above 0 after the =, got {weight!r}")
    return Path(place), number
