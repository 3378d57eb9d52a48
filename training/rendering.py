"""A performance (MIDI) played by a sampled piano: audio and labels that agree exactly.

FluidSynth renders at 44.1 kHz without its own effects (rendering straight to 16 kHz would alias);
soxr brings it to 16 kHz. Velocity and tuning are varied per performance, so that a network hears
more pianos than there are sound fonts.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import soundfile
import soxr

from ..model.timebase import SAMPLE_RATE

RENDER_RATE = 44_100
PEAK = 0.7


@dataclass(frozen=True)
class Touch:
    """How one performance is varied before it is rendered."""

    velocity_exponent: float = 1.0  #: velocity' = 127 * (velocity / 127) ** exponent
    cents: float = 0.0  #: tuning of the whole piano against A = 440 Hz, -100 to 100

    @classmethod
    def random(cls, rng: np.random.Generator) -> Touch:
        return cls(float(rng.uniform(0.75, 1.35)), float(rng.uniform(-30, 30)))


def play_with(midi: mido.MidiFile, touch: Touch) -> mido.MidiFile:
    """The same performance with another touch: velocities bent, channel 0's fine tuning set."""
    out = mido.MidiFile(type=midi.type, ticks_per_beat=midi.ticks_per_beat)
    for number, track in enumerate(midi.tracks):
        messages = mido.MidiTrack(_fine_tuning(touch.cents) if number == 0 else [])
        for message in track:
            if message.type == "note_on" and message.velocity > 0:
                bent = 127 * (message.velocity / 127) ** touch.velocity_exponent
                message = message.copy(velocity=int(np.clip(round(bent), 1, 127)))
            if hasattr(message, "channel"):
                message = message.copy(channel=0)
            if message.type != "program_change":
                messages.append(message)
        out.tracks.append(messages)
    return out


def _fine_tuning(cents: float) -> list[mido.Message]:
    """MIDI registered parameter 1 (channel fine tuning): 14 bits, 8192 is none, 8192 a semitone."""
    value = int(np.clip(round(8192 + cents / 100 * 8192), 0, 16383))
    controls = ((101, 0), (100, 1), (6, value >> 7), (38, value & 127))
    return [mido.Message("control_change", control=c, value=v, time=0) for c, v in controls]


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
        if not sound.exists():
            raise RuntimeError(f"fluidsynth rendered nothing: {done.stderr.strip()[-200:]}")
        samples, _ = soundfile.read(sound, dtype="float32")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    mono = soxr.resample(mono, RENDER_RATE, SAMPLE_RATE)
    return (mono * (PEAK / max(float(np.abs(mono).max()), 1e-6))).astype(np.float32)
