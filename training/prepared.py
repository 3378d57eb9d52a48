"""What ``hppnet prepare`` leaves beside the recordings: where their notes end.

``keys``: at the key's release, as in the labels of MAPS. ``sounding``: at the later of the key's release
and the pedal's, or where the key is struck again, as in the published figures on MAESTRO.
"""

from __future__ import annotations

import json
from pathlib import Path

REPORT = "prepared.json"
NOTE_ENDS = ("keys", "sounding")


def note_ends_of(folder: Path) -> str:
    """``keys`` or ``sounding``, by ``prepared.json`` in ``folder`` or its parent; ``keys`` where none is.

    Raises ValueError, naming the file, for one that cannot be read or says something else.
    """
    for place in (folder, folder.absolute().parent):
        path = place / REPORT
        if path.exists():
            return _note_ends(path)
    return "keys"


def _note_ends(path: Path) -> str:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path}: expected the report of hppnet prepare, cannot read it ({error})"
        ) from error
    found = report.get("note_ends") if isinstance(report, dict) else None
    if found not in NOTE_ENDS:
        raise ValueError(f'{path}: expected "note_ends" to be "keys" or "sounding", got {json.dumps(found)}')
    return str(found)
