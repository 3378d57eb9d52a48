"""One training step: a batch in turns, its gradients clipped, the weights moved, the average after them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from ..model.config import HEADS
from .losses import Losses, count_notes, head_losses
from .run import Run
from .settings import Settings


@dataclass
class Clock:
    """Adds up the seconds of each part of a step."""

    settle: Callable[[], None] = lambda: None  #: waits for a device that works on by itself
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.settle()
        self.seconds[part] += time.perf_counter() - began


@dataclass
class Stepper:
    """All that a step needs beside its batch."""

    fabric: Fabric
    settings: Settings
    run: Run
    module: torch.nn.Module  #: the run's network, as Fabric has set it up
    optimiser: torch.optim.Optimizer  #: the run's, likewise
    clock: Clock = field(default_factory=Clock)

    def take(self, spectrum: Tensor, wanted: Tensor) -> dict[str, float]:
        """One step on this process's part [B, T, 352] of a batch with targets [B, T, 88, 4].

        Returns what the log wants to know, of the whole batch: the same in all processes.
        """
        run, how = self.run, self.settings.losses_at(self.run.step)
        look_ahead = draw_look_ahead(self.settings, run.step)
        wanted = wanted[:, : taught_frames(self.settings, look_ahead)]
        # The mean over processes, since their gradients are averaged too.
        notes = self._mean(count_notes(wanted))
        self.optimiser.zero_grad()
        turns = min(self.settings.accumulate, len(spectrum))
        sums = torch.zeros(len(HEADS), device=self.fabric.device)
        for n, (part, targets) in enumerate(
            zip(spectrum.tensor_split(turns), wanted.tensor_split(turns), strict=True)
        ):
            with self.fabric.no_backward_sync(self.module, enabled=n < turns - 1):  # type: ignore[arg-type]
                sums += self._turn(part, targets, look_ahead, notes, how)
        rate = self.settings.rate(run.step)
        with self.clock("optimiser"):
            norm = self._move(rate)
            run.step += 1
            average(run, self.settings.schedule.ema)
        parts = dict(zip(HEADS, self._mean(sums).tolist(), strict=True))
        loss = sum(weight * parts[head] for head, weight in run.balance.weights(how).items())
        run.balance.update(parts)
        return {**parts, "loss": loss, "norm": norm, "rate": rate}

    def _turn(
        self, spectrum: Tensor, wanted: Tensor, look_ahead: int | None, notes: Tensor, how: Losses
    ) -> Tensor:
        """Gradients of a part of the batch; its losses [H], of which the parts' sum is the whole's."""
        device = self.fabric.device
        with self.clock("forward"):
            logits = self.module(spectrum.to(device), look_ahead, self.settings.chunk)
            parts = head_losses(logits.float(), wanted.to(device), how, notes)
            weights = self.run.balance.weights(how)
            loss = torch.stack([weights[head] * parts[head] for head in HEADS]).sum()
        with self.clock("backward"):
            self.fabric.backward(loss)
        return torch.stack([parts[head].detach() for head in HEADS])

    def _move(self, rate: float) -> float:
        """Clips, then moves the weights; returns the gradient's norm before clipping."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        clip = self.settings.schedule.clip
        norm = self.fabric.clip_gradients(
            self.module, self.optimiser, max_norm=clip, error_if_nonfinite=False
        )
        assert norm is not None
        # One broken excerpt must not cost the run. A gradient scaler finds such steps itself, and has to.
        if torch.isfinite(norm) or self.settings.precision == "fp16":
            self.optimiser.step()
        return float(norm)

    def _mean(self, value: Tensor) -> Tensor:
        """The mean over processes."""
        return cast(Tensor, self.fabric.all_reduce(value.to(self.fabric.device), reduce_op="mean"))


def draw_look_ahead(settings: Settings, step: int) -> int | None:
    """R of a step, the same in every process; None for full context."""
    rng = np.random.default_rng([settings.seed, step])
    if rng.random() < settings.full_context:
        return None
    return int(rng.integers(settings.look_ahead[0], settings.look_ahead[1] + 1))


def taught_frames(settings: Settings, look_ahead: int | None) -> int:
    """How many frames of an excerpt the network judges: those of whole windows."""
    if look_ahead is None:
        return settings.frames
    return (settings.frames - look_ahead) // settings.chunk * settings.chunk


@torch.no_grad()
def average(run: Run, decay: float) -> None:
    """Lets the averaged weights follow; ``run.step`` counts the step that was just taken."""
    # A young average would be mostly the random start: let it forget faster.
    decay = min(decay, (run.step + 1) / (run.step + 10))
    for mean, now in zip(run.average.parameters(), run.network.parameters(), strict=True):
        mean.lerp_(now, 1 - decay)
