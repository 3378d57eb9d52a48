"""``hppnet live``: microphone in, MIDI out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..failure import printable
from ..system import before_other_programs
from .live_events import check_events, event_target
from .live_report import draw_take, last_line, say, say_fault
from .live_run import ending_signals, run_session
from .options import Checkpoint, Device, Tuning, able_to_draw, latency_ms, renamed_option, tuning_setting


def live(
    input: Annotated[
        str | None, typer.Option(help="Sound device: index or part of its name; default: the system's.")
    ] = None,
    input_channel: Annotated[
        int | None,
        typer.Option(min=1, help="Channel of the sound device or file; default: the first two, mixed."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(help="MIDI port: part of its name, or none; default: the first one found."),
    ] = None,
    virtual: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a MIDI port that other programs connect to.")
    ] = None,
    latency: Annotated[
        str | None,
        typer.Option(metavar="NAME|MS", help="fast, balanced, accurate or ms; default: accurate, 132 ms."),
    ] = None,
    tuning: Tuning = None,
    checkpoint: Checkpoint = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto: the processor.")] = Device.auto,
    midi_channel: Annotated[int, typer.Option(min=1, max=16, help="MIDI channel to send on.")] = 1,
    _channel: Annotated[int | None, renamed_option("--channel", "--midi-channel")] = None,
    midi_system: Annotated[
        str | None, typer.Option(help="alsa, jack, coremidi or winmm; default: any that runs.")
    ] = None,
    velocity_curve: Annotated[
        str,
        typer.Option(help="Change velocities: soft, linear, hard, an exponent (0.2 to 5) or fixed:VELOCITY."),
    ] = "linear",
    transpose: Annotated[int, typer.Option(help="Shift the notes by so many semitones.")] = 0,
    pedal: Annotated[
        bool,
        typer.Option(" /--no-pedal", help="Do not send the sustain pedal (CC64)."),
    ] = True,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.mid",
            help="Write the notes as MIDI; an existing file is kept, the new one gets a number.",
        ),
    ] = None,
    record_audio: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.flac", help="Write the input's sound; existing files are kept, as with --record."
        ),
    ] = None,
    events: Annotated[
        str | None,
        typer.Option(
            metavar="OUT.jsonl|-",
            help="Write each event as a line of JSON as soon as it is known; - for standard output.",
        ),
    ] = None,
    plot: Annotated[
        bool,
        typer.Option(
            "--plot",
            help="With --record: draw the take as a PNG beside it.",
            callback=able_to_draw,
        ),
    ] = False,
    from_file: Annotated[
        Path | None,
        typer.Option(metavar="X.wav", help="Listen to a recording instead of the microphone."),
    ] = None,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log every event; no live view.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    """Listen to a piano and play what it plays on a MIDI port.

    It goes on until Ctrl-C. Exit code: 0 ended by a signal or with the file, 1 something was not there or
    failed, 2 wrong use.
    """
    if plot and record is None:
        raise typer.BadParameter("--plot draws what is recorded: give --record OUT.mid too")
    check_events(events)
    with ending_signals() as stop, event_target(events) as target:
        from ..realtime.settings import LiveSettings

        try:
            settings = LiveSettings(
                input=input,
                input_channel=input_channel,
                from_file=from_file,
                output=output,
                virtual=virtual,
                midi_system=midi_system,
                midi_channel=midi_channel,
                latency_ms=latency_ms(latency, streaming=True) or 0.0,
                tuning=tuning_setting(tuning),
                velocity_curve=velocity_curve,
                transpose=transpose,
                pedal=pedal,
                record=record,
                record_audio=record_audio,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if from_file is not None and not from_file.is_file():
            raise typer.BadParameter(f"--from-file {from_file}: expected a recording, there is no such file")
        with before_other_programs():
            session = run_session(settings, checkpoint, device.value, stop, verbose, quiet, target)
        ended = last_line(session)
        faults = session.recording_faults + (draw_take(session, quiet) if plot else [])
        if not quiet:
            say(ended)
        for fault in faults:
            say_fault(f"error: {printable(fault)}")
    if faults:
        raise typer.Exit(1)
