"""Measures ``Stream.expect``: how many of the expected keys are reported, of those played and of wrong ones.

``python -m tests.rigs.expected_keys SOUND LABELS.mid|LABELS.tsv [LATENCY_MS [SECONDS]]``: every labelled key
is expected from 0.5 s before to 0.5 s after its onset, and with it one drawn from those that have none then.
"""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import hppnet
from hppnet.api import read_blocks
from hppnet.model.expectation import Sounded
from hppnet.model.notes import Event, Note, NoteOn, read_midi
from hppnet.model.stream import Stream

AROUND_S = 0.5
SAME_S = 0.1  #: from the decoder's onset to the label's, for comparing when each was known
BLOCK_S = 0.02


@dataclass
class Wish:
    """A key that is expected around a time."""

    time_s: float
    pitch: int
    played: bool
    found_s: float | None = None  #: how much sound had been fed when it was reported


def wishes(notes: list[Note], seconds: float) -> list[Wish]:
    """Each note with a wrong key, in the order of time."""
    rng = np.random.default_rng(0)
    onsets = np.array([note.onset_s for note in notes])
    pitches = np.array([note.pitch for note in notes])
    found = []
    for note in notes:
        if AROUND_S < note.onset_s < seconds - AROUND_S:
            near = set(pitches[np.abs(onsets - note.onset_s) <= 1.1 * AROUND_S])
            wrong = int(rng.choice([pitch for pitch in range(21, 109) if pitch not in near]))
            found += [Wish(note.onset_s, note.pitch, True), Wish(note.onset_s, wrong, False)]
    return found


def play(
    stream: Stream, sound: np.ndarray, rate: int, keys: list[Wish]
) -> tuple[list[Sounded], list[tuple[float, Event]]]:
    """Feeds the sound; what was not wanted, and the events, each with the seconds fed when it came."""
    coming = deque(keys)
    open_: dict[int, list[Wish]] = defaultdict(list)
    unwanted, events = [], []
    step = round(BLOCK_S * rate)
    for start in range(0, len(sound), step):
        now_s = start / rate
        while coming and coming[0].time_s - AROUND_S <= now_s:
            key = coming.popleft()
            stream.expect([key.pitch], key.time_s + AROUND_S - now_s)
            open_[key.pitch].append(key)
        fed_s = now_s + BLOCK_S
        events += [(fed_s, event) for event in stream.feed(sound[start : start + step])]
        for one in stream.expected():
            if one.wanted:  # the stream takes the one that ends first of those that have not ended
                ended_s = one.time_s - AROUND_S - 2 * BLOCK_S
                open_[one.pitch] = [key for key in open_[one.pitch] if key.time_s > ended_s]
                open_[one.pitch].pop(0).found_s = fed_s
            else:
                unwanted.append(one)
    return unwanted, events


def measure(sound_file: Path, labels: Path, latency_ms: float, seconds: float) -> None:
    torch.set_num_threads(1)  # two wait for each other on a busy machine
    blocks, rate = read_blocks(sound_file)
    sound = np.concatenate(list(blocks))[: round(seconds * rate)]
    notes = read_midi(labels) if labels.suffix == ".mid" else read_table(labels)
    keys = wishes(notes, len(sound) / rate)
    unwanted, events = play(hppnet.load(device="cpu").stream(latency_ms, rate), sound, rate, keys)
    onsets = [(fed_s, event) for fed_s, event in events if isinstance(event, NoteOn)]
    played = [key for key in keys if key.played]
    earlier = []
    known = 0
    for key in played:
        of_key = [f for f, e in onsets if e.pitch == key.pitch and abs(e.time_s - key.time_s) <= SAME_S]
        known += bool(of_key)
        if of_key and key.found_s is not None:
            earlier.append(of_key[0] - key.found_s)
    count = len(played)
    reported = sum(key.found_s is not None for key in played)
    wrong = sum(key.found_s is not None for key in keys if not key.played)
    print(f"{sound_file.name}, {latency_ms:g} ms, {count} keys played and as many wrong ones")
    print(f"reported: {reported / count:.1%} of those played, {wrong / count:.1%} of the wrong ones")
    print(f"by feed alone: {known / count:.1%}; reported {1000 * np.median(earlier):.0f} ms sooner (median)")
    print(f"reported as not wanted: {len(unwanted) / count:.1%}")


def read_table(path: Path) -> list[Note]:
    rows = [line.split("\t")[:4] for line in path.read_text().splitlines()[1:]]
    return [Note(float(on), float(off), int(pitch), int(velocity)) for on, off, pitch, velocity in rows]


if __name__ == "__main__":
    latency, length, *_ = [*map(float, sys.argv[3:]), *(132.0, 86_400.0)[len(sys.argv) - 3 :]]
    measure(Path(sys.argv[1]), Path(sys.argv[2]), latency, length)
