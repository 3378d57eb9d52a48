"""``hppnet train``: teaches a network what a settings file says, and goes on where it stopped."""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .options import Device

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from ..training.settings import Settings


def train(
    settings_file: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train on, and how.")],
    processes: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes here that share each batch.  [default: one, or one for each GPU]"
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="How long: the schedule is stretched to as many steps."),
    ] = None,
) -> None:
    """Train a network, or go on training it.

    The run's folder holds everything that resuming needs, log.csv and validation.csv, TensorBoard's files,
    last.safetensors, usable at any time, and best.safetensors by validation. When all steps are done,
    thresholds are chosen on the recordings kept back for it: final.safetensors.

    Also started by torchrun, fabric run or srun, for several machines.
    """
    try:
        from ..training import settings
        from ..training.interruption import Interrupted
        from ..training.launch import fabric_for, launch
    except ModuleNotFoundError as error:
        fail(f"train needs {error.name}: pip install 'hppnet[train]'")
    try:
        wanted = settings.read(settings_file)
        if minutes is not None:
            wanted = replace(wanted, minutes=minutes)
        fabric = fabric_for(wanted.precision, device.value, processes)
        _check(fabric, wanted)
    except (ValueError, OSError) as error:
        fail(str(error), code=2)
    try:
        signal_number = launch(fabric, partial(_work, settings=wanted, threads=threads))
        if signal_number:
            raise Interrupted(signal_number)
        if fabric.is_global_zero:
            _finish(wanted)
    except (KeyboardInterrupt, Interrupted) as error:
        code = 128 + getattr(error, "signal_number", signal.SIGINT)
        fail(f"interrupted: the same command goes on from the last save in {wanted.folder}", code=code)
    except (ValueError, OSError, RuntimeError) as error:
        fail(_last_line(error))
    except Exception as error:
        if type(error).__name__ not in ("ProcessRaisedException", "ProcessExitedException"):
            raise
        fail(_last_line(error))


def _check(fabric: Fabric, settings: Settings) -> None:
    """What would stop the training is named before processes are started."""
    from rich.console import Console

    from ..training.loop import share
    from ..training.sources import gather

    share(settings.batch, fabric)
    with Console(stderr=True, quiet=not fabric.is_global_zero).status("opening the recordings"):
        gather(settings)


def _work(fabric: Fabric, settings: Settings, threads: int) -> int:
    """One process's part; a function of the module, so that it can be spawned.

    Returns the signal that ended it, 0 for none.
    """
    import torch

    from ..training import loop
    from ..training.interruption import Interrupted
    from ..training.view import TrainView

    torch.set_num_threads(threads)
    with TrainView(settings, visible=fabric.is_global_zero) as view:
        try:
            loop.train(fabric, settings, view)
        except Interrupted as error:
            return error.signal_number
    return 0


def _last_line(error: Exception) -> str:
    """An error in one line; of another process's traceback the last one, without the error's type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    kind, _, said = lines[-1].partition(": ")
    return said if kind.endswith("Error") and kind.isidentifier() else lines[-1]


def _finish(settings: Settings) -> None:
    from rich.console import Console

    from ..training.thresholds import finish

    with Console(stderr=True).status("choosing thresholds on the recordings kept back"):
        path, decoder = finish(settings)
    print(f"{path}: onset {decoder.onset:g}, frame {decoder.frame:g}, offset {decoder.offset:g}")
