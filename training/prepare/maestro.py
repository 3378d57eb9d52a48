"""MAESTRO (Hawthorne et al., "Enabling Factorized Piano Music Modeling and Generation with the MAESTRO
Dataset", 2019): recordings and MIDI with an official split into train, validation and test.

``maestro-v3.0.0.csv`` has one line per recording: composer, title, ``split``, year, ``midi_filename``,
``audio_filename`` (both relative to its folder), duration. The ``.json`` has the same data, one object per
column (in versions 1 and 2 one object per recording).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.performances import performed
from .pairs import FolderContents, Recorded, check_folder, names_of

if TYPE_CHECKING:
    from ..data.sounds import Opener


SPLITS = ("train", "validation", "test")
URL = "https://storage.googleapis.com/magentadata/datasets/maestro/v3.0.0/maestro-v3.0.0.zip"
SHA256 = "6680fea5be2339ea15091a249fbd70e49551246ddbd5ca50f1b2352c08c95291"  #: digest of URL's file, 101 GB

_COLUMNS = ("split", "midi_filename", "audio_filename")
Row = Mapping[str, object]


def find_maestro(folder: Path, out: Path, open_recording: Opener) -> FolderContents:
    """All recordings in the table of contents; results go to a folder per split in ``out``.

    Raises ValueError, one line, if the table of contents is missing or broken, or if none of its recordings
    exists.
    """
    check_folder(folder)
    table = contents(folder)
    if table is None:
        raise ValueError(
            f"{folder}: expected maestro-v3.0.0.csv or .json, found none; --download fetches the data set"
        )
    rows = [_checked(table, number, row) for number, row in enumerate(_rows(table), 1)]
    sounds = [table.parent / audio for _, _, audio in rows]
    if not any(sound.exists() for sound in sounds):
        raise ValueError(f"{table}: of the {len(rows)} recordings that it names none is there")
    names = names_of([sound.with_suffix("") for sound in sounds], table.parent)
    return FolderContents(
        [
            Recorded(
                names[sound.with_suffix("")],
                out / split,
                sound,
                (table.parent / midi,),
                performed,
                open_recording,
            )
            for (split, midi, _), sound in zip(rows, sounds, strict=True)
        ],
        [],
    )


def contents(folder: Path) -> Path | None:
    """The table of contents in ``folder`` or one folder below; None where there is none.

    Raises ValueError where there are several versions.
    """
    found = sorted(p for pattern in ("", "*/") for p in folder.glob(f"{pattern}maestro-v*.*"))
    tables = [path for path in found if path.suffix in (".csv", ".json")]
    if len({path.with_suffix("") for path in tables}) > 1:
        raise ValueError(
            f"{folder}: expected one version, found {' and '.join(map(str, tables))}; name one's folder"
        )
    return tables[0] if tables else None  # .csv sorts before .json


def _rows(table: Path) -> Iterable[Row]:
    try:
        if table.suffix == ".csv":
            with table.open(encoding="utf-8-sig", newline="") as file:
                return list(csv.DictReader(file))
        data = json.loads(table.read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return [{name: column[number] for name, column in data.items()} for number in data["split"]]
        return list(data)
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise ValueError(
            f"{table}: expected MAESTRO's table of contents, could not read it ({error})"
        ) from error


def _checked(table: Path, number: int, row: Row) -> tuple[str, str, str]:
    """Split, MIDI file and sound file."""
    cells = [row.get(column) if isinstance(row, Mapping) else None for column in _COLUMNS]
    split, midi, audio = (cell if isinstance(cell, str) else "" for cell in cells)
    if split not in SPLITS or not midi or not audio:
        raise ValueError(
            f"{table}, recording {number}: expected split ({', '.join(SPLITS)}), midi_filename and "
            f"audio_filename, got {cells}"
        )
    return split, midi, audio
