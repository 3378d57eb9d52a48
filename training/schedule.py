"""Steps, learning rates and phases: the course of a training run.

Numbers of steps may be given as shares: ``0.3`` is three tenths of all steps, ``300`` is 300 steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .data.augmentation import Augmentation
from .losses import Losses

SHAPES = ("linear", "cosine")


def count(value: float, steps: int) -> int:
    """A number of steps; ``value`` below 1 is a share of ``steps``."""
    return int(value) if value >= 1 else round(value * steps)


@dataclass(frozen=True)
class Schedule:
    """The number of steps and the learning rate: a short warm-up, then a course of a given ``shape``.

    linear: a long constant part and a linear fall to zero over the last ``decay`` steps.
    cosine: half a cosine from the warm-up to the last step (Loshchilov and Hutter, "SGDR", ICLR
    2017, without restarts); ``decay`` is ignored.
    """

    steps: int = 10_000
    warm_up: float = 200  #: steps (or share, if below 1) over which the rate rises
    shape: str = "linear"
    decay: float = 2_000  #: last steps (or share) over which a linear rate falls to zero
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    clip: float = 3.0  #: largest norm of the gradient; above it the gradient is clipped
    ema: float = 0.998  #: share of the averaged weights (the checkpoint's) that stays at each step
    mean_from: float = 0  #: step (or share) from which on the average is a plain mean; 0: never

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}")
        if self.steps < 1 or min(self.warm_up, self.decay) < 0:
            raise ValueError("steps must be at least 1, warm_up and decay must not be negative")
        falls = count(self.decay, self.steps) if self.shape == "linear" else 0
        if count(self.warm_up, self.steps) + falls > self.steps:
            raise ValueError(f"warm_up + decay must be at most steps ({self.steps})")
        if self.learning_rate <= 0 or self.clip <= 0 or not 0 <= self.ema < 1:
            raise ValueError("learning_rate and clip must be positive, ema at least 0 and below 1")
        if not 0 <= self.mean_from <= self.steps:
            raise ValueError(f"mean_from must lie between 0 and steps ({self.steps}), got {self.mean_from}")

    def over(self, steps: int) -> Schedule:
        """This schedule, stretched to another number of steps."""

        def scaled(value: float) -> float:
            return value if value < 1 else int(value * steps / self.steps)

        return replace(
            self,
            steps=steps,
            warm_up=scaled(self.warm_up),
            decay=scaled(self.decay),
            mean_from=max(scaled(self.mean_from), min(self.mean_from, 1)),  # not 0, which means never
        )

    def keeps(self, step: int) -> float:
        """The share of the averaged weights that stays at a step, counted from 1.

        From ``mean_from`` on, the average so far counts as 1 / (1 - ema) steps, and each new step as one
        (stochastic weight averaging, Izmailov et al., UAI 2018).
        """
        known = min(step, max(1, count(self.mean_from, self.steps))) if self.mean_from else step
        # An early average would be mostly the random initial weights: it must decay faster.
        keeps = min(self.ema, (known + 1) / (known + 10))
        return 1 - 1 / (1 / (1 - keeps) + step - known)

    def rate(self, step: int, peak: float | None = None) -> float:
        """The learning rate of a step, counted from 0; ``peak`` replaces ``learning_rate``."""
        warm_up = count(self.warm_up, self.steps)
        up = min(1.0, (step + 1) / max(1, warm_up))
        fall = count(self.decay, self.steps) if self.shape == "linear" else self.steps - warm_up
        left = min(1.0, max(0.0, (self.steps - step) / max(1, fall)))
        down = left if self.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
        return (self.learning_rate if peak is None else peak) * min(up, down)


@dataclass(frozen=True)
class Phase:
    """Settings that replace those of the run for a number of steps; None keeps the run's setting."""

    steps: float  #: number of steps, or a share of all if below 1
    learning_rate: float | None = None
    batch: int | None = None
    frames: int | None = None
    chunk: int | None = None
    full_context: float | None = None
    look_ahead: tuple[int, int] | None = None
    weights: tuple[tuple[str, float], ...] | None = None  #: sources' weights, by name; 0 leaves a source out
    losses: Losses | None = None
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        if self.steps <= 0 or (self.learning_rate is not None and self.learning_rate <= 0):
            raise ValueError("a phase's steps and learning_rate must be positive")

    def changes(self) -> dict[str, object]:
        """The settings that this phase replaces, apart from its rate and the sources' weights."""
        names = ("batch", "frames", "chunk", "full_context", "look_ahead", "losses", "augmentation")
        return {name: value for name in names if (value := getattr(self, name)) is not None}
