"""Plays a synthesiser from an acoustic piano, with another sound for the left hand.

    python examples/live_split.py --output FluidSynth --split 60

sends keys from middle C (60) upwards on MIDI channel 1, and those below it on channel 2. Give the two
channels different sounds in the synthesiser. Ctrl-C ends the program and every note that sounds. Events are
sent as soon as they are detected. (`hppnet live` has one channel, and a fixed time from playing to event.)
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path

import hppnet
from hppnet.api import read_blocks
from hppnet.realtime.inputs import FileInput


def main() -> None:
    parser = argparse.ArgumentParser(description="Plays a synthesiser from a piano, on two channels.")
    parser.add_argument("--input", help="sound device, or part of its name (hppnet devices lists them)")
    parser.add_argument("--output", help="MIDI port, or part of its name; default: the first one")
    parser.add_argument("--split", type=int, default=60, help="lowest key of the right hand")
    parser.add_argument("--latency", type=float, default=92, help="52, 92 or 132 ms")
    parser.add_argument("--file", type=Path, help="play a recording in place of the microphone")
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    arguments = parser.parse_args()

    sound = FileInput(*read_blocks(arguments.file)) if arguments.file else arguments.input
    events = hppnet.live(
        sound, latency_ms=arguments.latency, checkpoint=arguments.checkpoint, report=lambda line: print(line)
    )
    right = hppnet.MidiOutput(arguments.output, channel=1)
    left = hppnet.MidiOutput(arguments.output, channel=2)
    with suppress(KeyboardInterrupt), right, left:  # closing a port ends the notes that sound on it
        for event in events:
            if isinstance(event, hppnet.Pedal):
                right.send(event)
                left.send(event)
            else:
                (right if event.pitch >= arguments.split else left).send(event)


if __name__ == "__main__":
    main()
