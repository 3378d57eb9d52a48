"""How far a piano is from A = 440 Hz: what may be said about it, and what was found.

Without NumPy, since the command line checks its options with it. ``partials`` finds tunings.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MOST_CENTS = 200.0  #: off A = 440 Hz, to either side
#: What "auto" cannot know.
AUTO_LIMIT = (
    "tuning auto finds -50 to 50 cents: farther off, a semitone cannot be told from another key; "
    "give such a tuning in cents or as 415Hz"
)
DRIFT_CENTS = 25.0  #: between stretches: a bin of the front end, and what training detunes by

_NUMBER = r"(?P<number>[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+))"
_HZ = re.compile(rf"(?:a4?\s*=\s*{_NUMBER}\s*(?:hz)?|{_NUMBER.replace('number', 'plain')}\s*hz)", re.I)
_CENTS = re.compile(rf"{_NUMBER}\s*(?:c|ct|cents?)?", re.I)


def parse_tuning(text: str) -> float | str:
    """Cents of ``-30``, ``415Hz`` or ``A=415``, or ``auto``. Raises ValueError for anything else."""
    said = text.strip().replace("\N{MINUS SIGN}", "-")
    if said.lower() == "auto":
        return "auto"
    if found := _HZ.fullmatch(said):
        hz = float((found["number"] or found["plain"]).replace(",", "."))
        cents = 1200 * math.log2(hz / 440) if hz > 0 else math.nan
        if not abs(cents) <= MOST_CENTS:
            lowest, highest = (440 * 2 ** (cents / 1200) for cents in (-MOST_CENTS, MOST_CENTS))
            raise ValueError(f"the tuning's A must lie between {lowest:.1f} and {highest:.1f} Hz, got {text}")
        return cents
    if found := _CENTS.fullmatch(said):
        return check_cents(float(found["number"].replace(",", ".")))
    raise ValueError(
        f"expected a tuning in cents (-200 to 200), as a frequency of A (415Hz), or auto, got {text!r}"
    )


def check_cents(cents: float) -> float:
    """Raises ValueError for a tuning that is out of range."""
    if not abs(cents) <= MOST_CENTS:
        hint = f"; for a frequency of A write {cents:g}Hz" if 390 <= cents <= 495 else ""
        raise ValueError(f"the tuning must be -200 to 200 cents, got {cents:g}{hint}")
    return float(cents)


def check_tuning(tuning: float | str | None) -> None:
    """As settings hold it: cents, "auto" or None (the checkpoint's). Raises ValueError for anything else."""
    if isinstance(tuning, str) and tuning != "auto":
        raise ValueError(f"the tuning must be cents or auto, got {tuning!r}")
    if isinstance(tuning, (int, float)):
        check_cents(tuning)


@dataclass(frozen=True)
class Tuning:
    """Of a recording against A = 440 Hz, in cents."""

    cents: float  #: of all of it, -50 to 50
    lowest: float  #: of its stretches; with ``highest`` at most 50 from ``cents``
    highest: float

    @property
    def warning(self) -> str | None:
        """Where one tuning does not fit all of it."""
        if self.highest - self.lowest <= DRIFT_CENTS:
            return None
        return (
            f"the tuning drifts from {self.lowest:+.0f} to {self.highest:+.0f} cents, {self.cents:+.0f} was "
            "used for all of it: cut the recording where it changes to do better"
        )
