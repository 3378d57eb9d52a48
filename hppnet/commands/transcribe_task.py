"""What the options of ``hppnet transcribe`` led to: which recordings, which outputs, what of it is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..failure import printable
from ..offline.inputs import find_recordings
from ..offline.lists import find_listed
from ..offline.outputs import output_kind
from ..offline.plan import Plan
from ..offline.remote import Place
from ..offline.settings import Settings
from ..offline.shards import Shard
from ..offline.writing import FORMATS
from .transcribe_pipes import Pipes

if TYPE_CHECKING:
    from rich.console import Console

    from ..offline.former import Former
    from ..offline.inputs import Found
    from ..offline.manifest import Manifest

_MOST_REMARKS = 20


@dataclass
class Task:
    """The options of the command, and what they led to."""

    settings: Settings
    arguments: list[str]
    list_file: str | None
    output: Place | None
    formats: str | None
    shard: Shard | None
    manifest: Path | None
    skip_existing: bool
    processes: int | None
    cluster: str | None
    force: bool = False
    pipes: Pipes = field(default_factory=Pipes)
    failures: list[tuple[Place, str]] = field(default_factory=list)  #: folders without or beyond reading
    plan: Plan = field(init=False)

    def find(self, quiet: bool) -> None:
        """The plan. Raises ValueError for what cannot be meant."""
        kinds = kinds_of(self.formats, self.output, self.settings.picture)
        self._check_manifest()
        with _looking(quiet) as tell:
            self.plan = Plan(_counted(self._found(), tell), kinds, self.output, self.shard)
        remarks = self.plan.remarks
        for remark in remarks[:_MOST_REMARKS]:
            print(f"note: {printable(remark)}", file=sys.stderr)
        if len(remarks) > _MOST_REMARKS:
            print(f"note: and {len(remarks) - _MOST_REMARKS} more such names", file=sys.stderr)

    def _found(self) -> Iterator[Found]:
        def failed(place: Place, why: str) -> None:
            self.failures.append((place, why))

        yield from find_recordings(self.arguments, failed)
        if self.list_file is not None:
            yield from find_listed(self.list_file, failed)

    def _check_manifest(self) -> None:
        path = self.manifest
        if path is not None and path.is_dir():
            raise ValueError(f"--manifest {path}: expected a file, this is a folder")
        if path is not None and any(parent.is_file() for parent in path.parents):
            raise ValueError(f"--manifest {path}: expected a folder above it, one of them is a file")

    @property
    def manifest_path(self) -> Path | None:
        """Where it is asked for, or in an output folder."""
        if self.manifest is None and isinstance(self.output, Path) and output_kind(self.output) is None:
            from ..offline.manifest import NAME

            return self.output / NAME
        return self.manifest

    def open_manifest(self) -> Manifest | None:
        """Raises OSError: no checkpoint, or a file that is no manifest where this one would be."""
        from ..offline.manifest import Manifest

        path = self.manifest_path
        return None if path is None else Manifest(path, self.digest(), self.settings, self.shard, self.force)

    def former(self, manifest: Manifest | None) -> Former:
        """What looks at the outputs that are there already."""
        from ..offline.former import Former
        from ..offline.settings import describe_settings

        words = describe_settings(self.settings)
        return Former(words, self.digest, manifest, self.output, force=self.force, skip=self.skip_existing)

    def digest(self) -> str:
        """Of the weights. Raises OSError."""
        from ..model.checkpoint import identity

        return identity(None if self.settings.checkpoint is None else Path(self.settings.checkpoint))


def kinds_of(formats: str | None, output: Place | None, plot: bool) -> list[str]:
    """What to write for each recording; the name after -o may ask for a format. Raises ValueError."""
    named = None if output is None else output_kind(output)
    kinds = [kind.strip().lower() for kind in formats.split(",")] if formats else [named or "mid"]
    for kind in kinds:
        if kind not in FORMATS:
            raise ValueError(f"--format: expected any of {', '.join(FORMATS)}, got {kind!r}")
    if named and named not in kinds:
        raise ValueError(f"-o {output} asks for {named}, --format for {formats}: change one")
    return list(dict.fromkeys(kinds)) + (["png"] if plot else [])


def _looking(quiet: bool) -> AbstractContextManager[Callable[[int], None]]:
    """Tells how many were found so far, where somebody is looking."""
    from rich.console import Console

    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        return nullcontext(lambda count: None)
    return _Looking(console)


class _Looking(AbstractContextManager[Callable[[int], None]]):
    def __init__(self, console: Console) -> None:
        self._status = console.status("looking for recordings")

    def __enter__(self) -> Callable[[int], None]:
        self._status.__enter__()
        return lambda count: self._status.update(f"looking for recordings: {count}")

    def __exit__(self, *raised: object) -> None:
        self._status.stop()


def _counted(found: Iterator[Found], tell: Callable[[int], None]) -> Iterator[Found]:
    for count, item in enumerate(found, 1):
        if count % 500 == 0:
            tell(count)
        yield item
