"""The plan: the outputs of all recordings, fixed before the first is read; name clashes; shards.

The plan is stored in a temporary SQLite file, so a million recordings take no more memory than ten.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ..model.files import file_above
from .errors import UsageError
from .inputs import FoundRecording
from .jobs import Job, named_outputs, output_kind, outputs_of, stem_of
from .places import Place, Url, place_of
from .writing import FORMATS

_SUFFIXES = ", ".join(f".{kind}" for kind in FORMATS[:-1]) + f" or .{FORMATS[-1]}"
_SAME_NAME = "their outputs would have the same name, so they"
_TABLE = """
CREATE TABLE found (
    number INTEGER PRIMARY KEY, source BLOB, place BLOB, named INTEGER, key BLOB, file BLOB UNIQUE
)
"""


@dataclass(frozen=True)
class Shard:
    """A slice of the plan, for job arrays: every ``count``-th recording, starting at ``index`` (from 0).

    Long recordings are spread over all shards, and shards need not communicate.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"--shard: expected I/N with I from 1 to N, got {self.index + 1}/{self.count}")

    @property
    def label(self) -> str:
        """The shard as part of a file name: ``3-of-16``."""
        return f"{self.index + 1}-of-{self.count}"


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """The shard for ``3/16``, or for ``slurm`` by the environment variables of a SLURM job array.

    All N tasks must have the same inputs. Raises ValueError for any other text.
    """
    if text.strip().lower() == "slurm":
        return _slurm_shard(environment)
    first, _, count = text.partition("/")
    try:
        return Shard(int(first) - 1, int(count))
    except ValueError as error:
        if str(error).startswith("--shard"):
            raise
        raise ValueError(f"--shard: expected I/N (as 3/16) or slurm, got {text!r}") from None


def _slurm_shard(environment: Mapping[str, str]) -> Shard:
    def number(name: str, default: int | None = None) -> int:
        said = environment.get(f"SLURM_ARRAY_TASK_{name}", default)
        if said is None:
            raise ValueError(
                f"--shard slurm: expected a job array (sbatch --array), no SLURM_ARRAY_TASK_{name}"
            )
        return int(said)

    index, count = number("ID"), number("COUNT")
    step = max(1, number("STEP", 1))
    own, rest = divmod(index - number("MIN", 0), step)
    if rest or not 0 <= own < count:
        raise ValueError(f"--shard slurm: expected an array without gaps, task {index} is not one of {count}")
    return Shard(own, count)


