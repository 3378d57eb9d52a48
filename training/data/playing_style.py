"""Varies a performance (MIDI) before it is rendered: dynamics, repeated notes, chords, tuning, pedal.

Velocities, tuning, pedal, repeated notes and chords are varied for each performance, so that a network learns
from more pianos and players than the data have.

The sustain pedal is a continuous control, but a sound font's pedal is a switch at 64. With real pianos and
players, the depth at which the strings become free varies. Just before this depth the dampers brush the
strings: a released note decays more slowly than on a damped string and faster than on a free one (Lehtonen,
Askenfelt and Välimäki, "Analysis of the part-pedaling effect in the piano", JASA 126, 2009). Here the control
is rewritten for FluidSynth: 127 from the threshold on, 0 below it, and a slower release just below it. Labels
follow the rewritten control: "down" means that the strings are free.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import mido
import numpy as np

from ...model.midi_file import SUSTAIN
from .performances import DOWN_FROM, DRUMS, with_added_chords, with_repeated_notes

DEPTHS = 6  #: half-pedal steps from damped strings to the longest release
RELEASE = 38  #: SoundFont generator of the release, changed by NRPN 120, RELEASE in steps of two timecents
OCTAVE = 1200  #: timecents that double a time


@dataclass(frozen=True)
class PedalControl:
    """The response of a piano's pedal. The default leaves a performance unchanged."""

    threshold: int = DOWN_FROM  #: the least value at which the strings are free
    part: int = 0  #: number of values below it at which the dampers brush the strings
    longest_octaves: float = 0.0  #: doublings of a release's time just below the threshold
    damping_octaves: float = 0.0  #: doublings at rest, for dampers other than the sound font's

    @classmethod
    def random(cls, rng: np.random.Generator, thresholds: tuple[int, int]) -> PedalControl:
        """A random pedal with a threshold in the range ``thresholds``."""
        low, high = thresholds
        threshold = int(rng.integers(low, high + 1))
        part = int(rng.integers(4, 30))
        return cls(threshold, min(part, threshold - 1), float(rng.uniform(2, 4)), float(rng.uniform(-0.5, 1)))

    def depth(self, value: int) -> int:
        """The half-pedal step, 0 to ``DEPTHS``, of a control's value."""
        if not self.part:
            return 0
        share = (value - self.threshold + self.part) / self.part
        return int(np.clip(np.ceil(share * DEPTHS), 0, DEPTHS))

    def timecents(self, depth: int) -> int:
        """The timecents added to a release's time at a depth."""
        octaves = self.damping_octaves
        octaves += (self.longest_octaves - octaves) * depth / DEPTHS
        return round(OCTAVE * octaves)


def controlled(midi: mido.MidiFile, how: PedalControl) -> mido.MidiFile:
    """The performance with its pedal rewritten for FluidSynth; all times are kept."""
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
    """Messages that change a channel's release time, also for notes that are being released."""
    data = 8192 + round(timecents / 2)
    # The least significant byte first, as the other makes the change. The last two deselect the parameter.
    controls = ((99, 120), (98, RELEASE), (38, data & 127), (6, data >> 7), (99, 127), (98, 127))
    return [mido.Message("control_change", channel=channel, control=c, value=v, time=0) for c, v in controls]


@dataclass(frozen=True)
class PlayingStyle:
    """The variations of one performance before rendering: the player's hand, the piano's tuning and pedal."""

    velocity_exponent: float = 1.0  #: velocity' = 127 * (velocity / 127) ** exponent
    velocity_spread: float = 1.0  #: factor then applied to its distance from the performance's mean
    velocity_shift: float = 0.0  #: MIDI steps then added
    velocity_jitter: float = 0.0  #: standard deviation, in MIDI steps, of each note's own deviation
    cents: float = 0.0  #: tuning of the whole piano against A = 440 Hz
    key_cents: float = 0.0  #: standard deviation of each key's own tuning
    unison_cents: float = 0.0  #: detuning (standard deviation) of a second string a key, which beats; 0: none
    restrikes: float = 0.0  #: share of the notes that are repeated while they sound
    chords: float = 0.0  #: share of the notes with other keys played along
    pedal: PedalControl = field(default_factory=PedalControl)
    seed: int = 0  #: seed of all random deviations

    @classmethod
    def random(cls, rng: np.random.Generator, exponents: tuple[float, float] = (0.75, 2.0)) -> PlayingStyle:
        """A random player's and piano's style, with a velocity exponent in the range ``exponents``."""
        exponent = float(np.exp(rng.uniform(*np.log(exponents))))
        unison = float(rng.uniform(0.5, 4)) if rng.random() < 0.4 else 0.0
        seed = int(rng.integers(2**31))
        jitter, key_cents = (float(rng.uniform(0, width)) for width in (6, 5))
        cents = float(rng.uniform(-30, 30))
        return cls(
            exponent,
            velocity_jitter=jitter,
            cents=cents,
            key_cents=key_cents,
            unison_cents=unison,
            seed=seed,
        )

    def with_repeats(self, chance: float) -> PlayingStyle:
        """This style, with probability ``chance`` with repeated notes."""
        # A separate generator: everything else chosen by this seed stays the same.
        rng = np.random.default_rng([self.seed, 3])
        if rng.random() >= chance:
            return self
        return replace(self, restrikes=float(rng.uniform(0.03, 0.3)))

    def with_chords(self, chance: float) -> PlayingStyle:
        """This style, with probability ``chance`` with other keys played together with some notes."""
        rng = np.random.default_rng([self.seed, 6])
        if rng.random() >= chance:
            return self
        return replace(self, chords=float(rng.uniform(0.03, 0.2)))

    def of_any_dynamics(self, spreads: tuple[float, float], shifts: tuple[float, float]) -> PlayingStyle:
        """This style with dynamics wider or narrower, louder or softer, within these ranges."""
        rng = np.random.default_rng([self.seed, 4])
        spread, shift = float(np.exp(rng.uniform(*np.log(spreads)))), float(rng.uniform(*shifts))
        return replace(self, velocity_spread=spread, velocity_shift=shift)

    def on_any_pedal(self, thresholds: tuple[int, int]) -> PlayingStyle:
        """This style with a random pedal whose threshold is in the range ``thresholds``."""
        rng = np.random.default_rng([self.seed, 5])
        return replace(self, pedal=PedalControl.random(rng, thresholds))


