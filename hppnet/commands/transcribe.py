"""``hppnet transcribe``: recordings in, MIDI files out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    Checkpoint,
    ComputeDevice,
    Device,
    EndThreshold,
    Force,
    InputChannel,
    Jobs,
    NoteEnds,
    Threshold,
    Track,
    Tuning,
    able_to_draw,
    latency_ms,
    renamed_option,
    tuning_setting,
    wrong_use,
)


def transcribe(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...", help="Files, folders, quoted patterns, URLs; - reads standard input."
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            *("-o", "--output"),
            help="A folder, also by URL, or FILE.mid for one recording; - writes to standard output.",
        ),
    ] = None,
    list_file: Annotated[
        str | None,
        typer.Option(
            "--list", metavar="FILE", help="Recordings, one a line, or a CSV; - reads standard input."
        ),
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Any of mid,csv,json,jsonl (events); default: mid.")
    ] = None,
    plot: Annotated[
        bool,
        typer.Option("--plot", help="Also a piano roll (PNG) with probabilities.", callback=able_to_draw),
    ] = False,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Transcribe as live does, with limited look-ahead.")
    ] = False,
    latency: Annotated[
        str | None,
        typer.Option(help="With --streaming: ms or fast, balanced, accurate; default: accurate (132 ms)."),
    ] = None,
    tuning: Tuning = None,
    input_channel: InputChannel = None,
    track: Track = None,
    checkpoint: Checkpoint = None,
    device: ComputeDevice = Device.auto,
    note_ends: NoteEnds = "keys",
    _offsets: Annotated[str | None, renamed_option("--offsets", "--note-ends")] = None,
    onset_threshold: Threshold = None,
    frame_threshold: EndThreshold = None,
    offset_threshold: EndThreshold = None,
    jobs: Jobs = None,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Recordings in one batch; default: by the GPU's memory, 1 without."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local[:N]", help="Use the workers of a Dask scheduler, or N on this machine."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N|slurm", help="Only part I of N, for job arrays.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="What was done, as CSV; default: manifest.csv in the folder of -o.")
    ] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip recordings whose outputs are up to date.")
    ] = False,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the notes as a table.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show where errors arose.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Write down recordings as MIDI, beside each or under -o.

    One bad file does not stop the others. Exit code: 0 done, 1 a file failed, 2 wrong use, 130 Ctrl-C.
    """
    from ..offline import run
    from ..offline.places import place_of
    from ..offline.plan import parse_shard
    from ..offline.request import TranscribeRequest, check_options, check_pipes, piped
    from ..offline.settings import Settings

    with wrong_use():
        settings = Settings(
            checkpoint=None if checkpoint is None else str(checkpoint),
            device=device.value,
            latency_ms=latency_ms(latency, streaming),
            tuning=tuning_setting(tuning),
            onset_threshold=onset_threshold,
            frame_threshold=frame_threshold,
            offset_threshold=offset_threshold,
            note_ends=note_ends,
            channel=input_channel,
            track=track,
            picture=plot,
            keep_notes=show,
            batch=batch,
        )
        check_options(paths, list_file, cluster, jobs, batch, streaming, force and skip_existing)
        check_pipes(paths or [], output, formats, plot, cluster)
    with piped(paths or [], output, formats) as (arguments, place, pipes):
        with wrong_use():
            request = TranscribeRequest(
                settings,
                arguments=arguments,
                list_file=list_file,
                output=None if place is None else place_of(place),
                formats=formats,
                shard=None if shard is None else parse_shard(shard),
                manifest=manifest,
                skip_existing=skip_existing,
                processes=jobs,
                cluster=cluster,
                force=force,
                pipes=pipes,
            )
            request.find(quiet=quiet)
        if dry_run:
            code = run.dry_run(request)
        else:
            code = run.transcribe_all(request, show=show, verbose=verbose, quiet=quiet)
    raise typer.Exit(code)
