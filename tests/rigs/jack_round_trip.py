"""A round trip over JACK: sound into ``hppnet live`` in a process of its own, and back over a real MIDI port.

    python -m tests.rigs.jack_round_trip [--seconds 30] [--checkpoint FILE] [--threads 1]

prints as JSON what ``hppnet bench live`` measures, this way; and beside it the last line of each
``hppnet live``, which counts late events and dropped blocks. It starts a JACK server of its own and touches
no other one. Needs Debian's ``jackd2`` and ``libportaudio2``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hppnet.api import load
from hppnet.processes import python
from hppnet.realtime.bench import RATE, BenchTask, make_task, measure
from hppnet.realtime.bench_round_trip import RoundTrip

from .jack_peers import SYNTH, LiveProgram, PianoPeer, SynthPeer
from .jack_server import JackServer, missing


def live_command(latency_ms: float) -> list[str]:
    """``hppnet live`` between the two ends of a round trip over JACK."""
    ends = ["--input", "system", "--output", SYNTH, "--latency", f"{latency_ms:g}"]
    return python("-m", "hppnet", "live", *ends)


def play_over_jack(
    command: Sequence[str], sound: np.ndarray, server: JackServer, after_s: float = 1.0
) -> RoundTrip:
    """Sends samples [n] (at the server's rate) through a program that sends its MIDI to SYNTH.

    ``after_s`` after the sound's end the program is interrupted, and its messages are received until it has
    ended. Raises JackError if a process does not do its part.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        PianoPeer(sound, server, Path(folder)) as piano,
        SynthPeer(server, Path(folder)) as synth,
        LiveProgram(command, server, Path(folder)) as program,
    ):
        inputs, startup_s = program.listening()
        piano.play(inputs)
        piano.order("wait")
        time.sleep(after_s)
        exit_code = program.leave()
        synth.order("end")
        cycles, received = piano.leave(), synth.leave()
        rate, block = server.sample_rate, server.block
        return RoundTrip(cycles, received, rate, block, startup_s, exit_code, program.output)


def over_jack(task: BenchTask, latency_ms: float) -> RoundTrip:
    """The way of ``measure`` that goes over a JACK server of its own. Raises JackError."""
    with JackServer(RATE) as server:
        trip = play_over_jack([*live_command(latency_ms), *task.options], task.sound, server)
        unfinished = server.unfinished()
    print(f"cycles of JACK that a client did not finish: {unfinished or 'none'}", file=sys.stderr)
    print(trip.output.strip().rpartition("\n")[2], file=sys.stderr)
    return trip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of the test piece; it is played twice")
    parser.add_argument("--checkpoint", type=Path, help="other weights than those that come with hppnet")
    parser.add_argument("--threads", type=int, default=1, help="processor cores to use")
    options = parser.parse_args()
    if why := missing():
        sys.exit(why)
    task = make_task(load(options.checkpoint, "cpu"), options.seconds, options.checkpoint, "cpu")
    figures = measure(task, options.threads, lambda stage: print(stage, file=sys.stderr), over_jack)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