class Plan:
    """One job per recording, without duplicates. May be iterated repeatedly.

    ``output``: None puts outputs beside each recording. A name ending in .mid, .midi, .csv, .json or .jsonl
    is the output file of a single recording. Any other name is a folder, which mirrors the folders searched.
    ``remarks`` lists outputs whose names must differ from their recordings' names, and links left out.
    """

    def __init__(
        self,
        found: Iterable[FoundRecording],
        kinds: Sequence[str],
        output: Place | None = None,
        shard: Shard | None = None,
    ) -> None:
        """Raises UsageError for several recordings with one output file, a file in place of a folder, a
        read-only place, and an output that is named for two recordings.
        """
        self._kinds, self._output, self._shard = tuple(kinds), output, shard or Shard(0, 1)
        self._one_file = output is not None and output_kind(output) is not None
        if output is not None and not self._one_file and output.exists() and not output.is_dir():
            raise UsageError(
                f"{output}: expected a folder, found a file; outputs that are files end in {_SUFFIXES}"
            )
        if isinstance(output, Path) and (above := file_above(output)):
            raise UsageError(f"{output}: expected a folder at {above}, found a file; name another place")
        if isinstance(output, Url) and not output.writable:
            raise UsageError(f"{output}: expected a place that can be written to; {output.scheme} cannot")
        self._rows = sqlite3.connect("", isolation_level=None)  # a temporary file
        self._rows.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLE}")
        self._rows.execute("BEGIN")
        self._count = 0
        self.remarks: list[str] = []
        for item in found:
            self._add(item)
        self._rows.execute("CREATE INDEX keys ON found (key)")
        if not self._one_file:
            self.remarks += self._apart()
        self._rows.execute("COMMIT")
        if self._one_file and self._count != 1:
            raise UsageError(f"{output}: expected one recording, got {self._count}; name a folder")

    def __len__(self) -> int:
        """Number of jobs in this shard."""
        return len(range(self._shard.index, self._count, self._shard.count))

    def __iter__(self) -> Iterator[Job]:
        rows = self._rows.execute(
            "SELECT source, place, named FROM found WHERE number % ? = ? ORDER BY number",
            (self._shard.count, self._shard.index),
        )
        for source, place, named in rows:
            stem = _place(place)
            outputs = named_outputs(stem, self._kinds) if named else outputs_of(stem, self._kinds)
            yield Job(_place(source), outputs)

    def _add(self, item: FoundRecording) -> None:
        place, named = self._place_for(item)
        if isinstance(place, Url) and not place.writable:
            raise UsageError(f"{item.path}: outputs cannot be put beside it; name a folder with -o")
        file = hashlib.blake2b(os.fsencode(_identity(item.path)), digest_size=16).digest()
        stem = _named_stem(place) if named else stem_of(place)
        row = (self._count, _bytes(item.path), _bytes(place), named, _key(stem), file)
        added = self._rows.execute("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?)", row)
        self._count += added.rowcount
        if not added.rowcount:
            query = "SELECT source FROM found WHERE file = ?"
            first = _place(self._rows.execute(query, (file,)).fetchone()[0])
            if first.name != item.path.name:
                self.remarks.append(f"{item.path}: the same file as {first}, so it is transcribed once")

    def _place_for(self, item: FoundRecording) -> tuple[Place, bool]:
        if self._one_file and self._output is not None:
            return self._output, True
        if item.output is not None:
            own = place_of(item.output)
            if self._output is not None and isinstance(own, Path) and not own.is_absolute():
                own = self._output / own
            return own, True
        return (item.path if self._output is None else self._output / item.relative), False

    # --- name clashes ---

    def _apart(self) -> list[str]:
        """Give all outputs different names, and reduce places to stems. Returns remarks."""
        remarks: list[str] = []
        if self._output is not None:
            for key in self._clashes():
                remarks += self._apart_by_folder(key)
        remarks += [self._apart_by_suffix(key) for key in self._clashes()]
        self._strip()
        for key in self._clashes():
            remarks += self._apart_by_number(key)
        return remarks

    def _clashes(self) -> Iterator[bytes]:
        """Keys shared by several recordings, copied to a table, since keys change during the iteration."""
        self._rows.execute("DROP TABLE IF EXISTS temp.clash")
        self._rows.execute(
            "CREATE TEMP TABLE clash AS SELECT key FROM found GROUP BY key HAVING count(*) > 1 "
            "ORDER BY min(number)"
        )
        return (key for (key,) in self._rows.execute("SELECT key FROM temp.clash ORDER BY rowid"))

    def _group(self, key: bytes) -> list[tuple[int, Place, Place, bool]]:
        """(number, source, place, named) of all with one key. Raises UsageError if two of them are named."""
        query = "SELECT number, source, place, named FROM found WHERE key = ? ORDER BY number"
        rows = [(n, _place(s), _place(p), bool(m)) for n, s, p, m in self._rows.execute(query, (key,))]
        sources = [str(source) for _, source, _, named in rows if named]
        if len(sources) > 1:
            raise UsageError(f"{rows[0][2]}: expected one recording for it, got {', '.join(sources[:3])}")
        return rows

    def _apart_by_folder(self, key: bytes) -> list[str]:
        """Put ``a/take.wav`` and ``b/take.wav``, given as separate arguments, below ``a`` and ``b``."""
        group = [row for row in self._group(key) if not row[3]]
        parents = [_folder(source) for _, source, _, _ in group]
        try:
            common = os.path.commonpath(parents)
        except ValueError:  # two drives, or a path and a URL
            return []
        if len(set(parents)) < 2 or self._output is None:
            return []
        for (number, _, place, _), parent in zip(group, parents, strict=True):
            below = PurePosixPath(Path(parent).as_posix()).relative_to(Path(common).as_posix())
            self._set(number, self._output / below / place.name)
        names = _listed([source for _, source, _, _ in group])
        return [f"{names}: {_SAME_NAME} go into folders named after the recordings' folders"]

    def _apart_by_suffix(self, key: bytes) -> str:
        """Keep the suffixes of ``take.wav`` and ``take.flac`` in one folder: ``take.wav.mid`` and so on."""
        group = self._group(key)
        for number, _, place, named in group:
            if not named:
                self._set(number, place, kept=True)
        names = _listed([source for _, source, _, _ in group])
        example = next(place.name for _, _, place, named in group if not named)
        kept = f"{example}.{self._kinds[0]}"
        return f"{names}: {_SAME_NAME} keep the recordings' suffixes ({kept})"

    def _apart_by_number(self, key: bytes) -> list[str]:
        """Number the remaining clashes, such as ``a.wav`` and ``A.WAV`` on a case-sensitive file system."""
        remarks = []
        group = self._group(key)
        free = [row for row in group if not row[3]]
        for number, source, place, _ in free[1:] if len(free) == len(group) else free:
            count = 2
            while self._taken(place.with_name(f"{place.name}-{count}")):
                count += 1
            self._set(number, place.with_name(f"{place.name}-{count}"), kept=True)
            numbered = f"{place.name}-{count}.{self._kinds[0]}"
            remarks.append(f"{source}: its output's name is taken, so a number is added ({numbered})")
        return remarks

    def _taken(self, stem: Place) -> bool:
        return bool(self._rows.execute("SELECT 1 FROM found WHERE key = ?", (_key(stem),)).fetchone())

    def _set(self, number: int, place: Place, kept: bool = False) -> None:
        """Change a recording's place. ``kept``: its stem includes the suffix."""
        key = _key(place if kept else stem_of(place))
        row = (_bytes(place), key, number)
        self._rows.execute("UPDATE found SET place = ?, key = ? WHERE number = ?", row)

    def _strip(self) -> None:
        """Replace places by stems. The key tells whether the suffix is kept."""
        self._rows.create_function("stem", 2, _stem_by_key, deterministic=True)
        self._rows.execute("UPDATE found SET place = stem(place, key) WHERE NOT named")


