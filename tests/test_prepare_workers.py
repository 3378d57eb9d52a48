"""Work in several processes, one of which dies."""

from __future__ import annotations

import os

from hppnet.training.prepare.run import in_processes


def work_or_die(item: str) -> str:
    """For another process."""
    if item == "deadly":
        os._exit(9)
    return f"{item} done"


def test_a_process_that_dies_takes_only_its_own_piece_with_it() -> None:
    items = ["a", "deadly", "b", "c"]
    came = list(in_processes(work_or_die, items, 2, lambda item, why: f"{item}: {why}"))
    assert sorted(came) == sorted(
        ["a done", "b done", "c done", "deadly: the process that worked on it ended with exit status 9"]
    )
