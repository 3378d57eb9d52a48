"""The settings of a live session, and how events are changed before they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..model.files import file_above
from ..model.notes import Event, NoteOn, Pedal
from ..model.timebase import frames_for_latency
from ..model.tuning import check_tuning
from .live_decoder import GateSettings

MIDI_SYSTEMS = ("alsa", "jack", "coremidi", "winmm")
CURVES = {"soft": 0.6, "linear": 1.0, "hard": 1.6}  #: name -> exponent; soft makes quiet playing louder
HIGHEST = 127  #: highest pitch and velocity in MIDI


@dataclass(frozen=True)
class LiveSettings:
    """Settings, checked at creation: raises ValueError that names all invalid values."""

    input: int | str | None = None
    """Index, name or part of the name of a sound device; None: the default one."""
    input_channel: int | None = None
    """Channel of the sound device or file, from 1; None: the first two, mixed."""
    from_file: Path | None = None
    """A recording in place of the sound device, in real time."""
    output: str | None = None
    """Name of a MIDI port or part of it; "none": play nowhere; None: the first one found."""
    virtual: str | None = None
    """Make a MIDI port of this name instead."""
    midi_system: str | None = None
    """alsa, jack, coremidi or winmm; None: any that runs."""
    midi_channel: int = 1
    """1 to 16."""
    latency_ms: float = 132
    """Algorithmic latency: 32 + 20 * (R + 1) with R frames of look-ahead."""
    tuning: float | str | None = None
    """The piano's distance from A = 440 Hz in cents, -200 to 200, or "auto": estimate it and adapt."""
    velocity_curve: str = "linear"
    """soft, linear, hard, an exponent, or fixed:VELOCITY."""
    transpose: int = 0
    """Semitones by which the notes are shifted."""
    pedal: bool = True
    """Send the sustain pedal too, where the checkpoint detects it."""
    record: Path | None = None
    """A .mid file to write."""
    record_audio: Path | None = None
    """A .flac file to write."""
    gate: GateSettings = field(default_factory=GateSettings)
    """When the network sleeps."""
    allowance_ms: float | None = None
    """Time for computing on top of the algorithmic latency; None: measured at the start."""

    def __post_init__(self) -> None:
        faults = [fault for check in (self._ranges, self._files, self._style) for fault in check()]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def event_mapping(self) -> EventMapping:
        return EventMapping(self.transpose, self.velocity_curve)

    def _ranges(self) -> list[str]:
        faults = []
        for check in (lambda: frames_for_latency(self.latency_ms), lambda: check_tuning(self.tuning)):
            try:
                check()
            except ValueError as error:
                faults.append(str(error))
        if not 1 <= self.midi_channel <= 16:
            faults.append(f"the MIDI channel must be 1 to 16, got {self.midi_channel}")
        if self.input_channel is not None and self.input_channel < 1:
            faults.append(f"input channels count from 1, got {self.input_channel}")
        if self.allowance_ms is not None and not 0 <= self.allowance_ms <= 2000:
            faults.append(f"the allowance must be 0 to 2000 ms, got {self.allowance_ms:g}")
        return faults

    def _files(self) -> list[str]:
        faults = []
        if self.midi_system is not None and self.midi_system.lower() not in MIDI_SYSTEMS:
            faults.append(f"the MIDI system must be {', '.join(MIDI_SYSTEMS)}, got {self.midi_system!r}")
        if self.output is not None and self.virtual is not None:
            faults.append("expected an output or a virtual port, got both")
        if self.input is not None and self.from_file is not None:
            faults.append("expected an input or a file to play, got both")
        for path, suffix in ((self.record, ".mid"), (self.record_audio, ".flac")):
            if path is not None and path.suffix.lower() != suffix:
                faults.append(f"expected a name that ends in {suffix}, got {path}")
            elif path is not None and path.is_dir():
                faults.append(f"expected a file, {path} is a folder")
            elif path is not None and (file := file_above(path)):
                faults.append(f"expected only folders above {path}, but {file} is a file")
        return faults

    def _style(self) -> list[str]:
        try:
            self.event_mapping  # noqa: B018 - it checks itself
        except ValueError as error:
            return [str(error)]
        return []


@dataclass(frozen=True)
class EventMapping:
    """Changes events: transposes them and maps their velocities.

    ``curve``: soft, linear, hard, an exponent (0.2 to 5) or ``fixed:VELOCITY``.
    """

    transpose: int = 0  #: semitones
    curve: str = "linear"
    _velocities: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not -60 <= self.transpose <= 60:
            raise ValueError(f"transpose must be -60 to 60 semitones, got {self.transpose}")
        self._table()

    def __call__(self, event: Event) -> Event | None:
        """Returns the event to send, or None if its pitch is out of range. Pedal events stay unchanged."""
        if isinstance(event, Pedal):
            return event
        pitch = event.pitch + self.transpose
        if not 0 <= pitch <= HIGHEST:
            return None
        if isinstance(event, NoteOn):
            return replace(event, pitch=pitch, velocity=self._velocities[event.velocity])
        return replace(event, pitch=pitch)

    def _table(self) -> None:
        fixed = self._fixed()
        power = 1.0 if fixed else self._exponent()
        shaped = [fixed or round(HIGHEST * (v / HIGHEST) ** power) for v in range(HIGHEST + 1)]
        object.__setattr__(self, "_velocities", tuple(max(1, min(HIGHEST, v)) for v in shaped))

    def _fixed(self) -> int | None:
        kind, _, value = self.curve.partition(":")
        if kind != "fixed":
            return None
        if not value.isdigit() or not 1 <= int(value) <= HIGHEST:
            raise ValueError(f"velocity curve: expected fixed:1 to fixed:127, got {self.curve!r}")
        return int(value)

    def _exponent(self) -> float:
        try:
            power = CURVES[self.curve] if self.curve in CURVES else float(self.curve)
        except ValueError:
            power = 0.0
        if not 0.2 <= power <= 5:
            names = ", ".join(CURVES)
            raise ValueError(
                f"velocity curve: expected {names}, fixed:VELOCITY or 0.2 to 5, got {self.curve!r}"
            )
        return power
