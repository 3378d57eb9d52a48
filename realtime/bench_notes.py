"""A test piece to measure with, and the comparison of received notes with the played ones.

The piece is random but the same every time. It imitates easy piano music (a bass, chords and a melody) with
a piano-like sound, and its note times are exact to the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.notes import Note, without_overlaps

BEAT_S = 0.42
ROOTS = (48, 45, 41, 43)  #: C, A minor, F, G
CHORDS = ((12, 16, 19), (12, 15, 19), (12, 16, 19), (12, 16, 19))  #: semitones above the bass
SCALE = tuple(range(70, 90))
PARTIALS = 12
ATTACK_S, RELEASE_S = 0.002, 0.08
LEAD_S, REST_S = 0.5, 1.0  #: silence before the first note and after the last
TOLERANCE_S = 0.05  #: onset tolerance, as usual in the field
LATE_S = 0.2  #: an unmatched note may arrive up to this much later than the median

Onset = tuple[float, int]  #: time in s, pitch


def make_test_piece(seconds: float, sample_rate: int, seed: int = 1) -> tuple[np.ndarray, list[Note]]:
    """Sound, float32 [n] with a peak of 0.5, and its notes, sorted by onset."""
    notes = _notes(seconds, np.random.default_rng(seed))
    sound = np.zeros(round(seconds * sample_rate), dtype=np.float32)
    for note in notes:
        first = round(note.onset_s * sample_rate)
        tone = note_sound(note, sample_rate)[: len(sound) - first]
        sound[first : first + len(tone)] += tone
    return sound * np.float32(0.5 / max(float(np.abs(sound).max(initial=0.0)), 1e-9)), notes


def _notes(seconds: float, rng: np.random.Generator) -> list[Note]:
    notes: list[Note] = []
    beats = int((seconds - LEAD_S - REST_S) / BEAT_S)
    for beat in range(beats):
        # Irregular as in real playing, so that onsets fall on different positions within a frame.
        begin_s = LEAD_S + beat * BEAT_S + rng.uniform(0, 0.04)
        bar = beat // 4 % len(ROOTS)
        if beat % 4 == 0:
            notes.append(_note(begin_s, 3.6, ROOTS[bar], rng))
        elif beat % 2:
            notes += [_note(begin_s + rng.uniform(0, 0.01), 0.8, ROOTS[bar] + up, rng) for up in CHORDS[bar]]
        # Each of four half beats has its own keys, so that a late note cannot be mistaken for the key's
        # next note.
        for half in range(int(rng.integers(1, 3))):
            own = SCALE[(2 * beat + half) % 4 :: 4]
            notes.append(_note(begin_s + half * BEAT_S / 2, 0.45, int(rng.choice(own)), rng))
    return without_overlaps(notes)


def _note(onset_s: float, beats: float, pitch: int, rng: np.random.Generator) -> Note:
    return Note(onset_s, onset_s + beats * BEAT_S, pitch, int(rng.integers(45, 110)))


def note_sound(note: Note, sample_rate: int) -> np.ndarray:
    """A note's sound [n] from its onset: inharmonic partials, high ones decay faster; damped at its end."""
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


@dataclass(frozen=True)
class OnsetDelays:
    """Arrival time minus onset time, for the notes that were played and arrived."""

    delays_s: np.ndarray  #: [n]

    @property
    def median_ms(self) -> float:
        return 1000 * float(np.median(self.delays_s))

    @property
    def p99_ms(self) -> float:
        return 1000 * float(np.percentile(self.delays_s, 99))

    @property
    def jitter_ms(self) -> float:
        """Standard deviation of the delays."""
        return 1000 * float(np.std(self.delays_s))


def onset_delays(played: Sequence[Onset], arrived: Sequence[Onset], most_s: float = 0.6) -> OnsetDelays:
    """Returns the delay of each note that arrived within ``most_s``. Raises ValueError if none did."""
    first = matched(played, arrived, 0.0, most_s)
    if not first:
        raise ValueError(f"none of {len(played)} notes arrived within {1000 * most_s:.0f} ms")
    usual_s = float(np.median([arrived[j][0] - played[i][0] for i, j in first]))
    pairs = matched(played, arrived, usual_s - TOLERANCE_S, usual_s + TOLERANCE_S)
    # Punctual notes are matched first, so that a late note is not matched with its key's next note.
    rest = [[*range(len(notes))] for notes in (played, arrived)]
    for side, kept in enumerate(rest):
        used = {pair[side] for pair in pairs}
        kept[:] = [index for index in kept if index not in used]
    late = matched([played[i] for i in rest[0]], [arrived[j] for j in rest[1]], usual_s, usual_s + LATE_S)
    pairs += [(rest[0][i], rest[1][j]) for i, j in late]
    return OnsetDelays(np.array([arrived[j][0] - played[i][0] for i, j in sorted(pairs)]))


def onset_f1(played: Sequence[Onset], found: Sequence[Onset]) -> float:
    """F1 of onsets within 50 ms, in percent; 100 if both are empty."""
    if not played and not found:
        return 100.0
    return 200 * len(matched(played, found, -TOLERANCE_S, TOLERANCE_S)) / (len(played) + len(found))


def matched(
    played: Sequence[Onset], found: Sequence[Onset], least_s: float, most_s: float
) -> list[tuple[int, int]]:
    """Returns pairs (i, j) of equal pitch with ``least_s <= found - played <= most_s``, each note used once.

    Finds as many pairs as possible: with windows of equal length, taking the earliest match is optimal.
    """
    pairs: list[tuple[int, int]] = []
    for pitch in {pitch for _, pitch in played}:
        of_pitch = sorted((when, j) for j, (when, which) in enumerate(found) if which == pitch)
        at = 0
        for onset_s, i in sorted((when, i) for i, (when, which) in enumerate(played) if which == pitch):
            while at < len(of_pitch) and of_pitch[at][0] < onset_s + least_s:
                at += 1
            if at < len(of_pitch) and of_pitch[at][0] <= onset_s + most_s:
                pairs.append((i, of_pitch[at][1]))
                at += 1
    return sorted(pairs)
