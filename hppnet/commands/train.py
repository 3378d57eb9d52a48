"""``hppnet train``: trains a network by a recipe, and goes on where it stopped."""

from __future__ import annotations

import signal
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .options import Device

if TYPE_CHECKING:
    from ..training.settings import TrainingSettings


def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE", help="A TOML file, or a name: default, further, maestro, paper."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT", help="Folder that the recipe's sources are in.  [default: the current one]"
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For checkpoints and logs.  [default: runs/RECIPE]")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For decoded and rendered sound.  [default: the platform's cache]"),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting: schedule.steps=30; repeatable."),
    ] = None,
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
        typer.Option(min=0.1, help="Train for this long: the schedule is stretched to as many steps."),
    ] = None,
) -> None:
    """Train a network by a recipe, or go on training it.

    The same command goes on where it stopped. The run's folder holds everything that resuming needs,
    log.csv and validation.csv, TensorBoard's files, last.safetensors, usable at any time, and
    best.safetensors by validation. When all steps are done, thresholds are chosen on the recordings kept
    back for it, and where notes end is learned: final.safetensors.

    Also started by torchrun, fabric run or srun, for several machines.
    """
    try:
        from ..training import recipe as recipes
        from ..training.launch import fabric_for, launch
        from ..training.loop import train_in_process
        from ..training.prepare.cache import make_ready, rendering_ahead
        from ..training.prepare.packed import unpack
        from ..training.stopping import Interrupted
    except ModuleNotFoundError as error:
        fail(f"train needs {error.name}: pip install 'hppnet[train]'")
    try:
        wanted = recipes.read(recipe, data=data, sets=sets or [], folder=folder, cache=cache)
        if data is not None:
            wanted = replace(wanted, data=str(unpack(data, Path(wanted.cache))))
        if minutes is not None:
            wanted = replace(wanted, minutes=minutes)
        fabric = fabric_for(wanted.precision, device.value, processes)
        make_ready(fabric, wanted)
    except (ValueError, OSError) as error:
        fail(str(error), code=2)
    except KeyboardInterrupt:
        fail("interrupted: what was prepared is kept, the same command goes on", code=130)
    try:
        with rendering_ahead(wanted) if fabric.is_global_zero else nullcontext():
            signal_number = launch(fabric, partial(train_in_process, settings=wanted, threads=threads))
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


def _last_line(error: Exception) -> str:
    """An error in one line: the last line of another process's traceback, without the error's type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    kind, _, said = lines[-1].partition(": ")
    return said if kind.endswith("Error") and kind.isidentifier() else lines[-1]


def _finish(settings: TrainingSettings) -> None:
    from ..training.logs import progress_bar
    from ..training.thresholds import finish

    with progress_bar("choosing thresholds") as report:
        path, decoder = finish(settings, lambda what, done, total: report(done, total, what))
    onset = f"onset {decoder.onset:g} (without look-ahead {decoder.onset_soonest:g})"
    print(f"{path}: {onset}, frame {decoder.frame:g}, offset {decoder.offset:g}")
