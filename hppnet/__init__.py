"""hppnet listens to a piano and writes down what was played, as it is played.

    import hppnet
    transcriber = hppnet.load()
    notes = transcriber.transcribe("take.wav")
    hppnet.write_midi(notes, "take.mid")

Names are imported when they are first used: ``import hppnet`` alone does not load PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import load as load
    from .listening import live as live
    from .model.checkpoint import CheckpointError as CheckpointError
    from .model.expectation import Sounded as Sounded
    from .model.notes import Note as Note
    from .model.notes import NoteOff as NoteOff
    from .model.notes import NoteOn as NoteOn
    from .model.notes import Pedal as Pedal
    from .model.notes import Press as Press
    from .model.notes import read_midi as read_midi
    from .model.notes import read_pedal as read_pedal
    from .model.notes import sounding as sounding
    from .model.notes import write_midi as write_midi
    from .model.stream import Stream as Stream
    from .model.transcriber import Transcriber as Transcriber
    from .model.transcriber import Transcription as Transcription
    from .offline.reading import AudioError as AudioError
    from .realtime.audio_input import AudioInput as AudioInput
    from .realtime.listener import LiveTranscriber as LiveTranscriber
    from .realtime.midi_output import MidiOutput as MidiOutput

_HOMES = {
    "load": ".api",
    "live": ".listening",
    "AudioError": ".offline.reading",
    "AudioInput": ".realtime.audio_input",
    "CheckpointError": ".model.checkpoint",
    "LiveTranscriber": ".realtime.listener",
    "MidiOutput": ".realtime.midi_output",
    "Note": ".model.notes",
    "NoteOff": ".model.notes",
    "NoteOn": ".model.notes",
    "Pedal": ".model.notes",
    "Press": ".model.notes",
    "Sounded": ".model.expectation",
    "Stream": ".model.stream",
    "Transcriber": ".model.transcriber",
    "Transcription": ".model.transcriber",
    "read_midi": ".model.notes",
    "read_pedal": ".model.notes",
    "sounding": ".model.notes",
    "write_midi": ".model.notes",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("hppnet")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module 'hppnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
