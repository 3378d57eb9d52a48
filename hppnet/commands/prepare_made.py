"""``hppnet prepare render`` and ``label``: render MIDI to sound, label sound."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..failure import fail
from .options import Checkpoint, InputChannel, Track
from .prepare_run import Arrays, Ends, Jobs, NoteEnds, Out, Pattern, carry_out, opener_for, read_as


def render(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with MIDI files, at any depth.")],
    out: Out,
    soundfont: Annotated[
        list[str],
        typer.Option(
            metavar="PATH[=WEIGHT]",
            help="A piano (.sf2, .sf3) or a folder of them; repeatable. WEIGHT: its share of the pieces.",
        ),
    ],
    rooms: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Impulse responses whose first arrival is at 1 ms: reverb."),
    ] = None,
    room_chance: Annotated[float, typer.Option(min=0, max=1, help="Chance that a piece gets a room.")] = 0.5,
    restrike_chance: Annotated[
        float, typer.Option(min=0, max=1, help="Chance that a piece gets repeated notes, for training.")
    ] = 0.0,
    seed: Annotated[
        int, typer.Option(min=0, help="The seed of all choices; another gives other sounds.")
    ] = 0,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="For measuring: as played, in tune, without room, with one pedal sound."
        ),
    ] = False,
    note_ends: Ends = NoteEnds.keys,
    jobs: Jobs = None,
    arrays: Arrays = False,
    pattern: Pattern = "*",
) -> None:
    """MIDI performances to sound, by FluidSynth.

    Each gets a piano, dynamics, tuning and room of its own. What is chosen for a piece depends on --seed and
    the piece's name alone; prepared.json names it.
    """
    import shutil

    from ..training.data.rendering import choices_of
    from ..training.prepare.pairs import find_performances
    from ..training.prepare.report import PreparationPlan

    if shutil.which("fluidsynth") is None:
        fail("render needs the program fluidsynth: apt-get install fluidsynth")
    try:
        choices = choices_of(soundfont, rooms, room_chance, restrike_chance, seed, plain)
    except ValueError as error:
        fail(str(error), code=2)
    plan = PreparationPlan("render", note_ends.value, choices.settings())
    carry_out(lambda: find_performances(folder, out, choices), out, plan, jobs, arrays, pattern)


def label(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with recordings, at any depth.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", show_default="DIR-labelled", help="Folder for the results."
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="The program that labels: hppnet, transkun or basic-pitch.")
    ] = "hppnet",
    checkpoint: Checkpoint = None,
    jobs: Jobs = None,
    arrays: Arrays = False,
    pattern: Pattern = "*",
    input_channel: InputChannel = None,
    track: Track = None,
) -> None:
    """Recordings without labels, to adapt to a piano.

    A transcriber says what was played. Notes end with their keys, and the pedal is written beside them. Basic
    Pitch predicts no pedal: its notes end with their sound, and prepared.json says so.
    """
    from ..model.checkpoint import identity
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.evaluate import peers
    from ..training.evaluate.peers import ProgramLoadError
    from ..training.prepare.labelled import OWN, Labeller, find_recordings, loaded
    from ..training.prepare.report import PreparationPlan

    opener = opener_for(input_channel, track)
    try:
        labeller = Labeller(model, checkpoint)
    except ValueError as error:
        fail(str(error), code=2)
    peer = labeller.make()
    if missing := peers.missing(peer):
        fail(f"--model {model} needs {', '.join(missing)}: {peer.install}")
    settings: dict[str, object] = {"model": model, **read_as(input_channel, track)}
    if model == OWN:
        try:
            peer = loaded(labeller)  # its checkpoint says where notes end
        except ProgramLoadError as error:
            fail(str(error))
        settings["weights"] = identity(checkpoint)
    if out is None:
        out = Path(f"{os.path.abspath(folder)}-labelled")
    place = out
    carry_out(
        lambda: find_recordings(folder, place, labeller, opener, SOUND_SUFFIXES),
        *(out, PreparationPlan("label", peer.note_ends, settings), jobs, arrays, pattern),
    )
