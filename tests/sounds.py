"""Sounds that tests make themselves, and the weights that detect them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TONE_WEIGHTS = Path(__file__).with_name("tones.safetensors")  #: made by rigs/tone_weights.py


def piano_like(pitches: dict[float, int], seconds: float, sample_rate: int = 16_000) -> np.ndarray:
    """Decaying harmonic tones with sharp attacks: onset time (s) -> MIDI pitch; samples [n]."""
    out = np.zeros(round(seconds * sample_rate))
    for onset_s, pitch in pitches.items():
        f0 = 440 * 2 ** ((pitch - 69) / 12)
        first = int(np.ceil(onset_s * sample_rate))
        local = np.arange(first, min(len(out), first + 2 * sample_rate)) / sample_rate - onset_s
        for h in range(1, 9):
            if h * f0 < sample_rate / 2:
                tone = np.sin(2 * np.pi * h * f0 * local) * np.exp(-local * (1.5 + h)) / h
                out[first : first + len(local)] += tone
    return (0.15 * out).astype(np.float32)


def three_notes(sample_rate: int = 16_000) -> np.ndarray:
    """C4, E4 and G4, a third of a second apart; 1.5 s."""
    return piano_like({0.2: 60, 0.5: 64, 0.8: 67}, 1.5, sample_rate)
