"""What is made of a recording, and how its outputs are called."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ..model.notes import TRACK_NAME
from .inputs import SOUND_SUFFIXES
from .remote import Place, Url
from .writing import FORMATS

_HEAD_BYTES = 4096  #: of a MIDI file, within which the names of the first tracks stand


@dataclass(frozen=True)
class Job:
    """One recording and the files to make of it: kind (``mid``, ``csv``, ``json``, ``png``) -> place."""

    source: Place
    outputs: dict[str, Place]
    named: bool = False  #: the user named the file, and so means it

    def check_free(self) -> None:
        """A MIDI file beside a recording may be the labels of somebody's data set: it is not overwritten.

        Raises FileExistsError for one that was not written here, unless the user named it.
        """
        midi = self.outputs.get("mid")
        if self.named or midi is None or not midi.is_file():
            return
        if TRACK_NAME.encode() not in _first_bytes(midi):
            why = "it was not written by hppnet and may be labels; move it away or name a folder with -o"
            raise FileExistsError(errno.EEXIST, why, str(midi))

    @property
    def finished(self) -> bool:
        return all(place.exists() for place in self.outputs.values())


def _first_bytes(place: Place) -> bytes:
    if isinstance(place, Url):
        return place.first_bytes(_HEAD_BYTES)
    with place.open("rb") as file:
        return file.read(_HEAD_BYTES)


def output_kind(output: Place) -> str | None:
    """The format a name asks for; None for a folder."""
    kind = {"midi": "mid"}.get(output.suffix[1:].lower(), output.suffix[1:].lower())
    return kind if kind in FORMATS and not output.is_dir() else None


def stem_of(place: Place) -> Place:
    """Without the suffix; ``Op.27 No.2`` has none."""
    suffix = place.suffix
    is_suffix = suffix.lower() in SOUND_SUFFIXES or suffix[1:2].isalpha()
    return place.with_suffix("") if is_suffix else place


def outputs_of(stem: Place, kinds: tuple[str, ...]) -> dict[str, Place]:
    """An output a kind, all called like ``stem``."""
    return {kind: stem.with_name(f"{stem.name}.{kind}") for kind in kinds}


def named_outputs(output: Place, kinds: tuple[str, ...]) -> dict[str, Place]:
    """The output that is called ``output``, and beside it those of the other kinds."""
    named = output_kind(output)
    if named is None:
        return outputs_of(output, kinds)
    return {kind: output if kind == named else output.with_suffix(f".{kind}") for kind in kinds}