def _named_stem(place: Place) -> Place:
    """What outputs of a place that a user named begin with, as ``stem_of`` of a recording."""
    return place.with_suffix("") if place.suffix[1:].lower() in (*FORMATS, "midi") else place


def _stem_by_key(place: bytes, key: bytes) -> bytes:
    whole = _place(place)
    return place if _key(whole) == key else _bytes(stem_of(whole))


def _listed(places: Sequence[Place]) -> str:
    return ", ".join(map(str, places[:4])) + (", ..." if len(places) > 4 else "")


def _identity(place: Place) -> str:
    """The same text for all names of a file; resolves links."""
    if isinstance(place, Url):
        return str(place)
    whole = os.path.join(_folder(place), place.name)
    return os.path.realpath(whole) if os.path.islink(whole) else whole


def _folder(place: Place) -> str:
    """The same text for all names of the folder that a file lies in."""
    return str(place.parent) if isinstance(place, Url) else _real_folder(str(place.parent.absolute()))


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _key(stem: Place) -> bytes:
    """Equal for names that may be the same file. Ignores case, as some file systems do."""
    if isinstance(stem, Path):
        stem = Path(_folder(stem), stem.name)
    return os.fsencode(str(stem).casefold())


def _bytes(place: Place) -> bytes:
    return os.fsencode(str(place))


def _place(stored: bytes) -> Place:
    text = os.fsdecode(stored)
    return Url(text) if "://" in text else Path(text)
