"""The training loop: set up, fit, validate, save. Lightning Fabric runs it in one or many processes.

A resumed run sees the same excerpts and takes the same steps as an uninterrupted one: an excerpt depends
only on (seed, step, place in the batch), and the whole state of a run is saved together (run.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from lightning.fabric import Fabric
from torch.utils.data import DataLoader

from ..model.device import keep_memory
from .data.dataset import Batch
from .data.sources import TrainingData, batches, gather, share
from .kernels import accelerate
from .logs import TrainView, Watch
from .run import begin, config_of, save, save_weights
from .settings import TrainingSettings, weights_of
from .step import Stepper
from .stopping import Budget, Interrupted, Request, over, requests
from .teacher import teacher
from .validation import validate


def train(fabric: Fabric, settings: TrainingSettings, watch: Watch | None = None) -> Path:
    """Trains, or resumes training, with these settings; returns the newest checkpoint's path.

    ``watch`` receives the progress, in the first process only. Raises ValueError for folders or a saved run
    that cannot be used, and Interrupted after a signal, once everything has been saved.
    """
    watch = watch if watch is not None and fabric.is_global_zero else Watch()
    check_batches(settings, fabric)
    data = gather(settings)
    stepper = set_up(fabric, settings, data.digests)
    run = stepper.run
    budget = Budget(fabric, 0 if run.steps else settings.minutes, run.step)
    watch.begin(run.step)
    if run.steps:
        settings = _go_by(over(settings, run.steps), stepper, watch)
    coming = iter(_batches(settings, fabric, run.step))
    began = time.monotonic()
    ends = budget.ends(run.step, settings.schedule.steps)
    with requests() as request:
        while not ends:
            with stepper.clock("data"):
                batch = next(coming)
            values = stepper.take(batch)
            watch.step(run.step, {**values, "s": time.monotonic() - began})
            if (plan := budget.plan(run.step, settings)) is not None:
                settings = _go_by(plan, stepper, watch)
                coming = iter(_batches(settings, fabric, run.step))  # the phases have changed
            ends = budget.ends(run.step, settings.schedule.steps)
            if settings.validate_every and (ends or run.step % settings.validate_every == 0):
                _validate(stepper, data, watch)
            asked = _asked(fabric, request)
            if ends or asked or run.step % settings.save_every == 0:
                _save(stepper, data)
            if asked:
                raise Interrupted(asked)
    return Path(settings.folder) / "last.safetensors"


def _batches(settings: TrainingSettings, fabric: Fabric, first: int) -> DataLoader[Batch]:
    pin = fabric.device.type == "cuda"
    return batches(settings, first, pin, fabric.global_rank, fabric.world_size)


def check_batches(settings: TrainingSettings, fabric: Fabric) -> None:
    """Raises ValueError where the batch of any phase cannot be shared among the processes."""
    for end in [1, *(end + 1 for end in settings.phase_ends)]:
        share(settings.at(end - 1).batch, fabric.global_rank, fabric.world_size)


def _go_by(plan: TrainingSettings, stepper: Stepper, watch: Watch) -> TrainingSettings:
    """Makes ``plan`` the settings of the run from here on, and returns it."""
    stepper.settings, stepper.run.steps = plan, plan.schedule.steps
    watch.planned(plan.schedule.steps)
    return plan


def set_up(fabric: Fabric, settings: TrainingSettings, data: Mapping[str, str] | None = None) -> Stepper:
    """The run, new or saved, on its devices and ready for its next step."""
    fabric.seed_everything(settings.seed, verbose=False)
    run, restore_optimiser = begin(settings, data)
    teaches = teacher(weights_of(settings.teacher), settings.sizes) if settings.teacher else None
    device = fabric.device.type
    if device == "cpu":
        keep_memory()
    accelerate(run.network, device, harmonic=not settings.compile)
    if teaches is not None:
        accelerate(teaches, device)
    if settings.compile:
        # Without the LSTMs: their loops over frames would be recompiled for every look-ahead.
        run.network.features = torch.compile(run.network.features)  # type: ignore[method-assign]
    module, optimiser = fabric.setup(run.network, run.optimiser)
    run.average.to(fabric.device)
    restore_optimiser()
    if run.scaler:
        fabric.strategy.precision.load_state_dict(run.scaler)
    if teaches is not None:
        teaches.to(fabric.device)
    return Stepper(fabric, settings, run, module, optimiser, teaches)


def _asked(fabric: Fabric, request: Request) -> int:
    """The signal that any process received, or 0: all processes must end after the same step."""
    if fabric.world_size == 1:
        return request.signal_number
    asked = torch.tensor(request.signal_number, device=fabric.device)
    return int(cast(torch.Tensor, fabric.all_reduce(asked, reduce_op="max")))


def _validate(stepper: Stepper, data: TrainingData, watch: Watch) -> None:
    """Validates in the first process; the others wait."""
    run, settings = stepper.run, stepper.settings
    if stepper.fabric.is_global_zero and (kept := data.kept):
        config = config_of(settings, data.note_ends)
        found = validate(run.averaged, config, kept, settings.validate_s, watch.validating)
        watch.validated(run.step, found.values, found.picture)
        if found.f1 > run.best:
            run.best = found.f1
            path = Path(settings.folder) / "best.safetensors"
            save_weights(path, run, settings, data.note_ends, figures=found.values)
    stepper.fabric.barrier()


def _save(stepper: Stepper, data: TrainingData) -> None:
    if stepper.fabric.is_global_zero:
        stepper.run.scaler = stepper.fabric.strategy.precision.state_dict()
        save(stepper.run, stepper.settings, data.note_ends)
    stepper.fabric.barrier()


def train_in_process(fabric: Fabric, settings: TrainingSettings, threads: int) -> int:
    """Trains in one process; a module-level function, so that it can be spawned.

    Returns the signal that ended the training, or 0.
    """

    torch.set_num_threads(threads)
    with TrainView(settings, visible=fabric.is_global_zero) as view:
        try:
            train(fabric, settings, view)
        except Interrupted as error:
            return error.signal_number
    return 0
