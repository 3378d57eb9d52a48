"""A piece to measure with: piano-like sound, and the notes that are in it to the sample.

Random but the same every time, in the manner of easy piano music: a bass, chords and a melody.
"""

from __future__ import annotations

import numpy as np

from ..model.notes import Note, without_overlaps

BEAT_S = 0.42
ROOTS = (48, 45, 41, 43)  #: C, A minor, F, G
CHORDS = ((12, 16, 19), (12, 15, 19), (12, 16, 19), (12, 16, 19))  #: semitones above the bass
SCALE = tuple(range(70, 90))
PARTIALS = 12
ATTACK_S, RELEASE_S = 0.002, 0.08
LEAD_S, REST_S = 0.5, 1.0  #: silence before the first note and after the last


def piece(seconds: float, sample_rate: int, seed: int = 1) -> tuple[np.ndarray, list[Note]]:
    """Sound, float32 [n] with a peak of 0.5, and its notes, sorted by onset."""
    notes = _notes(seconds, np.random.default_rng(seed))
    sound = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    for note in notes:
        first = round(note.onset_s * sample_rate)
        tone = struck(note, sample_rate)[: len(sound) - first]
        sound[first : first + len(tone)] += tone
    return sound * np.float32(0.5 / max(float(np.abs(sound).max(initial=0.0)), 1e-9)), notes


def _notes(seconds: float, rng: np.random.Generator) -> list[Note]:
    notes: list[Note] = []
    beats = int((seconds - LEAD_S - REST_S) / BEAT_S)
    for beat in range(beats):
        # Nobody plays like a clock, and frames must not meet onsets always at the same place.
        begin_s = LEAD_S + beat * BEAT_S + rng.uniform(0, 0.04)
        bar = beat // 4 % len(ROOTS)
        if beat % 4 == 0:
            notes.append(_note(begin_s, 3.6, ROOTS[bar], rng))
        elif beat % 2:
            notes += [_note(begin_s + rng.uniform(0, 0.01), 0.8, ROOTS[bar] + up, rng) for up in CHORDS[bar]]
        # Each of four half beats has its own keys: no key is struck again so soon that a late note could
        # be taken for the next one.
        for half in range(int(rng.integers(1, 3))):
            own = SCALE[(2 * beat + half) % 4 :: 4]
            notes.append(_note(begin_s + half * BEAT_S / 2, 0.45, int(rng.choice(own)), rng))
    return without_overlaps(notes)


def _note(onset_s: float, beats: float, pitch: int, rng: np.random.Generator) -> Note:
    return Note(onset_s, onset_s + beats * BEAT_S, pitch, int(rng.integers(45, 110)))


def struck(note: Note, sample_rate: int) -> np.ndarray:
    """One note from its onset on [n]: inharmonic partials, the high ones die sooner; damped at its end."""
    held_s = note.offset_s - note.onset_s
    t = np.arange(round((held_s + 3 * RELEASE_S) * sample_rate)) / sample_rate
    hz = 440.0 * 2.0 ** ((note.pitch - 69) / 12)
    tone = np.zeros_like(t)
    for h in range(1, PARTIALS + 1):
        partial_hz = h * hz * np.sqrt(1 + 4e-4 * h * h)
        if partial_hz < 0.45 * sample_rate:
            decay = 0.6 + 0.25 * h + hz / 600
            tone += np.sin(2 * np.pi * partial_hz * t + h) * np.exp(-decay * t) / h**1.2
    loudness = 10 ** ((note.velocity - 127) / 50)
    damping = np.where(t > held_s, np.exp(-(t - held_s) / (RELEASE_S / 3)), 1.0)
    return (loudness * np.minimum(t / ATTACK_S, 1.0) * damping * tone).astype(np.float32)
