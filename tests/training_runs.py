"""Tiny training runs for tests: a folder of music, a network of a few hundred weights, a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from lightning.fabric import Fabric

from hppnet.model.config import NetworkConfig
from hppnet.training import loop
from hppnet.training.data.augmentation import Augmentation
from hppnet.training.data.dataset import TrainingRecording, open_recordings, recordings_in
from hppnet.training.launch import precision_plugin
from hppnet.training.logs import Watch
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource, TrainingSettings

from .sounds import piano_like
from .tolerances import tolerance

PLAIN = Augmentation(
    keys=0,
    cents=0,
    gain_db=(0, 0),
    eq_db=0,
    uneven_db=0,
    band_limit=0,
    room=0,
    noise=0,
    clip=0,
    sudden=0,
    sudden_noise=0,
    clean=0,
    resonances_db=0,
    gain_control=0,
    codec=0,
    mix=0,
    no_piano=0,
)
TINY = NetworkConfig(name="tiny", stem_channels=2, body_channels=2, lstm_units=2)
#: What a step of such a run adds up, there and back: every bin of 4 excerpts of 64 frames, in each channel.
ADDED = 2 * 4 * 64 * 352 * TINY.stem_channels
NOTES = {0.3: 60, 0.7: 64, 1.1: 67, 1.5: 72, 1.9: 55}  #: onset (s) -> pitch


def make_music(folder: Path) -> Path:
    """Two recordings of three seconds with labels, in ``folder/music``; returns ``folder``."""
    (folder / "music").mkdir(parents=True)
    for name, transpose in (("one", 0), ("two", 5)):
        strokes = {at: pitch + transpose for at, pitch in NOTES.items()}
        soundfile.write(folder / "music" / f"{name}.flac", piano_like(strokes, 3.0), 16_000)
        lines = [f"{at}\t{at + 0.4}\t{pitch}\t{70}" for at, pitch in strokes.items()]
        (folder / "music" / f"{name}.tsv").write_text("\n".join(["onset\toffset\tnote\tvelocity", *lines]))
    return folder


def open_folder(folder: Path, cache: Path) -> list[TrainingRecording]:
    """The recordings of a folder that have labels beside them."""
    return open_recordings(recordings_in(folder), cache)


def short_run(folder: Path, name: str, **changes: Any) -> TrainingSettings:
    """Six steps on two recordings, in float32."""
    base = TrainingSettings(
        sources=(DataSource(str(folder / "music")),),
        folder=str(folder / name),
        cache=str(folder / "cache"),
        network=TINY,
        batch=2,
        frames=64,
        precision="fp32",
        held_out=0,
        validate_every=0,
        save_every=3,
        schedule=Schedule(steps=6, warm_up=1, decay=2),
        augmentation=replace(PLAIN, keys=2, noise=0.5),
    )
    return replace(base, **changes)


def in_toml(settings: TrainingSettings, **more: object) -> str:
    """A short run's settings as a file says them; ``more`` goes on top."""
    network, schedule = settings.sizes, settings.schedule
    values = {
        "folder": settings.folder,
        "cache": settings.cache,
        "batch": settings.batch,
        "frames": settings.frames,
        "precision": settings.precision,
        "held_out": settings.held_out,
        "validate_every": settings.validate_every,
        "save_every": settings.save_every,
        "tensorboard": False,
        **more,
    }
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    sizes = ("stem_channels", "body_channels", "lstm_units", "pedal_units", "velocity_units")
    lines += ["[network]", *(f"{n} = {getattr(network, n)}" for n in sizes), "[schedule]"]
    lines += [
        f"{name} = {getattr(schedule, name)}" for name in ("steps", "warm_up", "decay", "learning_rate")
    ]
    for source in settings.sources:
        lines += ["[[sources]]", f"folder = {_toml(source.folder)}"]
    lines += ["[augmentation]"]
    lines += [f"{name} = {_toml(value)}" for name, value in vars(settings.augmentation).items()]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return str(list(value))
    return f'"{value}"' if isinstance(value, str) else str(value)


class Notebook(Watch):
    """Writes down what a run tells."""

    def __init__(self) -> None:
        self.steps: dict[int, dict[str, float]] = {}
        self.validations: dict[int, dict[str, float]] = {}
        self.pictures: list[Any] = []

    def step(self, step: int, values: dict[str, float]) -> None:
        self.steps[step] = values

    def validated(self, step: int, values: dict[str, float], picture: Any) -> None:
        self.validations[step] = values
        self.pictures.append(picture)


def fabric_of(settings: TrainingSettings) -> Fabric:
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision_plugin(settings.precision, "cpu")])
    fabric.launch()
    return fabric


def trained(wanted: TrainingSettings, watch: Watch | None = None) -> dict[str, Any]:
    """Trains and returns what run.pt holds."""
    loop.train(fabric_of(wanted), wanted, watch)
    state: dict[str, Any] = torch.load(Path(wanted.folder) / "run.pt", weights_only=True)
    return state


def assert_same_curve(
    one: Notebook,
    other: Notebook,
    names: Sequence[str] = ("onset", "frame", "offset", "velocity", "loss"),
) -> None:
    """The same losses in every step, and in the first the same gradient, whose sums are in another order.

    Adam divides a gradient by its size, so what rounding does to one near zero becomes a whole step. That
    changes no loss to first order, but the norm of later gradients.
    """
    assert list(one.steps) == list(other.steps)
    assert other.steps[1]["norm"] == pytest.approx(one.steps[1]["norm"], rel=tolerance(1.0, ADDED))
    for step, values in one.steps.items():
        for name in names:
            assert other.steps[step][name] == pytest.approx(values[name], rel=2e-3), (step, name)
