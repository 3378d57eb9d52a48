"""A training run's settings, read from TOML: small dataclasses that check themselves."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..model.config import CONFIGS
from .augmentation import Augmentation
from .losses import LossWeights

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Source:
    """A folder of recordings with labels, and how often it is drawn from."""

    folder: str
    weight: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rates: a short warm-up, a long constant part, a decay to zero at the end.

    The constant part may be stopped or lengthened at any time: raise ``steps`` and resume.
    """

    steps: int = 10_000
    warm_up: int = 200
    decay: int = 2_000  #: the last steps, over which the rate falls to zero
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    clip: float = 3.0  #: largest norm of the gradient, applied before the step
    ema: float = 0.998  #: of the weights that are saved, a step

    def __post_init__(self) -> None:
        if not 0 <= self.warm_up + self.decay <= self.steps:
            raise ValueError(f"warm_up + decay must be at most steps ({self.steps})")

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        up = min(1.0, (step + 1) / max(1, self.warm_up))
        down = min(1.0, (self.steps - step) / max(1, self.decay))
        return self.learning_rate * min(up, down)


@dataclass(frozen=True)
class Settings:
    """One training run."""

    sources: tuple[Source, ...]
    folder: str  #: where checkpoints and the log go
    cache: str  #: where decoded sound is kept
    config: str = "default"  #: a named network
    batch: int = 4  #: excerpts a step, over all processes
    frames: int = 256  #: of an excerpt
    chunk: int = 8  #: frames that share a backward window
    full_context: float = 0.33  #: how often the backward LSTM sees the whole excerpt
    look_ahead: tuple[int, int] = (0, 8)  #: R is drawn from here otherwise
    held_out: int = 20  #: of every so many recordings one is kept back, for thresholds
    save_every: int = 250  #: steps
    seed: int = 0
    schedule: Schedule = field(default_factory=Schedule)
    losses: LossWeights = field(default_factory=LossWeights)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.config not in CONFIGS:
            raise ValueError(f"config must be one of {', '.join(CONFIGS)}, got {self.config!r}")
        if not self.sources:
            raise ValueError("expected at least one [[sources]] with a folder, got none")
        if self.frames < self.chunk + self.look_ahead[1]:
            raise ValueError(f"frames must be at least chunk + look-ahead, got {self.frames}")


_PARTS: dict[str, Any] = {"schedule": Schedule, "losses": LossWeights, "augmentation": Augmentation}


def read(path: Path) -> Settings:
    """Settings from a TOML file. Raises ValueError naming the file and what is wrong in it."""
    try:
        raw = tomllib.loads(Path(path).read_text())
        raw["sources"] = tuple(_build(Source, s) for s in raw.get("sources", []))
        for name, kind in _PARTS.items():
            raw[name] = _build(kind, raw.get(name, {}))
        return _build(Settings, raw)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _build(kind: Any, values: dict[str, Any]) -> Any:
    known = {f.name for f in dataclasses.fields(kind)}
    if unknown := set(values) - known:
        raise ValueError(f"unknown settings {sorted(unknown)}; known are {sorted(known)}")
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