def play_with(midi: mido.MidiFile, style: PlayingStyle) -> mido.MidiFile:
    """The performance in another playing style and tuning: on channel 0, unisons on channel 1."""
    rng, jitter, again = (np.random.default_rng([style.seed, part]) for part in range(3))
    if style.restrikes:
        midi = with_repeated_notes(midi, style.restrikes, again)
    if style.chords:
        midi = with_added_chords(midi, style.chords, np.random.default_rng([style.seed, 7]))
    midi = controlled(midi, style.pedal)
    mean = _mean_velocity(midi, style)
    voices = 2 if style.unison_cents else 1
    keys = style.cents + style.key_cents * rng.standard_normal(128)
    tunings = [keys] + [keys + style.unison_cents * rng.standard_normal(128)] * (voices - 1)
    out = mido.MidiFile(type=midi.type, ticks_per_beat=midi.ticks_per_beat)
    for number, track in enumerate(midi.tracks):
        messages = mido.MidiTrack()
        if number == 0:
            messages.extend(m for voice, cents in enumerate(tunings) for m in _tuning(voice, cents))
        for message in track:
            if message.type == "program_change":
                message = mido.MetaMessage("marker", text="program", time=message.time)  # keeps its time
            if message.type == "note_on" and message.velocity > 0:
                message = _bent(message, style, mean, jitter)
            if not hasattr(message, "channel"):
                messages.append(message)
                continue
            for voice in range(voices):
                messages.append(message.copy(channel=voice, time=message.time if voice == 0 else 0))
        out.tracks.append(messages)
    return out


def _mean_velocity(midi: mido.MidiFile, style: PlayingStyle) -> float:
    """The mean velocity of all notes after the exponent."""
    velocities = [m.velocity for track in midi.tracks for m in track if m.type == "note_on" and m.velocity]
    return float(np.mean(_by_exponent(np.array(velocities or [64]), style)))


def _by_exponent(velocity: np.ndarray, style: PlayingStyle) -> np.ndarray:
    return np.asarray(127 * (velocity / 127) ** style.velocity_exponent)


def _bent(
    stroke: mido.Message, style: PlayingStyle, mean: float, jitter: np.random.Generator
) -> mido.Message:
    bent = float(_by_exponent(np.array(stroke.velocity), style))
    bent = mean + (bent - mean) * style.velocity_spread + style.velocity_shift
    bent += style.velocity_jitter * jitter.standard_normal()
    return stroke.copy(velocity=int(np.clip(round(bent), 1, 127)))


def _tuning(voice: int, cents: np.ndarray) -> list[mido.Message]:
    """Messages that tune a channel's keys by ``cents`` [128]: MIDI Tuning Standard, single note changes."""
    messages = []
    for first in range(0, 128, 32):  # 127 keys would fit into a message, but short ones pass everywhere
        data = [0x7F, 0x7F, 0x08, 0x02, voice, 32]
        for key in range(first, first + 32):
            steps = int(np.clip(round((key + cents[key] / 100) * 16384), 0, 127 * 16384))
            data += [key, steps >> 14, (steps >> 7) & 127, steps & 127]
        messages.append(mido.Message("sysex", data=data, time=0))
    # Registered parameters 4 and 3: tuning bank 0, tuning program ``voice``.
    controls = ((101, 0), (100, 4), (6, 0), (101, 0), (100, 3), (6, voice))
    return messages + [
        mido.Message("control_change", channel=voice, control=c, value=v, time=0) for c, v in controls
    ]
