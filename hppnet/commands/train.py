"""``hppnet train``: trains a network by a recipe, and goes on where it stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .options import Device

if TYPE_CHECKING:
    from lightning.fabric import Fabric
    from rich.console import Console

    from ..training.settings import TrainingSettings


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A TOML file, or a name: default, maestro, paper.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(metavar="ROOT", help="Folder that the recipe's sources are in.  [default: this one]"),
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
        typer.Option(min=0.1, help="How long: the schedule is stretched to as many steps."),
    ] = None,
) -> None:
    """Train a network by a recipe, or go on training it.

    The same command goes on where it stopped. The run's folder holds everything that resuming needs,
    log.csv and validation.csv, TensorBoard's files, last.safetensors, usable at any time, and
    best.safetensors by validation. When all steps are done, thresholds are chosen on the recordings kept
    back for it: final.safetensors.

    Also started by torchrun, fabric run or srun, for several machines.
    """
    try:
        from ..training import recipe as recipes
        from ..training.launch import fabric_for, launch
        from ..training.prepare.cache import rendering_ahead
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
        _prepare(fabric, wanted)
    except (ValueError, OSError) as error:
        fail(str(error), code=2)
    except KeyboardInterrupt:
        fail("interrupted: what was prepared is kept, the same command goes on", code=130)
    try:
        with rendering_ahead(wanted) if fabric.is_global_zero else nullcontext():
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


def _prepare(fabric: Fabric, settings: TrainingSettings) -> None:
    """Decodes and renders what the first step needs, and names what would stop the training."""
    from ..processes import cores
    from ..training.data.run_files import find_run_files
    from ..training.data.sources import gather
    from ..training.logs import check_tables
    from ..training.loop import check_batches
    from ..training.prepare.cache import decode, estimate, render_first
    from ..training.run import check_saved

    check_batches(settings, fabric)
    if fabric.is_global_zero:
        cache, jobs = Path(settings.cache), cores()
        console = _console()
        with console.status("looking at the data"):
            files = find_run_files(settings)
            check_saved(settings, files.digests)
            check_tables(Path(settings.folder))
            found = estimate(settings, files)
        found.check_disk(cache)
        for line in found.lines(cache, jobs):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        with progress_bar("decoding") as report:
            decode(settings, files, jobs, report)
        with progress_bar("rendering") as report:
            render_first(files, jobs, report)
    gather(settings)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that appears with the first report."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = _console()
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=None)

    def report(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield report
    finally:
        bar.stop()


def _work(fabric: Fabric, settings: TrainingSettings, threads: int) -> int:
    """One process's part; a function of the module, so that it can be spawned.

    Returns the signal that ended it, 0 for none.
    """
    import torch

    from ..training import loop
    from ..training.logs import TrainView
    from ..training.stopping import Interrupted

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


def _finish(settings: TrainingSettings) -> None:
    from ..training.thresholds import finish

    with progress_bar("choosing thresholds") as report:
        path, decoder = finish(settings, lambda what, done, total: report(done, total))
    print(f"{path}: onset {decoder.onset:g}, frame {decoder.frame:g}, offset {decoder.offset:g}")


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)
