"""Transcribes every recording in a folder, and lists what was played in each.

    python examples/transcribe_folder.py recordings/ midi/

writes midi/take.wav.mid for take.wav, and midi/summary.csv. (`hppnet transcribe recordings/ -o midi/` does
the first part with many more options; a program of your own may begin like this one.)
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import hppnet

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".m4a"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Transcribes every recording in a folder.")
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    arguments = parser.parse_args()

    transcriber = hppnet.load(arguments.checkpoint)  # once: loading takes as long as a short file
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with (arguments.out / "summary.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ["recording", "seconds", "notes", "pedal_presses", "lowest", "highest", "mean_velocity"]
        )
        for path in sorted(arguments.recordings.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            try:
                found = transcriber.transcription(path)
            except hppnet.AudioError as error:  # one bad file does not stop the others
                print(error, file=sys.stderr)
                failed += 1
                continue
            notes, pedal = found.notes, found.pedal or []
            hppnet.write_midi(notes, arguments.out / f"{path.name}.mid", pedal)
            by_pitch = sorted(notes, key=lambda note: note.pitch)
            ends = [by_pitch[0].name, by_pitch[-1].name] if notes else ["", ""]
            velocity = round(sum(note.velocity for note in notes) / len(notes)) if notes else ""
            table.writerow([path.name, f"{found.duration_s:.1f}", len(notes), len(pedal), *ends, velocity])
            print(f"{path.name}: {len(notes)} notes")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
