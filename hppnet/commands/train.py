"""``hppnet train``: teaches a network what a settings file says, and goes on where it stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail

if TYPE_CHECKING:
    from lightning.fabric import Fabric

    from ..training.settings import Settings


def train(
    settings_file: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train on, and how.")],
    processes: Annotated[int, typer.Option(min=1, help="CPU processes that share each batch.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
) -> None:
    """Train a network, or go on training it.

    The run's folder holds everything that resuming needs, log.csv, and last.safetensors, usable at
    any time. When all steps are done, thresholds are chosen on the recordings kept back for it:
    final.safetensors.
    """
    try:
        from lightning.fabric import Fabric

        from ..training import settings
    except ModuleNotFoundError as error:
        fail(f"train needs {error.name}: pip install 'hppnet[train]'")
    try:
        wanted = settings.read(settings_file)
    except ValueError as error:
        fail(str(error), code=2)
    many = processes > 1
    fabric = Fabric(
        accelerator="cpu" if many else "auto", devices=processes, strategy="ddp_spawn" if many else "auto"
    )
    try:
        fabric.launch(partial(_work, settings=wanted, threads=threads))
        if fabric.is_global_zero:
            _finish(wanted)
    except (ValueError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail(f"interrupted: the same command goes on from the last save in {wanted.folder}", code=130)


def _work(fabric: Fabric, settings: Settings, threads: int) -> None:
    """One process's part; a function of the module, so that it can be spawned."""
    import torch
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ..training import loop
    from ..training.log import CsvLog

    torch.set_num_threads(threads)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not fabric.is_global_zero) as bar:
        task = bar.add_task("training", total=settings.schedule.steps)
        log = CsvLog(Path(settings.folder) / "log.csv")

        def report(step: int, values: dict[str, float]) -> None:
            log(step, values)
            bar.update(task, completed=step, description=f"onset loss {values['onset']:.2f}")

        loop.train(fabric, settings, report)


def _finish(settings: Settings) -> None:
    from rich.console import Console

    from ..training.thresholds import finish

    with Console(stderr=True).status("choosing thresholds on the recordings kept back"):
        path, decoder = finish(settings)
    print(f"{path}: onset {decoder.onset:g}, frame {decoder.frame:g}, offset {decoder.offset:g}")
