"""``hppnet evaluate``: scores a checkpoint, or another program, on recordings with labels."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from ..failure import fail
from .evaluate_report import task_of, write_and_print
from .options import Device, EndThreshold, Force, InputChannel, Threshold, Track, latency_ms
from .reports import check_report


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
        typer.Option("--model", help="hppnet, basic-pitch or transkun; repeatable.  [default: hppnet]"),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Score DIR/NAME.mid for each recording, by any program."),
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Transcribe as live does, with limited look-ahead.")
    ] = False,
    latency: Annotated[
        str | None,
        typer.Option(
            help="With --streaming: ms, fast, balanced or accurate (default). all: compare every latency."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Other weights than those that come with hppnet.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    onset_threshold: Threshold = None,
    frame_threshold: EndThreshold = None,
    offset_threshold: EndThreshold = None,
    first_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Evaluate only this many seconds of each file.")
    ] = None,
    note_ends: Annotated[
        str | None, typer.Option(metavar="keys|sounding", help="Where the notes of MIDI labels end.")
    ] = None,
    no_piano: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH", help="Recordings without piano, to count false notes a minute; repeatable."
        ),
    ] = None,
    starts: Annotated[
        int | None,
        typer.Option(min=1, help="Take this many short excerpts of --no-piano, not whole recordings."),
    ] = None,
    playing: Annotated[
        bool,
        typer.Option(
            "--playing", help="Test phrases made here: re-strikes, chords, soft, low and high notes."
        ),
    ] = False,
    soundfont: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Sound font for --playing.  [default: the largest one installed]"),
    ] = None,
    noise: Annotated[Path | None, typer.Option(metavar="DIR", help="Add background noise.")] = None,
    snr: Annotated[
        float | None, typer.Option(metavar="DB", help="Level of the recording above --noise.  [default: 20]")
    ] = None,
    rooms: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Add rooms: impulse responses, first arrival at 1 ms.")
    ] = None,
    input_channel: InputChannel = None,
    track: Track = None,
    detune: Annotated[float, typer.Option(metavar="CENTS", help="Raise the pitch by this much.")] = 0,
    gain: Annotated[float, typer.Option(metavar="DB", help="Raise the level by this much.")] = 0,
    errors: Annotated[
        bool,
        typer.Option("--errors", help="Show which notes are missed and invented: a table and a picture."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="File for the picture of --errors or --latency all."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Recordings to transcribe at once, each in a process.")
    ] = 1,
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
        from ..training.evaluate import options as evaluation
        from ..training.evaluate.task import carry_out
    except ModuleNotFoundError as error:
        if error.name not in ("mir_eval", "scipy"):
            raise
        fail(f"evaluate needs {error.name}: pip install 'hppnet[train]'")
    try:
        options = evaluation.Options(
            data=data,
            models=tuple(models or (() if predictions else (evaluation.OWN,))),
            predictions=predictions,
            no_piano=tuple(no_piano or ()),
            starts=starts,
            soundfont=evaluation.wanted_soundfont(soundfont, playing),
            latency=evaluation.ALL if latency == evaluation.ALL else latency_ms(latency, streaming),
            checkpoint=checkpoint,
            device=device.value,
            thresholds={"onset": onset_threshold, "frame": frame_threshold, "offset": offset_threshold},
            note_ends=note_ends,
            listening=evaluation.listening(first_seconds, noise, snr, rooms, detune, gain),
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
    except (ValueError, evaluation.EvaluationRefusal) as error:
        if verbose:
            raise
        fail(str(error), error.code if isinstance(error, evaluation.EvaluationRefusal) else 2)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    try:
        with TemporaryDirectory() as folder:
            task = task_of(options, Path(folder))
            done = carry_out(task)
        write_and_print(done, task)
    except evaluation.EvaluationRefusal as error:
        if verbose:
            raise
        fail(str(error), error.code)
    except KeyboardInterrupt:
        fail("interrupted: nothing was written", code=130)
    raise typer.Exit(1 if any(outcome.error for outcome in done) else 0)
