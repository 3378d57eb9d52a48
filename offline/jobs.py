"""Jobs: a recording with its outputs, their names, and the outcome."""

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
_LONGEST_NAME = 255  #: bytes; the limit of all common file systems


@dataclass(frozen=True)
class Root:
    """An existing folder above the outputs, and the disk it was on when the work began."""

    folder: str
    device: int
    machine: str

    @classmethod
    def above(cls, folder: Path) -> Root:
        """The folder, or its nearest parent that exists."""
        whole = Path(os.path.abspath(folder))
        while not whole.exists() and whole != whole.parent:
            whole = whole.parent
        return cls(str(whole), whole.stat().st_dev, machine_name())

    def check(self) -> None:
        """Raises OSError if the folder is on another disk now.

        An unmounted share leaves an empty folder behind, in which nothing must be written.
        """
        if self.machine != machine_name():
            return  # another machine numbers its disks differently
        if os.stat(self.folder).st_dev != self.device:
            why = "this folder is on another disk than at the start; check that its disk is still mounted"
            raise OSError(errno.ENODEV, why, self.folder)


@dataclass(frozen=True)
class Job:
    """One recording and its outputs: a mapping from kind (one of FORMATS, or ``png``) to place."""

    source: Place
    outputs: dict[str, Place]
    replaceable: frozenset[str] = frozenset()  #: kinds that may be replaced whatever they contain
    root: Root | None = None  #: existing folder above the outputs
    alias: str | None = None  #: how the user named the source, if ``source`` is a temporary file

    @property
    def user_source(self) -> str:
        """The source as the user named it."""
        return self.alias or str(self.source)

    def check_free(self) -> None:
        """Check that all outputs may be written.

        Raises FileExistsError for a file that hppnet did not write (it may be labels of a data set), OSError
        for a name that is too long, or a disk that is no longer mounted.
        """
        if self.root is not None:
            self.root.check()
        for kind, place in self.outputs.items():
            check_free(place, kind, replaceable=kind in self.replaceable)


@dataclass
class Outcome:
    """The result of one recording."""

    source: Place
    error: str | None = None  #: one line that names the file
    trace: str | None = None  #: traceback of the error
    outputs: list[Place] = field(default_factory=list)  #: written, or planned if it failed
    note_count: int = 0
    notes: list[Note] | None = None  #: only with ``keep_notes``
    duration_s: float = 0.0  #: length of the recording
    wall_s: float = 0.0
    found_cents: float | None = None  #: estimated tuning, only with tuning "auto"
    digest: str = ""  #: digest of the recording, see ``digest_of``
    engine: str = ""  #: what computed it: library, version and precision
    warnings: list[str] = field(default_factory=list)  #: problems of the recording, one line each


def check_free(
    place: Place, kind: str | None = None, instead: str = INSTEAD, *, replaceable: bool = False
) -> None:
    """Check that an output may be written. ``kind`` None: by its suffix; ``instead``: advice for the user.

    Raises FileExistsError for anything but a file, and for a file that hppnet did not write unless it is
    ``replaceable``; OSError for a name that is too long.
    """
    if len(os.fsencode(place.name)) > _LONGEST_NAME:
        why = f"the name is longer than {_LONGEST_NAME} bytes; name the output with -o"
        raise OSError(errno.ENAMETOOLONG, why, str(place))
    if not there(place):
        return
    if not place.is_file():
        why = "expected a file or nothing, found a folder, device or broken link; move it away"
        raise FileExistsError(errno.EEXIST, why, str(place))
    if not replaceable and not written_here(place, kind):
        raise foreign(place, instead)


def there(place: Place) -> bool:
    """Whether the place exists; a dangling link counts as existing."""
    return place.exists() if isinstance(place, Url) else os.path.lexists(place)


def foreign(place: Place, instead: str = INSTEAD) -> FileExistsError:
    """The error for a file that hppnet did not write. ``instead``: what the user can do."""
    why = f"it was not written by hppnet and may be labels or other work; {instead}"
    return FileExistsError(errno.EEXIST, why, str(place))


def output_kind(output: Place) -> str | None:
    """The format that a name's suffix asks for; None for a folder."""
    kind = {"midi": "mid"}.get(output.suffix[1:].lower(), output.suffix[1:].lower())
    return kind if kind in FORMATS and not output.is_dir() else None


def stem_of(place: Place) -> Place:
    """The place without its suffix. ``Op.27 No.2`` has none."""
    suffix = place.suffix
    is_suffix = suffix.lower() in SOUND_SUFFIXES or suffix[1:2].isalpha()
    return place.with_suffix("") if is_suffix else place


def outputs_of(stem: Place, kinds: tuple[str, ...]) -> dict[str, Place]:
    """One output per kind, named ``stem`` with the kind as suffix."""
    return {kind: stem.with_name(f"{stem.name}.{kind}") for kind in kinds}


def named_outputs(output: Place, kinds: tuple[str, ...]) -> dict[str, Place]:
    """The file ``output``, named by the user, and beside it the outputs of the other kinds."""
    named = output_kind(output)
    if named is None:
        return outputs_of(output, kinds)
    return {kind: output if kind == named else output.with_suffix(f".{kind}") for kind in kinds}
