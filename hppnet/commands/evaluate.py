"""``hppnet evaluate``: how well a checkpoint, or another program, transcribes what is known."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .evaluate_options import OWN, Options, Refusal, listening, wanted_latency, wanted_soundfont
from .evaluate_report import report
from .evaluate_task import prepare
from .options import Device, Force, InputChannel, Threshold, Track

if TYPE_CHECKING:
    from ..training.evaluation import Outcome
    from .evaluate_task import Task


def evaluate(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Recordings with labels: pairs, prepared data, MAPS, MAESTRO (its test split).",
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", help="hppnet, basic-pitch or transkun; repeat it to compare.  [default: hppnet]"
        ),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="DIR", help="NAME.mid for each recording, made by any program.")
    ] = None,
    streaming: Annotated[bool, typer.Option("--streaming", help="As live would have heard them.")] = False,
    latency: Annotated[
        str | None,
        typer.Option(
            help="With --streaming: ms, or fast, balanced, accurate (132 ms, default). all: F1 against it."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Other weights than those that come with hppnet.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    onset_threshold: Threshold = None,
    frame_threshold: Threshold = None,
    offset_threshold: Threshold = None,
    first_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Only so much of each file, for a quick look.")
    ] = None,
    note_ends: Annotated[
        str | None, typer.Option(metavar="keys|sounding", help="Where the notes of MIDI labels end.")
    ] = None,
    no_piano: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Recordings without piano: false notes a minute. Repeatable."),
    ] = None,
    starts: Annotated[
        int | None, typer.Option(min=1, help="Begin so often amid --no-piano, in place of hearing it whole.")
    ] = None,
    playing: Annotated[
        bool,
        typer.Option(
            "--playing", help="Re-strikes, chords, soft, low and high notes, rendered here, at 4 latencies."
        ),
    ] = False,
    soundfont: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="That plays --playing.  [default: the largest that is installed]"),
    ] = None,
    noise: Annotated[Path | None, typer.Option(metavar="DIR", help="Add background noise.")] = None,
    snr: Annotated[float | None, typer.Option(metavar="DB", help="Of --noise.  [default: 20]")] = None,
    rooms: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Impulse responses, the first arrival at 1 ms.")
    ] = None,
    input_channel: InputChannel = None,
    track: Track = None,
    detune: Annotated[float, typer.Option(metavar="CENTS", help="The piano is so much sharper.")] = 0,
    gain: Annotated[float, typer.Option(metavar="DB", help="The recording is so much louder.")] = 0,
    errors: Annotated[
        bool, typer.Option("--errors", help="Which notes are missed and invented: a table and a picture.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Where to draw --errors or --latency all.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Recordings at once, a process each.")] = 1,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write all scores; - for standard output.")
    ] = None,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each file, and the mean.")
    ] = None,
    force: Force = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show where errors arose.")] = False,
) -> None:
    """Score transcriptions against labels: precision, recall and F1 of notes and frames, by mir_eval.

    The mean is over files. Exit code: 0 done, 1 a file failed and was named, 2 wrong use.
    """
    _check_installed()
    try:
        options = Options(
            data=data,
            models=tuple(models or (() if predictions else (OWN,))),
            predictions=predictions,
            no_piano=tuple(no_piano or ()),
            starts=starts,
            soundfont=wanted_soundfont(soundfont, playing),
            latency=wanted_latency(latency, streaming),
            checkpoint=checkpoint,
            device=device.value,
            thresholds={"onset": onset_threshold, "frame": frame_threshold, "offset": offset_threshold},
            note_ends=note_ends,
            listening=listening(first_seconds, noise, snr, rooms, detune, gain),
            channel=input_channel,
            track=track,
            jobs=jobs,
            errors=errors,
            plot=plot,
            json_file=json_file,
            csv_file=csv_file,
            force=force,
        )
        with TemporaryDirectory() as folder:
            task = prepare(options, Path(folder))
            done = _score(task)
        report(done, task)
    except Refusal as error:
        if verbose:
            raise
        fail(str(error), error.code)
    except KeyboardInterrupt:
        fail("interrupted: nothing was written", code=130)
    raise typer.Exit(1 if any(outcome.error for outcome in done) else 0)


def _check_installed() -> None:
    try:
        importlib.import_module("..training.evaluation", __package__)
    except ModuleNotFoundError as error:
        if error.name not in ("mir_eval", "scipy"):
            raise
        fail(f"evaluate needs {error.name}: pip install 'hppnet[train]'")


def _score(task: Task) -> list[Outcome]:
    """All outcomes, errors and progress being shown on standard error as they come."""
    from rich.console import Console
    from rich.progress import Progress

    from ..training.evaluation import outcomes
    from ..training.hearing import LoadError

    console = Console(stderr=True)
    quiet = not console.is_terminal
    done = list(task.failures)
    _show(done, quiet)
    with Progress(console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task("", total=len(task.pairs) * len(task.programs))
        for name, hear in task.programs.items():
            progress.update(bar, description=name)
            try:
                with closing(hear(task.pairs)) as answers:  # ends the processes, whatever ends the loop
                    for answer in answers:
                        came = list(outcomes(answer, task.options.listening, task.options.errors))
                        progress.advance(bar)
                        _show(came, quiet)
                        done += came
            except LoadError as error:
                raise Refusal(f"{name} cannot be started: {error}", 1) from error
    return done


def _show(came: Sequence[Outcome], quiet: bool) -> None:
    for outcome in came:
        if outcome.error:
            print(f"error: {outcome.error}", file=sys.stderr, flush=True)
        elif quiet and outcome.scores and outcome.scores.onset_50ms:
            f1 = outcome.scores.onset_50ms.f1
            print(f"{outcome.name}: {outcome.run}, onset F1 {f1:.1f} %", file=sys.stderr, flush=True)
