"""Transposition, and how hard a velocity is passed on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..model.notes import Event, NoteOn, Pedal

CURVES = {"soft": 0.6, "linear": 1.0, "hard": 1.6}  #: name -> exponent; soft makes quiet playing louder
HIGHEST = 127


@dataclass(frozen=True)
class Touch:
    """``curve``: soft, linear, hard, an exponent (0.2 to 5) or ``fixed:VELOCITY``."""

    transpose: int = 0  #: semitones
    curve: str = "linear"
    _velocities: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not -60 <= self.transpose <= 60:
            raise ValueError(f"transpose must be -60 to 60 semitones, got {self.transpose}")
        self._table()

    def __call__(self, event: Event) -> Event | None:
        """The event as it is sent, or None where there is no such key. The pedal goes through."""
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
