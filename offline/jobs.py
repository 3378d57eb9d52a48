"""A job: a recording and the outputs to make of it, how they are called, and what became of it."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..model.files import machine_name
from .inputs import SOUND_SUFFIXES
from .places import Place, Url
from .provenance import written_here
from .writing import FORMATS

if TYPE_CHECKING:
    from ..model.notes import Note

INSTEAD = "move it away, name a folder with -o, or replace it with --force"
_LONGEST_NAME = 255  #: bytes, on all file systems that are common


@dataclass(frozen=True)
class Root:
    """A folder that was there when the work began, on one of a machine's file systems."""

    folder: str
    device: int
    machine: str

    @classmethod
    def above(cls, folder: Path) -> Root:
        """The folder, or the nearest above it that is there."""
        whole = Path(os.path.abspath(folder))
        while not whole.exists() and whole != whole.parent:
            whole = whole.parent
        return cls(str(whole), whole.stat().st_dev, machine_name())

    def check(self) -> None:
        """Where a share was, there may be an empty folder now, on another disk: nothing is written there.

        Raises OSError.
        """
        if self.machine != machine_name():
            return  # it has other names for its disks
        if os.stat(self.folder).st_dev != self.device:
            raise OSError(errno.ENODEV, "another disk than when the work began; is it mounted?", self.folder)


@dataclass(frozen=True)
class Job:
    """One recording and the files to make of it: kind (one of FORMATS, or ``png``) -> place."""

    source: Place
    outputs: dict[str, Place]
    replaceable: frozenset[str] = frozenset()  #: kinds that may be replaced whatever they hold
    root: Root | None = None  #: of the folders that may be made

    def check_free(self) -> None:
        """An output that is there and was not written here may be the labels of somebody's data set.

        Raises FileExistsError for one, OSError for a name that no file can have, or a disk that has gone.
        """
        if self.root is not None:
            self.root.check()
        for kind, place in self.outputs.items():
            check_free(place, kind, replaceable=kind in self.replaceable)


@dataclass
class Outcome:
    """What became of one recording."""

    source: Place
    error: str | None = None  #: one line that names the file
    trace: str | None = None  #: where the error arose
    outputs: list[Place] = field(default_factory=list)  #: written, or meant to be
    note_count: int = 0
    notes: list[Note] | None = None  #: with ``keep_notes``
    duration_s: float = 0.0  #: of sound
    wall_s: float = 0.0
    found_cents: float | None = None  #: with tuning "auto"
    digest: str = ""  #: of the recording: see ``digest_of``
    engine: str = ""  #: what computed it: library, version and precision
    warnings: list[str] = field(default_factory=list)  #: what is wrong with the recording, a line each


def check_free(
    place: Place, kind: str | None = None, instead: str = INSTEAD, *, replaceable: bool = False
) -> None:
    """Raises FileExistsError for what is no file, or was not written by this program and is not replaceable.

    Of a kind (None: by its name). Raises OSError for a name that no file can have.
    """
    if len(os.fsencode(place.name)) > _LONGEST_NAME:
        why = f"the name is longer than {_LONGEST_NAME} bytes; name the output with -o"
        raise OSError(errno.ENAMETOOLONG, why, str(place))
    if not there(place):
        return
    if not place.is_file():
        raise FileExistsError(errno.EEXIST, "expected a file, this is something else", str(place))
    if not replaceable and not written_here(place, kind):
        raise foreign(place, instead)


def there(place: Place) -> bool:
    """Whether anything has this name, a link that leads nowhere included."""
    return place.exists() if isinstance(place, Url) else os.path.lexists(place)


def foreign(place: Place, instead: str = INSTEAD) -> FileExistsError:
    """``instead``: what can be done."""
    why = f"it was not written by hppnet and may be labels or other work; {instead}"
    return FileExistsError(errno.EEXIST, why, str(place))


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
