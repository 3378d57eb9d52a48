"""When the sustain pedal was down in a recording: a table beside its notes (``NAME.pedal``).

Tab separated, one header line, a press a line, in seconds::

    down    up
    0.52    1.70

The pedal is down from a control change 64 of 64 or more to one below it. A recording without the table
teaches nothing of the pedal.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .notes_table import LabelError

PEDAL_SUFFIX = ".pedal"
PEDAL_COLUMNS = ["down", "up"]


def read_presses(path: Path) -> np.ndarray | None:
    """Presses [n, 2]: down and up in seconds, in their order; None where there is no table.

    Raises LabelError, naming the file and the line, for what is none.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.reader(file, delimiter="\t"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path}: cannot be read ({error})") from error
    if not lines or lines[0] != PEDAL_COLUMNS:
        raise LabelError(f"{path}: expected the columns {' and '.join(PEDAL_COLUMNS)} (tab separated)")
    presses: list[tuple[float, float]] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            down_s, up_s = (float(value) for value in line)
            if not (presses[-1][1] if presses else 0) <= down_s <= up_s < float("inf"):
                raise ValueError(f"expected presses in order, got {down_s:g} to {up_s:g}")
        except ValueError as error:
            raise LabelError(f"{path}, line {number}: {error}") from error
        presses.append((down_s, up_s))
    return np.array(presses, dtype=float).reshape(-1, 2)


def write_presses(path: Path, presses: Iterable[tuple[float, float]]) -> None:
    """As ``read_presses`` reads them, to the microsecond."""
    rows = [f"{down_s:.6f}\t{up_s:.6f}" for down_s, up_s in presses]
    path.write_text("\n".join(["\t".join(PEDAL_COLUMNS), *rows, ""]), encoding="utf-8")
