"""``hppnet prepare``: converts data sets to what ``train`` and ``evaluate`` read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import InputChannel, Track
from .prepare_made import label, render
from .prepare_pack import pack
from .prepare_run import Arrays, Ends, Jobs, NoteEnds, Out, Pattern, carry_out, fetch, opener_for, read_as

app = typer.Typer(help="Make 16 kHz sound and note tables of data sets, for train.", no_args_is_help=True)


@app.callback()
def _prepare() -> None:
    """Make 16 kHz mono sound and note tables of data sets, for train and evaluate.

    OUT gets NAME.flac and NAME.tsv of each piece, and prepared.json, the report. The same command goes on
    where it was interrupted. Exit code: 0 done, 1 a piece was skipped and named, 2 wrong use.
    """


@app.command()
def maestro(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with maestro-v3.0.0.csv (or .json).")],
    out: Out,
    note_ends: Ends = NoteEnds.sounding,
    download: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Fetch this zip into DIR and unpack it; goes on where it stopped."),
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="The checksum of the zip; known for the official v3.0.0."),
    ] = None,
    jobs: Jobs = None,
    arrays: Arrays = False,
    pattern: Pattern = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """MAESTRO, split as its table of contents says.

    Makes OUT/train, OUT/validation and OUT/test. The official zip (101 GB; unpacked, another 120 GB) is at
    https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0.zip
    """
    from ..training.prepare.maestro import find_maestro
    from ..training.prepare.report import PreparationPlan

    if sha256 is not None and download is None:
        raise typer.BadParameter("--sha256 goes with --download")
    if download is not None:
        fetch(download, folder, sha256)
    plan = PreparationPlan("maestro", note_ends.value, read_as(input_channel, track))
    carry_out(
        lambda: find_maestro(folder, out, opener_for(input_channel, track)), out, plan, jobs, arrays, pattern
    )


@app.command()
def maps(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with recordings and labels, at any depth.")
    ],
    out: Out,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    pattern: Pattern = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """MAPS: recordings with .tsv, .txt or .mid.

    Beside a .txt, a .mid gives the velocities. From the complete data set, --only 'MAPS_MUS*' takes the
    pieces of music and leaves out single notes and chords. Sounding ends need the .mid.
    """
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.prepare.maps import LABEL_SUFFIXES, read_maps
    from ..training.prepare.pairs import find_pairs
    from ..training.prepare.report import PreparationPlan

    opener = opener_for(input_channel, track)
    plan = PreparationPlan("maps", note_ends.value, read_as(input_channel, track))
    carry_out(
        lambda: find_pairs(folder, out, opener, SOUND_SUFFIXES, LABEL_SUFFIXES, read_maps),
        *(out, plan, jobs, arrays, pattern),
    )


@app.command()
def pairs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder with recordings and MIDI, at any depth.")
    ],
    out: Out,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    pattern: Pattern = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """Any folder of recordings and MIDI files of the same name."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.prepare.pairs import find_pairs
    from ..training.prepare.report import PreparationPlan

    opener = opener_for(input_channel, track)
    plan = PreparationPlan("pairs", note_ends.value, read_as(input_channel, track))
    carry_out(lambda: find_pairs(folder, out, opener, SOUND_SUFFIXES), out, plan, jobs, arrays, pattern)


app.command()(render)
app.command()(label)
app.command()(pack)
