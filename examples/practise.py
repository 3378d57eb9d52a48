"""Follows a beginner through a piece: names the next keys, waits for them, and says what else was played.

    python examples/practise.py examples/take.mid

The score is any MIDI file; notes that begin within 50 ms of each other are one chord.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import hppnet
from hppnet.api import read_blocks
from hppnet.realtime.inputs import FileInput, InputEnded


def chords_of(score: Path) -> list[list[hppnet.Note]]:
    chords: list[list[hppnet.Note]] = []
    for note in hppnet.read_midi(score):
        if not chords or note.onset_s - chords[-1][0].onset_s >= 0.05:
            chords.append([])
        chords[-1].append(note)
    return chords


def main() -> None:
    parser = argparse.ArgumentParser(description="Follows a player through a piece.")
    parser.add_argument("score", type=Path, help="a MIDI file")
    parser.add_argument("--input", help="sound device, or part of its name")
    parser.add_argument("--file", type=Path, help="a recording in place of the microphone")
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    arguments = parser.parse_args()
    sound = FileInput(*read_blocks(arguments.file)) if arguments.file else hppnet.AudioInput(arguments.input)
    with sound:
        stream = hppnet.load(arguments.checkpoint).stream(latency_ms=92, sample_rate=sound.sample_rate)
        ended = False
        for number, chord in enumerate(chords_of(arguments.score), 1):
            waiting = {note.pitch: note.name for note in chord}
            print(f"{number}: play {' '.join(waiting.values())}", flush=True)
            stream.expect(waiting, within_s=3600)
            while waiting and not ended:
                try:
                    for block in sound.read(timeout_s=0.1):
                        stream.feed(block.samples)
                except InputEnded:
                    stream.flush()
                    ended = True
                for key in stream.expected():
                    if not key.wanted:
                        print(f"   wrong key: {hppnet.Note(0, 0, key.pitch, 0).name}")
                    waiting.pop(key.pitch, None)
            if waiting:
                return
        print("That was all of it.")


if __name__ == "__main__":
    main()
