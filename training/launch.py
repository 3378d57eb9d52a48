"""Where training runs: one process or several, on CPUs or GPUs, on one machine or many.

``torchrun``, ``fabric run`` and ``srun`` have already started all processes, which only have to connect.
Otherwise this process starts the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins import MixedPrecision, Precision

T = TypeVar("T")


class Mixed(MixedPrecision):
    """Autocast, and a gradient scaler with fp16, on any device."""

    def convert_input(self, data: Any) -> Any:
        """Leaves spectra unchanged: half precision would round their levels to half a decibel."""
        return data


def fabric_for(precision: str, device: str = "auto", processes: int | None = None) -> Fabric:
    """Fabric for this process, however it was started.

    ``device`` is auto, cpu, cuda or mps. ``processes`` is their number on this machine, by default one per
    GPU, or one. ``precision`` is that of the settings. Raises ValueError for a device or a number of
    processes that is not available.
    """
    device = _device(device)
    plugin = precision_plugin(precision, device)
    if "LT_CLI_USED" in os.environ:  # fabric run passes the other arguments in its own variables
        return Fabric(accelerator=device, plugins=[plugin])
    started = started_by(os.environ)
    if started is not None:
        each, machines = started
        if processes not in (None, each):
            raise ValueError(
                f"the launcher started {each} processes here, got --processes {processes}; leave it out"
            )
        return Fabric(accelerator=device, devices=each, num_nodes=machines, plugins=[plugin])
    if processes is None:
        processes = torch.cuda.device_count() if device == "cuda" else 1
    if device == "cuda" and processes > torch.cuda.device_count():
        raise ValueError(
            f"expected at most {torch.cuda.device_count()} processes, a GPU each, got {processes}"
        )
    if device == "mps" and processes > 1:
        raise ValueError(f"expected one process on mps, got {processes}")
    strategy = "auto" if processes == 1 else "ddp_spawn" if device == "cpu" else "ddp"
    return Fabric(accelerator=device, devices=processes, strategy=strategy, plugins=[plugin])


def _device(device: str) -> str:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, found in there.items() if found)
    if not there[device]:
        raise ValueError(f"expected a device of this machine, it has no {device}; try --device auto")
    return device


def precision_plugin(precision: str, device: str) -> Precision:
    """The plugin for ``precision`` (auto, bf16, fp16 or fp32). The LSTMs always compute in float32."""
    if precision == "auto":
        precision = "bf16" if computes_bf16(device) else "fp32"
    if precision == "fp32":
        return Precision()
    if precision == "bf16":
        return Mixed("bf16-mixed", device)
    # Losses per note start in the hundreds: with the usual 2 ** 16 the first ten steps would be lost.
    return Mixed("16-mixed", device, torch.amp.GradScaler(device, init_scale=2.0**8))


def computes_bf16(device: str) -> bool:
    """Whether a device has instructions for bf16. A CPU without them takes seven times as long."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device != "cpu" or torch.cpu._is_avx512_bf16_supported()


def started_by(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """(processes on this machine, machines), as torchrun or srun set them up; None where neither did."""
    if "TORCHELASTIC_RUN_ID" in environment:
        each = int(environment["LOCAL_WORLD_SIZE"])
        return each, int(environment["WORLD_SIZE"]) // each
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        machines = int(environment.get("SLURM_NNODES", "1"))
        tasks = int(environment["SLURM_NTASKS"])
        return int(environment.get("SLURM_NTASKS_PER_NODE", tasks // machines)), machines
    return None


@dataclass(frozen=True)
class _Leaving(Generic[T]):
    """Does the work of a process, then leaves the process group."""

    work: Callable[[Fabric], T]

    def __call__(self, fabric: Fabric) -> T:
        try:
            return self.work(fabric)
        finally:
            # Otherwise Gloo's threads still run while Python shuts down. A thread that then frees a tensor
            # aborts the process ("terminate called without an active exception").
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()


def launch(fabric: Fabric, work: Callable[[Fabric], T]) -> T:
    """Runs ``work`` in every process; returns the result of the first one.

    Where processes have yet to be started, ``work`` must be picklable.
    """
    leaving = _Leaving(work)
    if "LT_CLI_USED" in os.environ:
        return leaving(fabric)
    result: T = fabric.launch(leaving)
    return result
