"""Learning rates and phases: what changes as a training goes on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from .losses import Losses

SHAPES = ("linear", "cosine")


@dataclass(frozen=True)
class Schedule:
    """Steps and learning rates: a short warm-up, then by its ``shape``.

    linear: a long constant part and a fall to zero over the last ``decay`` steps. The constant part
    may be stopped or lengthened at any time: raise ``steps`` and resume.
    cosine: half a cosine from the warm-up to the last step (Loshchilov and Hutter, "SGDR", ICLR
    2017, without restarts); ``decay`` does not count.
    """

    steps: int = 10_000
    warm_up: int = 200
    shape: str = "linear"
    decay: int = 2_000  #: the last steps, over which a linear rate falls to zero
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    clip: float = 3.0  #: largest norm of the gradient, applied before the step
    ema: float = 0.998  #: of the weights that are saved, a step
    mean_from: int = 0  #: from this step on that average forgets nothing: a plain mean; 0: it always forgets

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}")
        if not 0 <= self.warm_up + (self.decay if self.shape == "linear" else 0) <= self.steps:
            raise ValueError(f"warm_up + decay must be at most steps ({self.steps})")
        if self.learning_rate <= 0 or self.clip <= 0 or not 0 <= self.ema < 1:
            raise ValueError("learning_rate and clip must be positive, ema at least 0 and below 1")
        if not 0 <= self.mean_from <= self.steps:
            raise ValueError(f"mean_from must lie between 0 and steps ({self.steps}), got {self.mean_from}")

    def over(self, steps: int) -> Schedule:
        """The same course over another number of steps."""
        share = steps / self.steps
        return replace(
            self,
            steps=steps,
            warm_up=int(share * self.warm_up),
            decay=int(share * self.decay),
            mean_from=int(share * self.mean_from),
        )

    def keeps(self, step: int) -> float:
        """How much of the averaged weights stays in a step, counted from 1.

        From ``mean_from`` on, 1 / (1 - ema) steps are in them already and each new one counts as much
        (stochastic weight averaging, Izmailov et al., UAI 2018).
        """
        known = min(step, self.mean_from or step)
        # A young average would be mostly the random start: let it forget faster.
        keeps = min(self.ema, (known + 1) / (known + 10))
        return 1 - 1 / (1 / (1 - keeps) + step - known)

    def rate(self, step: int, peak: float | None = None) -> float:
        """The learning rate of a step, counted from 0; ``peak`` in place of ``learning_rate``."""
        up = min(1.0, (step + 1) / max(1, self.warm_up))
        fall = self.decay if self.shape == "linear" else self.steps - self.warm_up
        left = min(1.0, max(0.0, (self.steps - step) / max(1, fall)))
        down = left if self.shape == "linear" else (1 - math.cos(math.pi * left)) / 2
        return (self.learning_rate if peak is None else peak) * min(up, down)


@dataclass(frozen=True)
class Phase:
    """What holds for the steps before ``until``."""

    until: int
    learning_rate: float | None = None  #: in place of the schedule's
    losses: Losses = field(default_factory=Losses)

    def __post_init__(self) -> None:
        if self.until < 1 or (self.learning_rate is not None and self.learning_rate <= 0):
            raise ValueError("a phase's until and learning_rate must be positive")
