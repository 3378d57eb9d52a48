"""Connects the model with microphones and MIDI ports: ``hppnet.live``, and sessions for the command line."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from .api import load, read_blocks
from .model.transcriber import DEFAULT_LATENCY_MS, Transcriber
from .realtime.audio_input import AudioInput
from .realtime.inputs import FileInput, Input
from .realtime.listener import LiveTranscriber
from .realtime.midi_output import MidiOutput
from .realtime.session import LiveSession
from .realtime.settings import LiveSettings


def live(
    input: int | str | Input | None = None,
    *,
    latency_ms: float = DEFAULT_LATENCY_MS,
    channel: int | None = None,
    tuning_cents: float = 0.0,
    checkpoint: str | PathLike[str] | Transcriber | None = None,
    device: str = "auto",
    pedal: bool = True,
    report: Callable[[str], None] | None = None,
) -> LiveTranscriber:
    """Returns an iterator over notes and pedal moves as they are played:

        for event in hppnet.live("USB"):
            print(event)

    prints NoteOn(time_s, pitch, velocity), NoteOff(time_s, pitch) at key release and Pedal(time_s, down),
    without Pedal if ``pedal`` is False or the checkpoint does not detect it. Times are in seconds since
    listening began. Each event comes ``latency_ms`` plus the computing time after its sound. ``input`` is a
    sound device's index or part of its name (None: the default one), an AudioInput or a FileInput;
    ``channel`` counts from 1 (None: the first two, mixed); ``checkpoint`` is a path, a loaded Transcriber or
    None for the shipped one; ``report`` is called with a line when sound was lost or a device failed;
    a failed device is reopened once it is back.

    Raises ValueError for a latency that cannot be reached, CheckpointError, and InputFault if the device is
    missing when listening begins.
    """
    transcriber = checkpoint if isinstance(checkpoint, Transcriber) else load(checkpoint, live_device(device))
    if tuning_cents:
        transcriber = transcriber.with_tuning(tuning_cents)
    if not pedal:
        transcriber = transcriber.without_pedal()
    if input is None or isinstance(input, (int, str)):
        input = AudioInput(input, channel=channel)
    return LiveTranscriber(transcriber, input, latency_ms, report=report, pedal=pedal)


def open_session(
    settings: LiveSettings,
    checkpoint: Path | None = None,
    device: str = "auto",
    report: Callable[[str], None] | None = None,
) -> LiveSession:
    """The session that ``hppnet live`` runs, not started yet.

    Raises CheckpointError, AudioError for a file that cannot be played, ValueError for a missing device.
    """
    transcriber = load(checkpoint, live_device(device))
    if isinstance(settings.tuning, (int, float)):
        transcriber = transcriber.with_tuning(settings.tuning)
    if not settings.pedal:
        transcriber = transcriber.without_pedal()
    port = MidiOutput(
        settings.output,
        virtual=settings.virtual,
        channel=settings.midi_channel,
        system=settings.midi_system,
    )
    return LiveSession(transcriber, open_input(settings), port, settings, report=report)


def open_input(settings: LiveSettings) -> AudioInput | FileInput:
    """The sound device, or the file in its place. Raises AudioError."""
    if settings.from_file is None:
        return AudioInput(settings.input, channel=settings.input_channel)
    blocks, sample_rate = read_blocks(settings.from_file, settings.input_channel)
    return FileInput(blocks, sample_rate, name=str(settings.from_file))


def live_device(name: str = "auto") -> str:
    """The device that computes; auto is cpu: a step of one frame takes one core a millisecond or two."""
    return "cpu" if name == "auto" else name
