"""The origin of outputs: the recording, weights and settings that each was made with.

MIDI stores it in a text event, JSON in a field, JSONL in a field of the first line, PNG in a text chunk. CSV
has no place for it: its line in the manifest, or another output of the recording, provides it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..model.notes import TRACK_NAME
from .places import Place, Url
from .settings import Settings, describe_settings
from .writing import CSV_COLUMNS, are_whole_events, begins_events

if TYPE_CHECKING:
    from ..model.config import ModelConfig
    from .jobs import Job

MARK = "hppnet "  #: precedes the origin in a text event or chunk
_HEAD_BYTES = 8192  #: the origin lies within these first bytes of an output
SCORES_HEADER = b"run,file,onset_10ms_p,"  #: start of the table of ``hppnet evaluate``
_REPORT, _SOFTWARE = b'{\n  "program": "hppnet ', b"Software\0hppnet "  #: see ``hppnet.program``
_END_OF_TRACK = b"\xff\x2f\x00"
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"
_CSV_HEADERS = tuple(",".join((*CSV_COLUMNS, *more)).encode() + b"\r\n" for more in ((), ("sounding_s",)))


@dataclass(frozen=True)
class Origin:
    """What an output was made from. Unknown fields are empty (the first versions stored fewer)."""

    input: str  #: name of the recording, without its folder
    place: str  #: see ``place_digest``
    digest: str  #: see ``digest_of``
    checkpoint: str  #: digest of the weights
    settings: str  #: see ``describe_settings``
    formats: str  #: formats of all outputs written together: ``csv+mid``
    notes: int | None = None

    def line(self) -> str:
        """The mark and the origin as one line of ASCII."""
        return MARK + json.dumps(asdict(self), ensure_ascii=True)


class DescribedModel(Protocol):
    """What outputs say about the model: a Transcriber or its ModelFacts."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def checkpoint_name(self) -> str: ...

    def computed_by(self, latency_ms: float | None) -> str: ...


def origin_for(
    job: Job, model: DescribedModel, settings: Settings, digest: str, notes: int | None = None
) -> Origin:
    """The origin of a job's outputs. ``digest``: see ``digest_of``; ``notes``: None before they are known."""
    return Origin(
        job.source.name,
        place_digest(job.source),
        digest,
        model.checkpoint_name.rsplit(" ", 1)[-1],
        describe_settings(settings),
        "+".join(sorted(job.outputs)),
        notes,
    )


def describe(
    source: str, model: DescribedModel, settings: Settings, duration_s: float | None = None
) -> dict[str, Any]:
    """The fields of JSON other than the notes; no duration while it is unknown."""
    config = model.config
    return {
        "source": source,
        **({} if duration_s is None else {"duration_s": round(float(duration_s), 6)}),
        "checkpoint": model.checkpoint_name,
        "tuning_cents": round(config.front_end.tuning_cents, 2),
        "settings": {
            "context": "full" if settings.latency_ms is None else "streaming",
            "latency_ms": settings.latency_ms,
            "tuning": settings.tuning,
            "thresholds": config.decoder_at(settings.latency_ms).applied,
            "offsets": settings.note_ends,
        },
    }


def digest_of(file: Path) -> str:
    """32 hexadecimal digits of a file's SHA-256. Raises OSError, also for a folder, device or pipe."""
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError(errno.EINVAL, "expected a file", str(file))
    digest = hashlib.sha256()
    with open(file, "rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:32]


def place_digest(place: Place) -> str:
    """12 hexadecimal digits for the path of a recording, which itself stays private."""
    whole = str(place) if isinstance(place, Url) else os.path.realpath(place)
    return hashlib.sha256(os.fsencode(whole)).hexdigest()[:12]


def written_here(place: Place, kind: str | None = None) -> bool:
    """Whether hppnet wrote an output or a report, by its first bytes. True for an empty file.

    ``kind``: mid, csv, json, jsonl or png; None: by its suffix. PNG and reports of the first versions
    are not recognised. Raises OSError.
    """
    head, kind = _head(place), kind or _kind(place)
    if not head:
        return True  # an empty file holds no work
    if kind == "mid":
        return TRACK_NAME.encode() in head or MARK.encode() + b"{" in head
    if kind == "csv":
        return head.startswith((*_CSV_HEADERS, SCORES_HEADER))
    if kind == "json":
        of_0_1 = head.startswith(b'{\n "source": ') and b'\n "tuning_cents": ' in head
        return of_0_1 or head.startswith(_REPORT) or _parsed(head, kind) is not None
    if kind == "jsonl":  # not the output of ``hppnet live``: a performance cannot be repeated
        return begins_events(head)
    return kind == "png" and head.startswith(_PNG) and (MARK.encode() + b"{" in head or _SOFTWARE in head)


def origin_of(place: Place) -> Origin | None:
    """The origin stored in an output; None without one. Raises OSError."""
    return _parsed(_head(place), _kind(place))


def _parsed(head: bytes, kind: str) -> Origin | None:
    begin = b' "origin": ' if kind in ("json", "jsonl") else MARK.encode()
    at = head.find(begin + b"{")
    if at < 0:
        return None
    try:
        text = head[at + len(begin) :].decode("ascii", "replace")
        found, _ = json.JSONDecoder().raw_decode(text)
        return Origin(**found)
    except (ValueError, TypeError):  # damaged, or the fields of another version
        return None


def is_whole(place: Place, notes: int | None) -> bool:
    """Whether an output is a complete file of its format, with ``notes`` notes (None: any number)."""
    try:
        data = place.first_bytes(None) if isinstance(place, Url) else place.read_bytes()
    except OSError:
        return False
    check = _CHECKS.get(_kind(place))
    return check is not None and check(data, notes)


def _whole_midi(data: bytes, notes: int | None) -> bool:
    """Its lengths and end marks tell whether it is whole. Notes are not counted: the file may hold fewer than
    were found, since notes of one key that begin at one tick become one.
    """
    if data[:4] != b"MThd" or len(data) < 14:
        return False
    at, tracks = 8 + int.from_bytes(data[4:8], "big"), int.from_bytes(data[10:12], "big")
    for _ in range(tracks):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] != b"MTrk" or end > len(data) or data[end - 3 : end] != _END_OF_TRACK:
            return False
        at = end
    return tracks > 0 and at == len(data)


def _whole_csv(data: bytes, notes: int | None) -> bool:
    lines = data.count(b"\n")
    return data.startswith(_CSV_HEADERS) and data.endswith(b"\r\n") and notes in (None, lines - 1)


def _whole_json(data: bytes, notes: int | None) -> bool:
    try:
        found = json.loads(data)["notes"]
    except (ValueError, TypeError, KeyError):
        return False
    return isinstance(found, list) and notes in (None, len(found))


def _whole_png(data: bytes, notes: int | None) -> bool:
    """A picture's notes cannot be counted."""
    return data.startswith(_PNG) and data.endswith(_PNG_END)


_CHECKS: dict[str, Callable[[bytes, int | None], bool]] = {
    "mid": _whole_midi,
    "csv": _whole_csv,
    "json": _whole_json,
    "jsonl": are_whole_events,
    "png": _whole_png,
}


def _kind(place: Place) -> str:
    kind = place.suffix[1:].lower()
    return {"midi": "mid"}.get(kind, kind)


def _head(place: Place) -> bytes:
    if isinstance(place, Url):
        return place.first_bytes(_HEAD_BYTES)
    with place.open("rb") as file:
        return file.read(_HEAD_BYTES)
