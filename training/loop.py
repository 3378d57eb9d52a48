"""The training loop: set up, fit, save. Lightning Fabric places it on one or many processes.

A run interrupted and resumed sees the same excerpts and takes the same steps as one that was not:
what is drawn depends on (seed, step, place) alone, and weights, optimiser and averages are saved
together.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from ..model import checkpoint
from ..model.config import CONFIGS, ModelConfig
from ..model.network import HPPNet
from .dataset import Excerpts, Piece, open_folder
from .kernels import accelerate
from .losses import count_notes, losses
from .settings import Settings

Report = Callable[[int, dict[str, float]], None]


@dataclass
class Run:
    """All that changes while training."""

    network: HPPNet
    average: HPPNet  #: exponential moving average of the weights: what is shipped
    optimiser: torch.optim.Optimizer
    step: int = 0

    def state(self) -> dict[str, object]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }


def train(fabric: Fabric, settings: Settings, report: Report | None = None) -> Path:
    """Trains (or goes on training) as the settings say; returns the newest checkpoint's path."""
    fabric.seed_everything(settings.seed, verbose=False)
    run = _set_up(settings)
    if fabric.device.type == "cpu":
        accelerate(run.network)
    excerpts = _excerpts(settings)
    module, optimiser = fabric.setup(run.network, run.optimiser)
    run.average.to(fabric.device)
    places = _share(settings.batch, fabric)
    began = time.monotonic()
    while run.step < settings.schedule.steps:
        batch = excerpts.batch(settings.seed, run.step, places)
        values = _step(run, fabric, module, optimiser, settings, *(x.to(fabric.device) for x in batch))
        run.step += 1
        _average(run, settings.schedule.ema)
        if report is not None and fabric.is_global_zero:
            report(run.step, {**values, "s": time.monotonic() - began})
        if run.step % settings.save_every == 0 or run.step == settings.schedule.steps:
            if fabric.is_global_zero:
                save(run, settings)
            fabric.barrier()
    return Path(settings.folder) / "last.safetensors"


def _step(
    run: Run,
    fabric: Fabric,
    module: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    settings: Settings,
    spectrum: Tensor,
    wanted: Tensor,
) -> dict[str, float]:
    """One step on a batch [B, T, 352] with targets [B, T, 88, 4]; returns what the log wants to know."""
    for group in optimiser.param_groups:
        group["lr"] = settings.schedule.rate(run.step)
    with torch.autocast(fabric.device.type, torch.bfloat16):
        logits = module(spectrum, _look_ahead(settings, run.step), settings.chunk)
    wanted = wanted[:, : logits.shape[1]]
    notes = cast(Tensor, fabric.all_reduce(count_notes(wanted), reduce_op="mean"))
    loss, parts = losses(logits.float(), wanted, settings.losses, notes)
    optimiser.zero_grad()
    fabric.backward(loss)
    norm = fabric.clip_gradients(module, optimiser, max_norm=settings.schedule.clip, error_if_nonfinite=False)
    if norm is None or torch.isfinite(norm):  # one broken excerpt must not cost the run
        optimiser.step()
    return {**parts, "loss": loss.item(), "norm": float("nan") if norm is None else float(norm)}


def _set_up(settings: Settings) -> Run:
    """A fresh run, or the saved one where the folder holds one."""
    torch.manual_seed(settings.seed)
    network = HPPNet(CONFIGS[settings.config])
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.schedule.learning_rate, weight_decay=settings.schedule.weight_decay
    )
    run = Run(network, copy.deepcopy(network).requires_grad_(False), optimiser)
    saved = Path(settings.folder) / "run.pt"
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.step = state["step"]
    return run


def open_sources(settings: Settings) -> list[tuple[list[Piece], list[Piece]]]:
    """Of each source, the pieces to train on and those kept back."""
    opened = []
    for source in settings.sources:
        pieces = open_folder(Path(source.folder), Path(settings.cache) / Path(source.folder).name)
        opened.append(split(pieces, settings.held_out))
    return opened


def _excerpts(settings: Settings) -> Excerpts:
    sources = [trained for trained, _ in open_sources(settings)]
    return Excerpts(sources, [s.weight for s in settings.sources], settings.frames, settings.augmentation)


def split(pieces: list[Piece], held_out: int) -> tuple[list[Piece], list[Piece]]:
    """Pieces to train on, and every ``held_out``-th, kept back (none with 0)."""
    if not held_out:
        return pieces, []
    kept = [n % held_out == held_out - 1 for n in range(len(pieces))]
    trained = [piece for piece, k in zip(pieces, kept, strict=True) if not k]
    return trained, [piece for piece, k in zip(pieces, kept, strict=True) if k]


def _share(batch: int, fabric: Fabric) -> range:
    """Which places of the global batch this process draws."""
    if batch % fabric.world_size:
        raise ValueError(f"the batch ({batch}) must divide by the number of processes ({fabric.world_size})")
    each = batch // fabric.world_size
    return range(fabric.global_rank * each, (fabric.global_rank + 1) * each)


def _look_ahead(settings: Settings, step: int) -> int | None:
    """R of a step, the same in every process; None for full context."""
    rng = np.random.default_rng([settings.seed, step])
    if rng.random() < settings.full_context:
        return None
    return int(rng.integers(settings.look_ahead[0], settings.look_ahead[1] + 1))


@torch.no_grad()
def _average(run: Run, decay: float) -> None:
    # A young average would be mostly the random start: let it forget faster.
    decay = min(decay, (run.step + 1) / (run.step + 10))
    for mean, now in zip(run.average.parameters(), run.network.parameters(), strict=True):
        mean.lerp_(now, 1 - decay)


def save(run: Run, settings: Settings) -> None:
    """Writes what resuming needs (run.pt) and the averaged weights (last.safetensors), each atomically."""
    folder = Path(settings.folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".run.{os.getpid()}.tmp"
    torch.save(run.state(), temporary)
    os.replace(temporary, folder / "run.pt")
    about = {"step": run.step, "batch": settings.batch, "frames": settings.frames}
    checkpoint.save(folder / "last.safetensors", run.average, ModelConfig(CONFIGS[settings.config]), about)
