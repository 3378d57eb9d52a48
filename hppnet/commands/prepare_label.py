"""``hppnet prepare label``: which peer labels, and that it is there, before the recordings are looked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..failure import fail
from .prepare_run import carry_out

if TYPE_CHECKING:
    from ..training.hearing import Opener


def carry_out_labels(
    folder: Path,
    out: Path | None,
    model: str,
    checkpoint: Path | None,
    opener: Opener,
    read_as: dict[str, object],
    jobs: int | None,
    arrays: bool,
    only: str,
) -> None:
    """Labels all recordings of ``folder``; exits as the other commands of ``prepare`` do."""
    from ..model.checkpoint import identity
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training import peers
    from ..training.hearing import LoadError
    from ..training.prepare.labelled import OWN, Labeller, find_recordings, loaded
    from ..training.prepare.report import Plan

    try:
        labeller = Labeller(model, checkpoint)
    except ValueError as error:
        fail(str(error), code=2)
    peer = labeller.make()
    if missing := peers.missing(peer):
        fail(f"--model {model} needs {', '.join(missing)}: {peer.install}")
    settings: dict[str, object] = {"model": model, **read_as}
    if model == OWN:
        try:
            peer = loaded(labeller)  # its checkpoint says where notes end
        except LoadError as error:
            fail(str(error))
        settings["weights"] = identity(checkpoint)
    if out is None:
        out = Path(f"{os.path.abspath(folder)}-labelled")
    place = out
    carry_out(
        lambda: find_recordings(folder, place, labeller, opener, SOUND_SUFFIXES),
        *(out, Plan("label", peer.note_ends, settings), jobs, arrays, only),
    )
