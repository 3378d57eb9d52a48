"""A performance (MIDI) played by a sampled piano: audio and labels that agree exactly.

FluidSynth renders at 44.1 kHz without its own effects (rendering straight to 16 kHz would alias);
soxr brings it to 16 kHz. Velocity, tuning, the pedal and how often a key is struck again are varied
per performance, so that a network hears more pianos and more players than there are.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

from ..model.timebase import SAMPLE_RATE
from .pedal_control import PedalControl, controlled
from .restrikes import struck_again

RENDER_RATE = 44_100
PEAK = 0.7


@dataclass(frozen=True)
class Touch:
    """How one performance is varied before it is rendered: the player's hand and the piano's tuning."""

    velocity_exponent: float = 1.0  #: velocity' = 127 * (velocity / 127) ** exponent
    velocity_spread: float = 1.0  #: then its distance from the performance's mean is multiplied by this,
    velocity_shift: float = 0.0  #: and so many MIDI steps are added
    velocity_jitter: float = 0.0  #: standard deviation, in MIDI steps, of each note's own deviation
    cents: float = 0.0  #: tuning of the whole piano against A = 440 Hz
    key_cents: float = 0.0  #: standard deviation of each key's own tuning
    unison_cents: float = 0.0  #: of a second string on every key, which beats; 0: there is none
    restrikes: float = 0.0  #: share of the notes that are struck again while they sound
    pedal: PedalControl = field(default_factory=PedalControl)
    seed: int = 0  #: of the deviations

    @classmethod
    def random(cls, rng: np.random.Generator, exponents: tuple[float, float] = (0.75, 2.0)) -> Touch:
        """Of any player and piano whose velocities are bent by an exponent in this range."""
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

    def striking_again(self, chance: float) -> Touch:
        """The same, by ``chance`` with keys that are struck again and again."""
        # A generator of its own: all else that a seed chooses stays what it was.
        rng = np.random.default_rng([self.seed, 3])
        if rng.random() >= chance:
            return self
        return replace(self, restrikes=float(rng.uniform(0.03, 0.3)))

    def of_any_dynamics(self, spreads: tuple[float, float], shifts: tuple[float, float]) -> Touch:
        """The same by a player of wider or narrower dynamics, louder or softer."""
        rng = np.random.default_rng([self.seed, 4])
        spread, shift = float(np.exp(rng.uniform(*np.log(spreads)))), float(rng.uniform(*shifts))
        return replace(self, velocity_spread=spread, velocity_shift=shift)

    def on_any_pedal(self, thresholds: tuple[int, int]) -> Touch:
        """The same with a pedal whose strings are free from a value in this range on."""
        rng = np.random.default_rng([self.seed, 5])
        return replace(self, pedal=PedalControl.random(rng, thresholds))


def play_with(midi: mido.MidiFile, touch: Touch) -> mido.MidiFile:
    """The same performance with another touch, on a piano tuned otherwise: channel 0, and 1 with unisons."""
    rng, hand, again = (np.random.default_rng([touch.seed, part]) for part in range(3))
    if touch.restrikes:
        midi = struck_again(midi, touch.restrikes, again)
    midi = controlled(midi, touch.pedal)
    mean = _mean_velocity(midi, touch)
    voices = 2 if touch.unison_cents else 1
    keys = touch.cents + touch.key_cents * rng.standard_normal(128)
    tunings = [keys] + [keys + touch.unison_cents * rng.standard_normal(128)] * (voices - 1)
    out = mido.MidiFile(type=midi.type, ticks_per_beat=midi.ticks_per_beat)
    for number, track in enumerate(midi.tracks):
        messages = mido.MidiTrack()
        if number == 0:
            messages.extend(m for voice, cents in enumerate(tunings) for m in _tuning(voice, cents))
        for message in track:
            if message.type == "program_change":
                message = mido.MetaMessage("marker", text="program", time=message.time)  # keeps its time
            if message.type == "note_on" and message.velocity > 0:
                message = _bent(message, touch, mean, hand)
            if not hasattr(message, "channel"):
                messages.append(message)
                continue
            for voice in range(voices):
                messages.append(message.copy(channel=voice, time=message.time if voice == 0 else 0))
        out.tracks.append(messages)
    return out


def _mean_velocity(midi: mido.MidiFile, touch: Touch) -> float:
    """Of all strokes, as the exponent leaves them."""
    struck = [m.velocity for track in midi.tracks for m in track if m.type == "note_on" and m.velocity]
    return float(np.mean(_by_exponent(np.array(struck or [64]), touch)))


def _by_exponent(velocity: np.ndarray, touch: Touch) -> np.ndarray:
    return np.asarray(127 * (velocity / 127) ** touch.velocity_exponent)


def _bent(stroke: mido.Message, touch: Touch, mean: float, hand: np.random.Generator) -> mido.Message:
    bent = float(_by_exponent(np.array(stroke.velocity), touch))
    bent = mean + (bent - mean) * touch.velocity_spread + touch.velocity_shift
    bent += touch.velocity_jitter * hand.standard_normal()
    return stroke.copy(velocity=int(np.clip(round(bent), 1, 127)))


def _tuning(voice: int, cents: np.ndarray) -> list[mido.Message]:
    """Tunes each key of a channel, by ``cents`` [128]: MIDI Tuning Standard, single note tuning changes."""
    messages = []
    for first in range(0, 128, 32):  # one message holds up to 127 keys; short ones pass everywhere
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


def render(midi: mido.MidiFile, soundfont: Path) -> np.ndarray:
    """Samples [n] at 16 kHz, mono, of ``midi`` played by ``soundfont`` (bank 0, program 0).

    Raises RuntimeError where FluidSynth is missing or fails.
    """
    if shutil.which("fluidsynth") is None:
        raise RuntimeError("rendering needs the program fluidsynth: apt-get install fluidsynth")
    with tempfile.TemporaryDirectory() as folder:
        score, sound = Path(folder, "score.mid"), Path(folder, "sound.wav")
        midi.save(score)
        command = ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", str(RENDER_RATE), "-g", "0.5"]
        command += ["-o", "synth.polyphony=512", "-F", str(sound), str(soundfont), str(score)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not sound.exists():
            raise RuntimeError(f"fluidsynth rendered nothing: {done.stderr.strip()[-200:]}")
        samples, _ = soundfile.read(sound, dtype="float32")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    return at_peak(soxr.resample(mono, RENDER_RATE, SAMPLE_RATE))


def at_peak(samples: np.ndarray) -> np.ndarray:
    """Samples [n] at the level that rendering gives."""
    return (samples * (PEAK / max(float(np.abs(samples).max(initial=0)), 1e-6))).astype(np.float32)
