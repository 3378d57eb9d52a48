"""How recordings are transcribed: what the options of ``hppnet transcribe`` become, and what they load."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..model.timebase import frames_for_latency
from ..model.tuning import check_tuning

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber

NOTE_ENDS = ("keys", "sounding")
#: What changes no note: the weights have a name of their own, and the outputs say which they are.
_NO_MATTER = {"checkpoint", "device", "picture", "keep_notes", "batch"}
_IN_WORDS = {"latency_ms", "tuning", "onset_threshold", "frame_threshold", "offset_threshold", "note_ends"}


@dataclass(frozen=True)
class Settings:
    """How recordings are transcribed. Raises ValueError for values outside their range."""

    checkpoint: str | None = None  #: path; None: the one that comes with the package
    device: str = "auto"  #: auto, cpu, cuda or mps
    latency_ms: float | None = None  #: None: full context; else what live gives at this latency
    tuning: float | str | None = None  #: cents against A = 440 Hz, "auto", or None for the checkpoint's
    onset_threshold: float | None = None  #: 0 to 1; None: the checkpoint's, as for the next two
    frame_threshold: float | None = None
    offset_threshold: float | None = None
    note_ends: str = "keys"  #: where notes end in MIDI files: "keys", with the pedal beside, or "sounding"
    picture: bool = False  #: also a PNG, with the probabilities
    keep_notes: bool = False  #: hand the notes back in the outcome
    channel: int | None = None  #: of the recordings, from 1; None: all, see ``model.downmix``
    track: int | None = None  #: of files with several audio tracks, from 1; None: the default one
    batch: int | None = None  #: recordings in one batch; None: by the device and its memory

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
    """All that the notes depend on beside the weights, in one line: equal words, equal notes."""

    def said(value: object) -> str:
        return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

    context = "full" if settings.latency_ms is None else f"{settings.latency_ms:g}ms"
    thresholds = (settings.onset_threshold, settings.frame_threshold, settings.offset_threshold)
    words = [
        f"context={context} tuning={said(settings.tuning)} thresholds={'/'.join(map(said, thresholds))}",
        f"offsets={settings.note_ends}",
    ]
    for field in fields(settings):  # whatever is added to the settings counts from then on, where it is used
        value = getattr(settings, field.name)
        if field.name not in _NO_MATTER | _IN_WORDS and value != field.default:
            words.append(f"{field.name}={said(value)}")
    return " ".join(words)


def load_transcriber(settings: Settings) -> Transcriber:
    """The checkpoint with the settings' thresholds and tuning. Raises what ``Transcriber.load`` raises."""
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
