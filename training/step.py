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
from .losses import Losses, count_notes, head_losses, pedal_loss
from .run import Run
from .settings import Settings

PARTS = (*HEADS, "pedal")  #: what has a loss of its own


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

    def take(self, spectrum: Tensor, wanted: Tensor, pedal: Tensor) -> dict[str, float]:
        """One step on this process's part [B, T, 352] of a batch: targets [B, T, 88, 4], the pedal's [B, T].

        Returns what the log wants to know, of the whole batch: the same in all processes.
        """
        run, how = self.run, self.settings.losses_at(self.run.step)
        look_ahead = draw_look_ahead(self.settings, run.step)
        frames = taught_frames(self.settings, look_ahead)
        wanted, pedal = wanted[:, :frames], pedal[:, :frames]
        # The mean over processes, since their gradients are averaged too.
        counts = self._mean(torch.stack([count_notes(wanted), (pedal >= 0).sum()]))
        self.optimiser.zero_grad()
        turns = min(self.settings.accumulate, len(spectrum))
        sums = torch.zeros(len(PARTS), device=self.fabric.device)
        shares = (whole.tensor_split(turns) for whole in (spectrum, wanted, pedal))
        for n, (part, targets, pressed) in enumerate(zip(*shares, strict=True)):
            with self.fabric.no_backward_sync(self.module, enabled=n < turns - 1):  # type: ignore[arg-type]
                sums += self._turn(part, targets, pressed, look_ahead, counts, how)
        rate = self.settings.rate(run.step)
        with self.clock("optimiser"):
            norm = self._move(rate)
            run.step += 1
            average(run, self.settings.schedule.keeps(run.step))
        parts = dict(zip(PARTS, self._mean(sums).tolist(), strict=True))
        pedal_part = parts.pop("pedal")
        loss = sum(weight * parts[head] for head, weight in run.balance.weights(how).items())
        run.balance.update(parts)
        if self.run.network.pedal is not None:
            parts["pedal"] = pedal_part
        return {**parts, "loss": loss + how.pedal * pedal_part, "norm": norm, "rate": rate}

    def _turn(
        self,
        spectrum: Tensor,
        wanted: Tensor,
        pedal: Tensor,
        look_ahead: int | None,
        counts: Tensor,
        how: Losses,
    ) -> Tensor:
        """Gradients of a part of the batch; its losses [PARTS], of which the parts' sum is the whole's."""
        device, settings = self.fabric.device, self.settings
        with self.clock("forward"):
            judged = self.module(spectrum.to(device), look_ahead, settings.chunk, settings.pedal_only)
            parts = {head: counts.new_zeros(()) for head in PARTS}
            if not settings.pedal_only:
                parts |= head_losses(judged.keys.float(), wanted.to(device), how, counts[0])
            if judged.pedal is not None:
                parts["pedal"] = pedal_loss(judged.pedal, pedal.to(device), counts[1])
            weights = {**self.run.balance.weights(how), "pedal": how.pedal}
            loss = torch.stack([weights[head] * parts[head] for head in PARTS]).sum()
        with self.clock("backward"):
            self.fabric.backward(loss)
        return torch.stack([parts[head].detach() for head in PARTS])

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
def average(run: Run, keeps: float) -> None:
    """Lets the averaged weights follow."""
    for mean, now in zip(run.average.parameters(), run.network.parameters(), strict=True):
        mean.lerp_(now, 1 - keeps)
