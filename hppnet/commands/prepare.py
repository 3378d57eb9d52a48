"""``hppnet prepare``: data sets as they come become what ``train`` and ``evaluate`` read."""

from __future__ import annotations

import enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..failure import fail
from .options import Checkpoint, InputChannel, Track
from .prepare_label import carry_out_labels
from .prepare_pack import pack
from .prepare_run import carry_out, fetch

if TYPE_CHECKING:
    from ..training.data.rendering import Choices
    from ..training.data.sounds import Opener

app = typer.Typer(help="Make 16 kHz sound and note tables of data sets, for train.", no_args_is_help=True)


class NoteEnds(str, enum.Enum):
    keys = "keys"
    sounding = "sounding"


Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder for the results; what is there is kept.")]
Ends = Annotated[
    NoteEnds, typer.Option(help="Notes end with their keys, or sounding: with the pedal (CC64 >= 64).")
]
Jobs = Annotated[
    int | None, typer.Option(min=1, show_default="one a core", help="Pieces at once, a process each.")
]
Arrays = Annotated[
    bool, typer.Option("--arrays", help="Also features (float16, dB) and targets as .npy, a folder each.")
]
Only = Annotated[str, typer.Option(metavar="PATTERN", help="Only pieces whose name fits (* and ?).")]


app.command()(pack)


@app.callback()
def _prepare() -> None:
    """Make 16 kHz mono sound and note tables of data sets, for hppnet train and hppnet evaluate.

    OUT gets NAME.flac and NAME.tsv of each piece, and prepared.json, the report. The same command goes on
    where it was interrupted. Exit code: 0 done, 1 a piece was skipped and named, 2 wrong use.
    """


@app.command()
def maestro(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With maestro-v3.0.0.csv (or .json).")],
    out: Out,
    note_ends: Ends = NoteEnds.sounding,
    download: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Fetch this zip into DIR and unpack it; goes on where it stopped."),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(metavar="HEX", help="Of the zip; known for the official v3.0.0.")
    ] = None,
    jobs: Jobs = None,
    arrays: Arrays = False,
    only: Only = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """MAESTRO: OUT/train, OUT/validation and OUT/test, as its table of contents says.

    The official archive (101 GB, 120 GB more unpacked) is at
    https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0.zip
    """
    from ..training.prepare.maestro import find_maestro
    from ..training.prepare.report import PreparationPlan

    if sha256 is not None and download is None:
        raise typer.BadParameter("--sha256 goes with --download")
    if download is not None:
        fetch(download, folder, sha256)
    plan = PreparationPlan("maestro", note_ends.value, _read_as(input_channel, track))
    carry_out(lambda: find_maestro(folder, out, _opener(input_channel, track)), out, plan, jobs, arrays, only)


