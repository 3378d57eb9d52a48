"""Outputs that are there already: may a job replace them, and are they what it would write now?"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from .jobs import Job, Root, foreign, there
from .manifest import Manifest
from .places import Place, Url, local_copy
from .provenance import Origin, digest_of, is_whole, origin_of, place_digest, written_here


class ExistingOutputs:
    """Looks at the outputs of jobs, one job after the other, which go below ``output`` or beside recordings.

    ``settings`` in the words of ``describe_settings``; ``checkpoint`` gives the weights' digest. ``force``:
    whatever is there is replaced. ``skip``: jobs are left out whose outputs are there, whole, and made of the
    same sound with the same weights and settings.
    """

    def __init__(
        self,
        settings: str,
        checkpoint: Callable[[], str],
        manifest: Manifest | None = None,
        output: Place | None = None,
        *,
        force: bool = False,
        skip: bool = False,
    ) -> None:
        self._settings, self._checkpoint = settings, checkpoint
        self._manifest, self._force, self._skip = manifest, force, skip
        self._root = Root.above(output) if isinstance(output, Path) else None

    def pending(self, job: Job) -> Job | None:
        """The job, with what it may replace; None for one that is done.

        Raises FileExistsError where an output was not written here, or is another recording's.
        """
        job = replace(job, root=self._root)
        present = {kind: place for kind, place in job.outputs.items() if there(place)}
        if self._force or not present:
            job = replace(job, replaceable=frozenset(present))
            job.check_free()
            return job
        origins = {place: self._origin(place) for place in present.values()}
        source = _SourceDigest(job)
        for place, origin in origins.items():
            if origin is not None and source.is_other_than(origin, self._input_of(place)):
                raise _taken(place, origin)
        job = replace(job, replaceable=frozenset(present))
        job.check_free()
        if self._skip and len(present) == len(job.outputs) and self._recorded(present.values()):
            known = [origin for origin in origins.values() if origin is not None]
            if all(self._right(place, origin, known, source) for place, origin in origins.items()):
                return None
        return job

    def _recorded(self, places: Iterable[Place]) -> bool:
        """Whether the manifest, if there is one, knows them: a run may be killed before it has said so."""
        return self._manifest is None or all(self._manifest.origin(place) is not None for place in places)

    def _origin(self, place: Place) -> Origin | None:
        """By its own words, or the manifest's. Raises FileExistsError for what was not written here."""
        if not place.is_file():
            return None  # check_free says what it is instead
        entry = None if self._manifest is None else self._manifest.origin(place)
        own = written_here(place)
        # Version 0.1 left no words in pictures, and what broke has lost them; but what is whole without them
        # is somebody's, who put it in the place of ours.
        if not own and (entry is None or (place.suffix != ".png" and is_whole(place, None))):
            raise foreign(place)
        return (origin_of(place) if own else None) or entry

    def _input_of(self, place: Place) -> str:
        return "" if self._manifest is None else self._manifest.input_of(place)

    def _right(self, place: Place, origin: Origin | None, known: list[Origin], source: _SourceDigest) -> bool:
        if origin is None:  # a CSV says nothing: what was written with it does
            kind = place.suffix[1:]
            origin = next((other for other in known if kind in other.formats.split("+")), None)
        return (
            origin is not None
            and (origin.checkpoint, origin.settings) == (self._checkpoint(), self._settings)
            and is_whole(place, origin.notes)
            and source.is_of(origin, place)
        )


class _SourceDigest:
    """A job's recording, compared with those that outputs were made of."""

    def __init__(self, job: Job) -> None:
        self._source = job.source
        self._known: str | None = None

    @property
    def _digest(self) -> str:
        """Empty where the recording cannot be read: who transcribes it will say why."""
        if self._known is None:
            try:
                with local_copy(self._source) as file:
                    self._known = digest_of(file)
            except Exception:  # each store has errors of its own
                self._known = ""
        return self._known

    def is_of(self, origin: Origin, output: Place) -> bool:
        if origin.digest:
            return origin.digest == self._digest
        # Version 0.1 left no digest.
        return origin.input == self._source.name and not _newer(self._source, output)

    def is_other_than(self, origin: Origin, path: str) -> bool:
        """Whether the output was made of another recording; ``path`` as the manifest has it, "" unknown."""
        if origin.place and origin.digest:
            return origin.place != place_digest(self._source) and origin.digest != self._digest
        if origin.input != self._source.name:
            return True
        if not path or isinstance(self._source, Url) or not os.path.isfile(path):
            return False  # moved away, or never known
        return not os.path.samefile(path, self._source) and digest_of(Path(path)) != self._digest


def _newer(source: Place, output: Place) -> bool:
    """Whether a recording was changed after its output, as far as their times tell."""
    if isinstance(source, Url) or isinstance(output, Url):
        return False
    try:
        return os.path.getmtime(source) > os.path.getmtime(output)
    except OSError:  # not there: who transcribes it will say so
        return True


def _taken(place: Place, origin: Origin) -> FileExistsError:
    why = (
        f"it holds the notes of another recording, {origin.input}; name another folder or file with -o, "
        "or replace it with --force"
    )
    return FileExistsError(errno.EEXIST, why, str(place))
