"""``prepared.json``: what a prepared folder holds, how its notes end, and what was skipped and why."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...model.files import replacing
from ...model.timebase import SAMPLE_RATE
from ...program import program
from ..data.labels import REPORT
from .convert import PreparationOutcome


@dataclass(frozen=True)
class PreparationPlan:
    """Settings of all pieces of a prepared folder; a run that continues it must have the same."""

    kind: str  #: maestro, maps, pairs, render or label
    note_ends: str  #: keys or sounding
    settings: dict[str, object] = field(default_factory=dict)  #: specific to the kind

    def check(self, out: Path, pieces: Iterable[Path]) -> None:
        """Checks that ``pieces`` may be written to ``out``, beside the results of an earlier run.

        Raises ValueError, one line, if that run had another plan; FileExistsError for a report that this
        program did not write, and for existing pieces without a report, which are not its own either.
        """
        path = out / REPORT
        if not path.exists():
            if (theirs := next(filter(os.path.lexists, pieces), None)) is not None:
                raise _foreign(theirs)
            return
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            before = PreparationPlan(found["kind"], found["note_ends"], {**found["settings"]})
        except (ValueError, KeyError, TypeError):
            raise _foreign(path) from None
        for name, was, now in self._differences(before):
            raise ValueError(
                f"{out}: prepared with {name} = {was}, now {now} is wanted; "
                "name another folder, or delete this one"
            )

    def _differences(self, before: PreparationPlan) -> list[tuple[str, object, object]]:
        ours = {"kind": self.kind, "note ends": self.note_ends, **self.settings}
        theirs = {"kind": before.kind, "note ends": before.note_ends, **before.settings}
        names = {**ours, **theirs}
        return [(n, theirs.get(n), ours.get(n)) for n in names if ours.get(n) != theirs.get(n)]


def _foreign(path: Path) -> FileExistsError:
    why = "it was not written by hppnet prepare; move it away, or name another folder for the results"
    return FileExistsError(errno.EEXIST, why, str(path))


@dataclass(frozen=True)
class Total:
    """Sums over several pieces."""

    pieces: int
    hours: float
    notes: int
    skipped: int

    @classmethod
    def of(cls, outcomes: Sequence[PreparationOutcome]) -> Total:
        made = [outcome for outcome in outcomes if outcome.why is None]
        hours = sum(outcome.seconds for outcome in made) / 3600
        return cls(len(made), round(hours, 4), sum(o.notes for o in made), len(outcomes) - len(made))

    def __str__(self) -> str:
        pieces = f"{self.pieces} piece{'' if self.pieces == 1 else 's'}"
        return f"{pieces}, {self.hours:.2f} hours, {self.notes} notes, {self.skipped} skipped"


def by_folder(out: Path, outcomes: Sequence[PreparationOutcome]) -> dict[str, Total]:
    """Totals of the folders in ``out`` (``.`` is ``out`` itself), by name."""
    folders = sorted({outcome.folder for outcome in outcomes})
    return {
        str(folder.relative_to(out)): Total.of([o for o in outcomes if o.folder == folder])
        for folder in folders
    }


def write_report(
    out: Path, plan: PreparationPlan, outcomes: Sequence[PreparationOutcome], missing: int
) -> None:
    """Writes ``prepared.json``; ``missing`` pieces are still to be made. Raises OSError."""
    outcomes = sorted(outcomes, key=lambda o: (o.folder, o.name))  # processes end in any order
    report = {
        "program": program(),
        "kind": plan.kind,
        "note_ends": plan.note_ends,
        "settings": plan.settings,
        "sample_rate": SAMPLE_RATE,
        "missing": missing,
        "total": vars(Total.of(outcomes)),
        "folders": {name: vars(total) for name, total in by_folder(out, outcomes).items()},
        "skipped": [{"name": o.name, "why": o.why} for o in outcomes if o.why is not None],
        "pieces": [_entry(out, outcome) for outcome in outcomes if outcome.why is None],
    }
    with replacing(out / REPORT) as part:
        part.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _entry(out: Path, outcome: PreparationOutcome) -> dict[str, object]:
    return {
        "name": outcome.name,
        "folder": str(outcome.folder.relative_to(out)),
        "hours": round(outcome.seconds / 3600, 6),
        "notes": outcome.notes,
        **(outcome.about or {}),
    }
