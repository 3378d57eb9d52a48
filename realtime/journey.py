"""One journey of a sound: into ``hppnet live`` and back as MIDI, timed on the wall clock.

``travel`` goes over JACK: the program is a process of its own, and so is what plays to it and hears it
(``jack_peer``). ``travel_inside`` goes through a session in this process, where there is no JACK.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..model.notes import Event, NoteOff, NoteOn, Pedal
from ..model.transcriber import Transcriber
from .blocks import Block
from .clock import SystemClock
from .jack import JackServer
from .jack_ends import Piano, Program, Synth
from .playback import FileInput
from .ports import MidiOutput
from .session import LiveSession, LiveSettings
from .synth import Synth as InnerSynth

BLOCK = 256  #: samples, where nothing else decides


@dataclass(frozen=True)
class Journey:
    """What was played when, what came back when, and how the program left."""

    cycles: np.ndarray  #: [c, 2] number of a cycle's first sample, wall clock s when JACK took it
    received: np.ndarray  #: [m, 4] wall clock s and three bytes of each MIDI message
    sample_rate: int
    block: int
    startup_s: float  #: from its start to where it listens
    exit_code: int
    output: str  #: what it said

    def wall_s(self, time_s: float | np.ndarray) -> np.ndarray:
        """When a moment of the sound was at the input.

        A cycle hands over what a sound card would have heard during the cycle before it, so a moment is
        as old as its place in the block says, and never younger than one block.
        """
        sample = np.asarray(time_s) * self.sample_rate
        cycle = np.clip(np.searchsorted(self.cycles[:, 0], sample, side="right") - 1, 0, None)
        within = sample - self.cycles[cycle, 0]
        return np.asarray(self.cycles[cycle, 1] + (within - self.block) / self.sample_rate)

    def sound_s(self, wall_s: float | np.ndarray) -> np.ndarray:
        """The moment of the sound that was at the input at a time of the wall clock."""
        starts = self.wall_s(self.cycles[:, 0] / self.sample_rate)
        return np.asarray(np.interp(wall_s, starts, self.cycles[:, 0] / self.sample_rate, right=np.inf))

    def events(self) -> list[Event]:
        """The notes and the pedal received, each at its arrival on the wall clock (s)."""
        events: list[Event] = []
        for when, status, pitch, velocity in self.received:
            kind = int(status) & 0xF0
            if kind == 0x90 and velocity > 0:
                events.append(NoteOn(float(when), int(pitch), int(velocity)))
            elif kind in (0x80, 0x90):
                events.append(NoteOff(float(when), int(pitch)))
            elif kind == 0xB0 and pitch == 64:
                events.append(Pedal(float(when), velocity >= 64))
        return events


def travel(
    command: Sequence[str],
    sound: np.ndarray,
    server: JackServer,
    after_s: float = 1.0,
) -> Journey:
    """Sends samples [n] (at the server's rate) through a program that listens and sends to SYNTH.

    ``after_s`` after the sound's end the program is interrupted, and its messages are received until it has
    left. Raises JackError if a process does not do its part.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        Piano(sound, server, Path(folder)) as piano,
        Synth(server, Path(folder)) as synth,
        Program(command, server, Path(folder)) as program,
    ):
        inputs, startup_s = program.listening()
        piano.play(inputs)
        piano.order("wait")
        time.sleep(after_s)
        exit_code = program.leave()
        synth.order("end")
        cycles, received = piano.leave(), synth.leave()
        rate, block = server.sample_rate, server.block
        return Journey(cycles, received, rate, block, startup_s, exit_code, program.output)


def travel_inside(
    transcriber: Transcriber, latency_ms: float, sound: np.ndarray, sample_rate: int
) -> Journey:
    """The same through a session in this process: the sound is a file that plays, the port is a list.

    No sound card and no other process are in the way, so it may be a little quicker.
    """
    clock, synth = SystemClock(), InnerSynth()
    pauses = np.zeros(round(0.5 * sample_rate), dtype=np.float32)
    player = FileInput([sound, pauses], sample_rate, block_s=BLOCK / sample_rate, clock=clock)
    port, settings = MidiOutput(wire=synth.plug), LiveSettings(latency_ms=latency_ms)
    began_s = clock.now()
    session = _Watched(transcriber, player, port, settings, clock=clock)
    session.prepare()
    startup_s = clock.now() - began_s
    session.run()
    cycles = np.array(session.cycles)
    received = np.array([[when, *message] for when, message in synth.messages], dtype=float).reshape(-1, 4)
    return Journey(cycles, received, sample_rate, BLOCK, startup_s, 0, "")


class _Watched(LiveSession):
    """Keeps when which sample came."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.cycles: list[tuple[int, float]] = []

    def _watch(self, block: Block) -> None:
        self.cycles.append((round(block.time_s * block.sample_rate), block.arrived_s))
        super()._watch(block)
