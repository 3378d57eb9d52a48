"""``hppnet evaluate``: how well a checkpoint, or another program, transcribes what is known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .options import Device, Force, InputChannel, Threshold, Track, latency_ms
from .reports import check_report, print_figures, write_figures, write_report

if TYPE_CHECKING:
    from ..training.evaluate.options import Options
    from ..training.evaluate.runs import EvaluationOutcome
    from ..training.evaluate.task import EvaluationTask


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
    streaming: Annotated[
        bool, typer.Option("--streaming", help="As live would have transcribed them.")
    ] = False,
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
    snr: Annotated[
        float | None, typer.Option(metavar="DB", help="The level above --noise.  [default: 20]")
    ] = None,
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
    """Score transcriptions against labels, by mir_eval.

    Prints precision, recall and F1 of notes and frames; the mean is over files. Exit code: 0 done, 1 a file
    failed and was named, 2 wrong use.
    """
    try:
        from ..training.evaluate.options import (
            ALL,
            OWN,
            EvaluationRefusal,
            Options,
            listening,
            wanted_soundfont,
        )
        from ..training.evaluate.task import carry_out
    except ModuleNotFoundError as error:
        if error.name not in ("mir_eval", "scipy"):
            raise
        fail(f"evaluate needs {error.name}: pip install 'hppnet[train]'")
    try:
        options = Options(
            data=data,
            models=tuple(models or (() if predictions else (OWN,))),
            predictions=predictions,
            no_piano=tuple(no_piano or ()),
            starts=starts,
            soundfont=wanted_soundfont(soundfont, playing),
            latency=ALL if latency == ALL else latency_ms(latency, streaming),
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
        for kind, path in options.written.items():
            check_report(path, force, kind)
    except (ValueError, EvaluationRefusal) as error:
        if verbose:
            raise
        fail(str(error), error.code if isinstance(error, EvaluationRefusal) else 2)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    try:
        with TemporaryDirectory() as folder:
            task = _task(options, Path(folder))
            done = carry_out(task)
        _report(done, task)
    except EvaluationRefusal as error:
        if verbose:
            raise
        fail(str(error), error.code)
    except KeyboardInterrupt:
        fail("interrupted: nothing was written", code=130)
    raise typer.Exit(1 if any(outcome.error for outcome in done) else 0)


def _task(options: Options, folder: Path) -> EvaluationTask:
    """Recordings that are cut short are refused: their labels go on."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..offline.reading import open_recording, open_saying
    from ..training.evaluate.task import SoundFiles, prepare_task

    whole = partial(open_saying, channel=options.channel, track=options.track, whole=True)
    return prepare_task(options, SoundFiles(SOUND_SUFFIXES, whole, open_recording), folder)


def _report(done: Sequence[EvaluationOutcome], task: EvaluationTask) -> None:
    """Writes and prints everything that was asked for. Raises EvaluationRefusal where a file cannot be."""
    from ..offline.writing import cannot_write
    from ..training.evaluate.options import EvaluationRefusal
    from ..training.evaluate.report import all_figures, as_csv, picture_of, settings
    from ..training.evaluate.runs import runs_of
    from ..training.evaluate.tables import print_tables

    runs, about, options = runs_of(done), settings(task), task.options
    try:
        if options.json_file is not None:
            figures = all_figures(runs, done, about, options.several_runs)
            write_figures(figures, options.json_file, options.force)
            print_figures(figures, options.json_file)
        if options.csv_file is not None:
            rows = as_csv(runs)
            write_report(options.csv_file, lambda part: part.write_text(rows, "utf-8"), options.force, "csv")
        if options.json_file != "-":
            print_tables(runs, about, options.several_runs)
        if options.picture is not None and (draw := picture_of(runs, task)) is not None:
            write_report(options.picture, draw, options.force, "png")
            print(f"picture: {options.picture}", file=sys.stderr)
    except OSError as error:
        raise EvaluationRefusal(cannot_write(error), 1) from None
