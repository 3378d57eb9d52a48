"""One of N equal parts of the work, for job arrays: no scheduler of ours, and nothing to talk about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th recording, from number ``index`` on (from 0): long ones spread over all."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(f"--shard: expected I/N with I from 1 to N, got {self.index + 1}/{self.count}")

    @property
    def label(self) -> str:
        """For a file name of its own: ``3-of-16``."""
        return f"{self.index + 1}-of-{self.count}"


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """``3/16``, or ``slurm``: what a SLURM job array says in its environment.

    All N tasks must be given the same inputs. Raises ValueError for anything else.
    """
    if text.strip().lower() == "slurm":
        return _of_slurm(environment)
    first, _, count = text.partition("/")
    try:
        return Shard(int(first) - 1, int(count))
    except ValueError as error:
        if str(error).startswith("--shard"):
            raise
        raise ValueError(f"--shard: expected I/N (as 3/16) or slurm, got {text!r}") from None


def _of_slurm(environment: Mapping[str, str]) -> Shard:
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