@app.command()
def maps(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With recordings and labels, at any depth.")],
    out: Out,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    only: Only = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """MAPS: recordings with .tsv, .txt (velocities from a .mid beside it) or .mid.

    Of the complete data set, --only 'MAPS_MUS*' takes the pieces of music and leaves single notes and
    chords. Sounding ends need the .mid.
    """
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.prepare.maps import LABEL_SUFFIXES, read_maps
    from ..training.prepare.pairs import find_pairs
    from ..training.prepare.report import PreparationPlan

    opener = _opener(input_channel, track)
    plan = PreparationPlan("maps", note_ends.value, _read_as(input_channel, track))
    carry_out(
        lambda: find_pairs(folder, out, opener, SOUND_SUFFIXES, LABEL_SUFFIXES, read_maps),
        *(out, plan, jobs, arrays, only),
    )


@app.command()
def pairs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With recordings and MIDI, at any depth.")],
    out: Out,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    only: Only = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """Any folder of recordings and MIDI files of the same name."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.prepare.pairs import find_pairs
    from ..training.prepare.report import PreparationPlan

    opener = _opener(input_channel, track)
    plan = PreparationPlan("pairs", note_ends.value, _read_as(input_channel, track))
    carry_out(lambda: find_pairs(folder, out, opener, SOUND_SUFFIXES), out, plan, jobs, arrays, only)


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With MIDI files, at any depth.")],
    out: Out,
    soundfont: Annotated[
        list[str],
        typer.Option(
            metavar="PATH[=WEIGHT]",
            help="A piano (.sf2, .sf3) or a folder of them; repeatable. WEIGHT: how often, against others.",
        ),
    ],
    rooms: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Impulse responses whose first arrival is at 1 ms: reverb."),
    ] = None,
    room_chance: Annotated[float, typer.Option(min=0, max=1, help="How often a room.")] = 0.5,
    restrike_chance: Annotated[
        float, typer.Option(min=0, max=1, help="How often a piece gets repeated notes: to train on.")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of all choices; another gives other sounds.")] = 0,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="As played, in tune, no room, one pedal sound: to measure with."),
    ] = False,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    only: Only = "*",
) -> None:
    """MIDI performances to sound, by FluidSynth: each on a random piano, with its own dynamics, tuning and room.

    What is chosen for a piece depends on --seed and the piece's name alone; prepared.json names it.
    """
    import shutil

    from ..training.prepare.pairs import find_performances
    from ..training.prepare.report import PreparationPlan

    if shutil.which("fluidsynth") is None:
        fail("render needs the program fluidsynth: apt-get install fluidsynth")
    try:
        choices = _choices(soundfont, rooms, room_chance, restrike_chance, seed, plain)
    except ValueError as error:
        fail(str(error), code=2)
    plan = PreparationPlan("render", note_ends.value, choices.settings())
    carry_out(lambda: find_performances(folder, out, choices), out, plan, jobs, arrays, only)


@app.command()
def label(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="With recordings, at any depth.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT", show_default="DIR-labelled", help="For the results."),
    ] = None,
    model: Annotated[str, typer.Option(help="Who labels: hppnet, transkun or basic-pitch.")] = "hppnet",
    checkpoint: Checkpoint = None,
    jobs: Jobs = None,
    arrays: Arrays = False,
    only: Only = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """Recordings without labels: a transcriber says what was played, so that train can adapt to a piano.

    Notes end with their keys, and the pedal is written beside them. Basic Pitch predicts no pedal: its notes
    end with their sound, and prepared.json says so.
    """
    opener, read_as = _opener(input_channel, track), _read_as(input_channel, track)
    carry_out_labels(folder, out, model, checkpoint, opener, read_as, jobs, arrays, only)


def _opener(channel: int | None, track: int | None) -> Opener:
    """Recordings that are cut short are refused: their labels go on."""
    from ..offline.reading import open_saying

    return partial(open_saying, channel=channel, track=track, whole=True)


def _read_as(channel: int | None, track: int | None) -> dict[str, object]:
    """What the report says of it, so that no other choice is mixed into the same folder."""
    chosen = {"input_channel": channel, "track": track}
    return {name: value for name, value in chosen.items() if value is not None}


def _choices(
    soundfonts: list[str],
    rooms: Path | None,
    room_chance: float,
    restrike_chance: float,
    seed: int,
    plain: bool,
) -> Choices:
    """Raises ValueError for files that are not there, weights that are none and what excludes each other."""
    from ..training.data.rendering import Choices
    from ..training.data.sounds import files_in, read_sound

    weights: dict[Path, float] = {}
    for text in soundfonts:
        place, weight = _weighted(text)
        weights |= dict.fromkeys(files_in(place, (".sf2", ".sf3"), "a sound font"), weight)
    if plain and rooms is not None:
        raise ValueError("--plain leaves rooms out: give --plain or --rooms")
    if plain and restrike_chance:
        raise ValueError("--plain repeats no note: give --plain or --restrike-chance")
    responses = () if rooms is None else files_in(rooms, (".flac", ".wav"), "impulse responses")
    if responses:
        read_sound(responses[0])  # now rather than for each piece
    return Choices(
        tuple(weights), tuple(weights.values()), responses, room_chance, restrike_chance, seed, plain
    )


def _weighted(text: str) -> tuple[Path, float]:
    place, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return Path(text), 1.0
    try:
        number = float(weight)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"--soundfont {text}: expected a weight above 0 after the =, got {weight!r}")
    return Path(place), number
