"""Checks existing outputs: whether a job may replace them, and whether they are up to date."""

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
    """Checks the outputs of jobs, one job after the other.

    ``settings``: the line of ``describe_settings``. ``checkpoint``: returns the digest of the weights.
    ``output``: where outputs go; None: beside the recordings. ``force``: replace whatever exists. ``skip``:
    leave out jobs whose outputs exist, are complete, and were made from the same sound with the same weights
    and settings.
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
        """The job with the kinds that it may replace; None for a job that is done.

        Raises FileExistsError for an output that hppnet did not write or that belongs to another recording.
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
        """Whether the manifest, if any, lists all places. A killed run may have left outputs out of it."""
        return self._manifest is None or all(self._manifest.origin(place) is not None for place in places)

    def _origin(self, place: Place) -> Origin | None:
        """The origin in an output or the manifest. Raises FileExistsError if hppnet did not write it."""
        if not place.is_file():
            return None  # check_free raises the error
        entry = None if self._manifest is None else self._manifest.origin(place)
        own = written_here(place)
        # The first versions did not mark pictures, and a damaged output has lost its mark. Any other
        # complete file without the mark is somebody else's, put in place of our output.
        if not own and (entry is None or (place.suffix != ".png" and is_whole(place, None))):
            raise foreign(place)
        return (origin_of(place) if own else None) or entry

    def _input_of(self, place: Place) -> str:
        return "" if self._manifest is None else self._manifest.input_of(place)

    def _right(self, place: Place, origin: Origin | None, known: list[Origin], source: _SourceDigest) -> bool:
        if origin is None:  # a CSV holds no origin: use that of an output written with it
            kind = place.suffix[1:]
            origin = next((other for other in known if kind in other.formats.split("+")), None)
        return (
            origin is not None
            and (origin.checkpoint, origin.settings) == (self._checkpoint(), self._settings)
            and is_whole(place, origin.notes)
            and source.is_of(origin, place)
        )


class _SourceDigest:
    """Compares a job's recording with the recordings that outputs were made from."""

    def __init__(self, job: Job) -> None:
        self._source = job.source
        self._known: str | None = None

    @property
    def _digest(self) -> str:
        """Empty if the recording cannot be read: transcribing it reports the error."""
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
        # The first versions stored no digest.
        return origin.input == self._source.name and not _newer(self._source, output)

    def is_other_than(self, origin: Origin, path: str) -> bool:
        """Whether an output holds another recording's notes. ``path``: the manifest's input for it, or ""."""
        if origin.place and origin.digest:
            return origin.place != place_digest(self._source) and origin.digest != self._digest
        if origin.input != self._source.name:
            return True
        if not path or isinstance(self._source, Url) or not os.path.isfile(path):
            return False  # moved, or unknown
        return not os.path.samefile(path, self._source) and digest_of(Path(path)) != self._digest


def _newer(source: Place, output: Place) -> bool:
    """Whether a recording is newer than its output by modification time; False for URLs."""
    if isinstance(source, Url) or isinstance(output, Url):
        return False
    try:
        return os.path.getmtime(source) > os.path.getmtime(output)
    except OSError:  # missing: transcribing it reports the error
        return True


def _taken(place: Place, origin: Origin) -> FileExistsError:
    why = (
        f"it holds the notes of another recording, {origin.input}; name another folder or file with -o, "
        "or replace it with --force"
    )
    return FileExistsError(errno.EEXIST, why, str(place))
