"""Transcription settings, made from the options of ``hppnet transcribe``, and the transcriber they load."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..model.timebase import frames_for_latency
from ..model.tuning import check_tuning

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber

NOTE_ENDS = ("keys", "sounding")
#: Settings that change no note. The checkpoint is among them since outputs name the weights separately.
_NO_MATTER = {"checkpoint", "device", "picture", "keep_notes", "batch"}
_IN_WORDS = {"latency_ms", "tuning", "onset_threshold", "frame_threshold", "offset_threshold", "note_ends"}


@dataclass(frozen=True)
class Settings:
    """How recordings are transcribed. Raises ValueError for values outside their range."""

    checkpoint: str | None = None  #: path; None: the checkpoint shipped with the package
    device: str = "auto"  #: auto, cpu, cuda or mps
    latency_ms: float | None = None  #: None: full context; otherwise the same result as live at this latency
    tuning: float | str | None = None  #: cents against A = 440 Hz, "auto", or None: the checkpoint's tuning
    onset_threshold: float | None = None  #: each threshold: 0 to 1, or None for the checkpoint's
    frame_threshold: float | None = None
    offset_threshold: float | None = None
    note_ends: str = "keys"  #: note ends in MIDI files: "keys", with pedal events, or "sounding"
    picture: bool = False  #: also write a PNG with the probabilities
    keep_notes: bool = False  #: return the notes in the outcome
    channel: int | None = None  #: channel to read, from 1; None: all, see ``model.downmix``
    track: int | None = None  #: audio track to read where a file has several, from 1; None: the default one
    batch: int | None = None  #: recordings per batch; None: chosen by device and memory

    def __post_init__(self) -> None:
        if self.latency_ms is not None:
            frames_for_latency(self.latency_ms)
        for name in ("channel", "track"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}s count from 1, got {value}")
        if self.batch is not None and self.batch < 1:
            raise ValueError(f"the batch must be 1 or more recordings, got {self.batch}")
        if self.note_ends not in NOTE_ENDS:
            raise ValueError(f"note ends: expected {' or '.join(NOTE_ENDS)}, got {self.note_ends!r}")
        check_tuning(self.tuning)
        for name in ("onset", "frame", "offset"):
            value = getattr(self, f"{name}_threshold")
            if value is not None and not 0 < value < 1:
                raise ValueError(f"the {name} threshold must lie between 0 and 1, got {value:g}")


def describe_settings(settings: Settings) -> str:
    """All settings that affect the notes, in one line. Equal lines and equal weights give equal notes."""

    def said(value: object) -> str:
        return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    context = "full" if settings.latency_ms is None else f"{settings.latency_ms:g}ms"
    thresholds = (settings.onset_threshold, settings.frame_threshold, settings.offset_threshold)
    words = [
        f"context={context} tuning={said(settings.tuning)} thresholds={'/'.join(map(said, thresholds))}",
        f"offsets={settings.note_ends}",
    ]
    for field in fields(settings):  # a setting added later appears where it is not the default
        value = getattr(settings, field.name)
        if field.name not in _NO_MATTER | _IN_WORDS and value != field.default:
            words.append(f"{field.name}={said(value)}")
    return " ".join(words)


def load_transcriber(settings: Settings) -> Transcriber:
    """Load the checkpoint with the settings' thresholds and tuning. Raises as ``Transcriber.load`` does."""
    from ..model.checkpoint import CheckpointError
    from ..model.device import keep_memory, one_thread
    from ..model.transcriber import Transcriber

    keep_memory()
    transcriber = Transcriber.load(settings.checkpoint, device=settings.device)
    one_thread()  # cores are used by transcribing several recordings at once
    if settings.note_ends == "sounding" and not transcriber.has_pedal:
        name = transcriber.checkpoint_name
        raise CheckpointError(
            f"{name}: --note-ends sounding needs a checkpoint that detects the pedal, this one does not"
        )
    thresholds = {name: getattr(settings, f"{name}_threshold") for name in ("onset", "frame", "offset")}
    if any(value is not None for value in thresholds.values()):
        transcriber = transcriber.with_thresholds(**thresholds)
    if isinstance(settings.tuning, (int, float)):
        transcriber = transcriber.with_tuning(settings.tuning)
    return transcriber
