"""What can be chosen for a live session."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..model.timebase import frames_for_latency
from ..model.tuning import check_tuning
from .gate import GateSettings
from .touch import Touch

MIDI_SYSTEMS = ("alsa", "jack", "coremidi", "winmm")


@dataclass(frozen=True)
class LiveSettings:
    """Checks itself: ValueError names all that is wrong."""

    input: int | str | None = None
    """Index, name or part of the name of a sound device; None: the usual one."""
    channel: int | None = None
    """Of the sound device, from 1; None: the first two, mixed."""
    from_file: Path | None = None
    """A recording in place of the sound device, in real time."""
    output: str | None = None
    """Name of a MIDI port or part of it; "none": play nowhere; None: the first that is there."""
    virtual: str | None = None
    """Make a MIDI port of this name instead."""
    midi_system: str | None = None
    """alsa, jack, coremidi or winmm; None: whatever answers."""
    midi_channel: int = 1
    """1 to 16."""
    latency_ms: float = 132
    """Algorithmic latency: 32 + 20 * (R + 1)."""
    tuning: float | str | None = None
    """Of the piano against A = 440 Hz in cents, -200 to 200, or "auto": listen and adapt."""
    velocity_curve: str = "linear"
    """soft, linear, hard, an exponent, or fixed:VELOCITY."""
    transpose: int = 0
    """Semitones."""
    pedal: bool = True
    """Send the sustain pedal too, where the checkpoint hears it."""
    record: Path | None = None
    """A .mid file to write."""
    record_audio: Path | None = None
    """A .flac file to write."""
    gate: GateSettings = field(default_factory=GateSettings)
    """When the network sleeps."""
    allowance_ms: float | None = None
    """What computing may take on top of the algorithmic latency; None: measured at the start."""

    def __post_init__(self) -> None:
        faults = [fault for check in (self._ranges, self._files, self._touch) for fault in check()]
        if faults:
            raise ValueError("; ".join(faults))

    @property
    def touch(self) -> Touch:
        return Touch(self.transpose, self.velocity_curve)

    def _ranges(self) -> list[str]:
        faults = []
        for check in (lambda: frames_for_latency(self.latency_ms), lambda: check_tuning(self.tuning)):
            try:
                check()
            except ValueError as error:
                faults.append(str(error))
        if not 1 <= self.midi_channel <= 16:
            faults.append(f"the MIDI channel must be 1 to 16, got {self.midi_channel}")
        if self.channel is not None and self.channel < 1:
            faults.append(f"input channels count from 1, got {self.channel}")
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
            elif path is not None and any(parent.is_file() for parent in path.parents):
                faults.append(f"expected a folder above {path}, one of them is a file")
        return faults

    def _touch(self) -> list[str]:
        try:
            self.touch  # noqa: B018 - it checks itself
        except ValueError as error:
            return [str(error)]
        return []
