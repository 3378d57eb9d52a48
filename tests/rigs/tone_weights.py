"""Trains the small network that tests of devices, servers and streams run with.

It detects the notes of ``tests.sounds.piano_like``. A step takes a quarter of the shipped network's time, so
that any machine keeps up. ``python -m tests.rigs.tone_weights`` writes ``tests/tones.safetensors`` after some
minutes.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile

from hppnet.model.config import NetworkConfig
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource, TrainingSettings
from hppnet.training.thresholds import finish

from ..sounds import TONE_WEIGHTS, piano_like
from ..training_runs import PLAIN, Notebook, trained

SIZES = NetworkConfig(
    name="tones",
    stem_kernels=((3, 5),),
    stem_channels=8,
    harmonics_up=(1, 2, 3, 4),
    body_channels=8,
    block_kernels=((3, 3),),
    block_harmonics=(1, 2, 3, -2),
    lstm_units=24,
    velocity_units=4,
    pedal_units=0,
)
RECORDINGS, SECONDS = 30, 20.0
SOUNDING_S = 0.5  #: a tone's release after its onset, unless its key is played again before


def write_recording(path: Path, rng: np.random.Generator) -> None:
    """Tones of random keys at random times, with labels, over faint noise."""
    density = rng.uniform(1.5, 8)
    onsets = np.cumsum(rng.exponential(1 / density, int(SECONDS * density)) + 0.01)
    played = {float(t): int(rng.integers(36, 97)) for t in onsets if t < SECONDS - 1}
    sound = piano_like(played, SECONDS) * rng.uniform(0.3, 1.5)
    sound += rng.standard_normal(len(sound)) * 10 ** rng.uniform(-5, -3)
    soundfile.write(path.with_suffix(".flac"), np.clip(sound, -1, 1), 16_000)
    lines = ["onset\toffset\tnote\tvelocity"]
    for onset_s, pitch in played.items():
        again_s = min((t for t, p in played.items() if p == pitch and t > onset_s), default=SECONDS)
        if again_s - onset_s > 0.06:
            lines.append(f"{onset_s:.4f}\t{min(onset_s + SOUNDING_S, again_s - 0.02):.4f}\t{pitch}\t80")
    path.with_suffix(".tsv").write_text("\n".join(lines) + "\n")


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="hppnet-tones-"))
    try:
        (folder / "music").mkdir()
        for number in range(RECORDINGS):
            write_recording(folder / "music" / f"{number:02}", np.random.default_rng(number))
        settings = TrainingSettings(
            sources=(DataSource(str(folder / "music")),),
            folder=str(folder / "run"),
            cache=str(folder / "cache"),
            network=SIZES,
            frames=128,
            precision="fp32",
            held_out=10,
            validate_every=0,
            look_ahead=(0, 4),
            schedule=Schedule(steps=500, warm_up=30, shape="cosine", learning_rate=8e-3, ema=0.98),
            augmentation=replace(PLAIN, gain_db=(-6, 6), sudden=0.1),
        )
        watch = Notebook()
        trained(settings, watch)
        path, decoder = finish(settings)
        shutil.copyfile(path, TONE_WEIGHTS)
        print(f"{TONE_WEIGHTS}: onset loss {watch.steps[500]['onset']:.3f}, {decoder}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
