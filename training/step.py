"""One training step: gradients of a batch in parts, clipping, the optimiser, the averaged weights."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..model.config import HEADS
from ..model.network import HPPNet
from .data.dataset import Batch
from .losses import Losses, count_notes, head_losses, pedal_loss
from .run import TrainingRun
from .settings import TrainingSettings
from .teacher import by_excerpt, feature_loss, features_of, moments

PARTS = (*HEADS, "pedal", "features")  #: all losses


@dataclass
class StepClock:
    """Adds up the seconds of each part of a step."""

    settle: Callable[[], None] = lambda: None  #: waits until the device has finished its work
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.settle()
        self.seconds[part] += time.perf_counter() - began


class Whole(NamedTuple):
    """Figures of the whole batch that each part needs, so that the parts' losses add up."""

    excerpts: int  #: number in this process
    notes: Tensor
    pedal_frames: Tensor  #: number of frames in which the pedal is known
    spread: Tensor | None = None  #: ``moments`` of the teacher's features


@dataclass
class Stepper:
    """Takes training steps; holds everything that a step needs besides its batch."""

    fabric: Fabric
    settings: TrainingSettings
    run: TrainingRun
    module: torch.nn.Module  #: the run's network, set up by Fabric
    optimiser: torch.optim.Optimizer  #: the run's optimiser, set up by Fabric
    teacher: HPPNet | None = None
    clock: StepClock = field(default_factory=StepClock)

    def take(self, batch: Batch) -> dict[str, float]:
        """Takes one step on this process's part of a batch.

        Returns losses, gradient norm and learning rate for the log. They are those of the whole batch, and
        the same in all processes.
        """
        run, settings = self.run, self.settings.at(self.run.step)
        how = settings.losses
        look_ahead = draw_look_ahead(settings, run.step)
        frames = taught_frames(settings, look_ahead)
        batch = batch._replace(
            **{name: getattr(batch, name)[:, :frames] for name in ("wanted", "pedal", "ends")}
        )
        batch, whole = self._look_over(batch)
        self.optimiser.zero_grad()
        turns = min(self.settings.accumulate, len(batch.spectra))
        sums = torch.zeros(len(PARTS), device=self.fabric.device)
        for n, shares in enumerate(zip(*(tensor.tensor_split(turns) for tensor in batch), strict=True)):
            part = Batch(*(share.to(self.fabric.device) for share in shares))
            with self.fabric.no_backward_sync(self.module, enabled=n < turns - 1):  # type: ignore[arg-type]
                sums += self._turn(part, look_ahead, whole, settings)
        rate = self.settings.rate(run.step)
        with self.clock("optimiser"):
            norm = self._move(rate)
            run.step += 1
            average(run, self.settings.schedule.keeps(run.step))
        parts = dict(zip(PARTS, self._mean(sums).tolist(), strict=True))
        weights = self._weights(how)
        run.balance.update({head: parts[head] for head in HEADS})
        if run.network.pedal is None:
            del parts["pedal"]
        if self.teacher is None:
            del parts["features"]
        loss = sum(weights[name] * value for name, value in parts.items())
        return {**parts, "loss": loss, "norm": norm, "rate": rate}

    def _weights(self, how: Losses) -> dict[str, float]:
        """The weight of each loss in PARTS."""
        return {**self.run.balance.weights(how), "pedal": how.pedal, "features": how.features}

    def _look_over(self, batch: Batch) -> tuple[Batch, Whole]:
        """The batch, with the teacher's features in ``plain``, and figures of the whole batch.

        The figures are means over the processes, since the gradients are averaged too.
        """
        counts = self._mean(torch.stack([count_notes(batch.wanted), (batch.pedal >= 0).sum()]))
        if self.teacher is None:
            return batch, Whole(len(batch.spectra), counts[0], counts[1])
        with self.clock("forward"), self.fabric.autocast():
            told = features_of(self.teacher, batch.plain.to(self.fabric.device))
        spread = self._mean(moments(told))
        return batch._replace(plain=told), Whole(len(batch.spectra), counts[0], counts[1], spread)

    def _turn(self, part: Batch, look_ahead: int | None, whole: Whole, settings: TrainingSettings) -> Tensor:
        """Adds the gradients of a part of the batch; returns its losses [PARTS], which add up over parts."""
        how = settings.losses
        with self.clock("forward"):
            onsets = (part.wanted[..., 0] > 0) & (part.wanted[..., 3] > 0)
            logits = self.module(part.spectra, look_ahead, settings.chunk, onsets)
            parts = {head: whole.notes.new_zeros(()) for head in PARTS}
            parts |= head_losses(logits, part.wanted, how, whole.notes, part.ends)
            if logits.pedal is not None:
                parts["pedal"] = pedal_loss(logits.pedal, part.pedal, whole.pedal_frames)
            if whole.spread is not None:
                parts["features"] = feature_loss(by_excerpt(logits.features), part.plain, whole.spread)
                parts["features"] *= len(part.spectra) / whole.excerpts
            weights = self._weights(how)
            loss = torch.stack([weights[head] * parts[head] for head in PARTS]).sum()
        with self.clock("backward"):
            self.fabric.backward(loss)
        return torch.stack([parts[head].detach() for head in PARTS])

    def _move(self, rate: float) -> float:
        """Clips the gradient and updates the weights; returns the gradient's norm before clipping."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        clip = self.settings.schedule.clip
        norm = self.fabric.clip_gradients(
            self.module, self.optimiser, max_norm=clip, error_if_nonfinite=False
        )
        assert norm is not None
        # A broken excerpt must not ruin the run. The gradient scaler of fp16 must skip such steps itself.
        if torch.isfinite(norm) or self.settings.precision == "fp16":
            self.optimiser.step()
        return float(norm)

    def _mean(self, value: Tensor) -> Tensor:
        """The mean over processes."""
        return cast(Tensor, self.fabric.all_reduce(value.to(self.fabric.device), reduce_op="mean"))


def draw_look_ahead(settings: TrainingSettings, step: int) -> int | None:
    """The look-ahead R of a step in frames, the same in every process; None for full context."""
    rng = np.random.default_rng([settings.seed, step])
    if rng.random() < settings.full_context:
        return None
    return int(rng.integers(settings.look_ahead[0], settings.look_ahead[1] + 1))


def taught_frames(settings: TrainingSettings, look_ahead: int | None) -> int:
    """How many frames of an excerpt the network predicts: those of whole windows."""
    if look_ahead is None:
        return settings.frames
    return (settings.frames - look_ahead) // settings.chunk * settings.chunk


def average(run: TrainingRun, keeps: float) -> None:
    """Updates the averaged weights, of which the share ``keeps`` stays."""
    run.average.multi_avg_fn = get_ema_multi_avg_fn(keeps)
    run.average.update_parameters(run.network)
