"""The sustain pedal as a continuous control: where its dampers leave the strings, and what half a pedal does.

A sound font's pedal is a switch at 64. On pianos, and under players, the strings are free from another depth
on, and just above it the dampers brush them: a released note dies away slower than on a damped string and
faster than on a free one (Lehtonen, Askenfelt and Välimäki, "Analysis of the part-pedaling effect in the
piano", JASA 126, 2009). Here the control is rewritten for FluidSynth: 127 from the threshold on, 0 below it,
and a slower release just below it. Labels follow the rewritten control: "down" is where the strings are free.
"""

from __future__ import annotations

from dataclasses import dataclass

import mido
import numpy as np

from ..model.midi_file import SUSTAIN

SWITCH = 64  #: where FluidSynth and a MIDI file's reader have it
DRUMS = 9  #: channel, counted from 0
DEPTHS = 6  #: of half a pedal: so many steps from damped strings to the longest release
RELEASE = 38  #: SoundFont generator of the release, changed by NRPN 120, RELEASE in steps of two timecents
OCTAVE = 1200  #: timecents in which a time doubles


@dataclass(frozen=True)
class PedalControl:
    """Where a piano's pedal works. The default leaves a performance as it is."""

    threshold: int = SWITCH  #: the least value at which the strings are free
    part: int = 0  #: so many values below it the dampers brush the strings
    longest_octaves: float = 0.0  #: how often a release's time doubles just below the threshold
    damping_octaves: float = 0.0  #: the same at rest: other dampers than the sound font's

    @classmethod
    def random(cls, rng: np.random.Generator, thresholds: tuple[int, int]) -> PedalControl:
        """Any piano's pedal with a threshold in this range."""
        low, high = thresholds
        threshold = int(rng.integers(low, high + 1))
        part = int(rng.integers(4, 30))
        return cls(threshold, min(part, threshold - 1), float(rng.uniform(2, 4)), float(rng.uniform(-0.5, 1)))

    def depth(self, value: int) -> int:
        """How far half a pedal lifts the dampers at a control's value: 0 to ``DEPTHS``."""
        if not self.part:
            return 0
        share = (value - self.threshold + self.part) / self.part
        return int(np.clip(np.ceil(share * DEPTHS), 0, DEPTHS))

    def timecents(self, depth: int) -> int:
        """What is added to a release's time at a depth."""
        octaves = self.damping_octaves
        octaves += (self.longest_octaves - octaves) * depth / DEPTHS
        return round(OCTAVE * octaves)


def controlled(midi: mido.MidiFile, how: PedalControl) -> mido.MidiFile:
    """The same performance as FluidSynth has to be told it; all times stay."""
    if how == PedalControl():
        return midi
    out = mido.MidiFile(type=midi.type, ticks_per_beat=midi.ticks_per_beat)
    depths: dict[int, int] = {}
    for number, track in enumerate(midi.tracks):
        messages = mido.MidiTrack()
        if number == 0:
            messages.extend(_release(0, how.timecents(0)))
        for message in track:
            if message.type != "control_change" or message.control != SUSTAIN or message.channel == DRUMS:
                messages.append(message)
                continue
            depth = how.depth(message.value)
            down = 127 if message.value >= how.threshold else 0
            messages.append(message.copy(value=down))
            if depths.get(message.channel, 0) != depth:
                depths[message.channel] = depth
                messages.extend(_release(message.channel, how.timecents(depth)))
        out.tracks.append(messages)
    return out


def _release(channel: int, timecents: int) -> list[mido.Message]:
    """Changes the release's time of a channel, also of notes that are being released."""
    data = 8192 + round(timecents / 2)
    # The least significant byte first: the other one makes the change. At last no parameter is selected.
    controls = ((99, 120), (98, RELEASE), (38, data & 127), (6, data >> 7), (99, 127), (98, 127))
    return [mido.Message("control_change", channel=channel, control=c, value=v, time=0) for c, v in controls]
