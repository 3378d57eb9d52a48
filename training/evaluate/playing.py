"""Test phrases for a transcriber, each with one difficulty, rendered and labelled.

They have repeated keys, chords, soft notes, and the lowest and highest keys. FluidSynth renders all as one
performance, which is cut afterwards, so that soft notes keep their level relative to the others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import mido
import numpy as np
import soundfile

from ...model.notes import Note, write_midi
from ...model.timebase import SAMPLE_RATE
from ..data.rendering import render
from .recordings import Pair

LATENCIES_MS = (52.0, 92.0, 132.0, None)  #: latencies at which phrases are transcribed; None: full context
SILENCE_S = 1.0  #: before and after a phrase
SOUND_FONT_FOLDERS = (
    *("/usr/share/sounds/sf3", "/usr/share/sounds/sf2", "/usr/share/soundfonts"),
    *("/opt/homebrew/share/soundfonts", "/usr/local/share/soundfonts"),
)

Phrase = Callable[[np.random.Generator], list[Note]]


def restrikes(rng: np.random.Generator, per_second: float) -> list[Note]:
    """Nine keys from C2 to C7, each played eight times at this rate and down for three fifths of the time."""
    notes, at_s, every_s = [], 0.0, 1 / per_second
    for pitch in (36, 43, 50, 57, 64, 71, 79, 86, 96):
        for _ in range(8):
            notes.append(Note(at_s, at_s + 0.6 * every_s, pitch, int(rng.integers(50, 91))))
            at_s += every_s
        at_s += 0.7
    return notes


def chords(rng: np.random.Generator, keys: int) -> list[Note]:
    """Twelve chords of ``keys`` keys between C2 and C7, no two of them adjacent; onsets within 9 ms."""
    notes = []
    for number in range(12):
        pitches = 36 + np.sort(rng.choice(61 - keys + 1, keys, replace=False)) + np.arange(keys)
        spread_s = 0.001 * rng.permutation(keys)
        for pitch, late_s in zip(pitches, spread_s, strict=True):
            onset_s = 0.9 * number + float(late_s)
            notes.append(Note(onset_s, onset_s + 0.6, int(pitch), int(rng.integers(50, 91))))
    return sorted(notes)


def single(
    rng: np.random.Generator, pitches: tuple[int, int], velocities: tuple[int, int] = (40, 90)
) -> list[Note]:
    """Forty notes, three a second, with pitches and velocities in these ranges (both ends included)."""
    notes: list[Note] = []
    for number in range(40):
        before = notes[-1].pitch if notes else None
        pitch = rng.choice([p for p in range(pitches[0], pitches[1] + 1) if p != before])
        velocity = rng.integers(velocities[0], velocities[1] + 1)
        notes.append(Note(number / 3, number / 3 + 0.3, int(pitch), int(velocity)))
    return notes


#: The phrases, in the order in which they are shown.
PHRASES: dict[str, Phrase] = {
    **{f"re-strikes, {n} a second": partial(restrikes, per_second=n) for n in (4, 8, 12)},
    **{f"chords of {n}": partial(chords, keys=n) for n in (2, 4, 6, 8, 10)},
    "soft notes (velocity 10 to 30)": partial(single, pitches=(40, 88), velocities=(10, 30)),
    "lowest keys (A0 to B1)": partial(single, pitches=(21, 35)),
    "highest keys (C7 to C8)": partial(single, pitches=(96, 108)),
}


def find_sound_font() -> Path:
    """The largest sound font in SOUND_FONT_FOLDERS. Raises ValueError if there is none."""
    found = [path for folder in SOUND_FONT_FOLDERS for path in Path(folder).glob("*.sf[23]")]
    if not found:
        raise ValueError(
            "--playing needs a sound font: name one with --soundfont FILE.sf2, or apt-get install "
            "fluid-soundfont-gm"
        )
    return max(found, key=lambda path: path.stat().st_size)


def rendered(soundfont: Path, folder: Path) -> list[Pair]:
    """Renders all phrases to ``folder``; returns them with their notes. Raises ValueError, one line."""
    phrases = {name: play(np.random.default_rng(n)) for n, (name, play) in enumerate(PHRASES.items())}
    begins_s, together, at_s = [], [], 0.0
    for notes in phrases.values():
        begins_s.append(at_s)
        together += [_later(note, at_s + SILENCE_S) for note in notes]
        at_s += notes[-1].offset_s + 2 * SILENCE_S
    try:
        samples = render(_midi(together), soundfont)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    pairs = []
    for number, (name, notes) in enumerate(phrases.items()):
        begin, end = (round(s * SAMPLE_RATE) for s in (begins_s[number], (*begins_s, at_s)[number + 1]))
        path = folder / f"{number:02}.wav"
        soundfile.write(path, samples[begin:end], SAMPLE_RATE, subtype="FLOAT")
        pairs.append(Pair(name, path, [_later(note, SILENCE_S) for note in notes]))
    return pairs


def _later(note: Note, by_s: float) -> Note:
    return replace(note, onset_s=note.onset_s + by_s, offset_s=note.offset_s + by_s)


def _midi(notes: list[Note]) -> mido.MidiFile:
    with tempfile.TemporaryDirectory() as folder:
        write_midi(notes, Path(folder, "phrases.mid"))
        return mido.MidiFile(Path(folder, "phrases.mid"))
