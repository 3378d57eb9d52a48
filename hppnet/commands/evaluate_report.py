"""How ``hppnet evaluate`` opens recordings, and the files and tables that it writes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .reports import print_figures, write_figures, write_report

if TYPE_CHECKING:
    from ..training.evaluate.options import Options
    from ..training.evaluate.runs import EvaluationOutcome
    from ..training.evaluate.task import EvaluationTask


def task_of(options: Options, folder: Path) -> EvaluationTask:
    """Prepares the evaluation; refuses truncated recordings, whose labels are longer."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..offline.reading import open_recording, open_saying
    from ..training.evaluate.task import SoundFiles, prepare_task

    whole = partial(open_saying, channel=options.channel, track=options.track, whole=True)
    return prepare_task(options, SoundFiles(SOUND_SUFFIXES, whole, open_recording), folder)


def write_and_print(done: Sequence[EvaluationOutcome], task: EvaluationTask) -> None:
    """Writes and prints the results. Raises EvaluationRefusal if a file cannot be written."""
    from ..offline.writing import cannot_write
    from ..training.evaluate.options import EvaluationRefusal
    from ..training.evaluate.report import all_figures, as_csv, picture_of, settings
    from ..training.evaluate.runs import runs_of
    from ..training.evaluate.tables import print_tables

    runs, about, options = runs_of(done), settings(task), task.options
    try:
        if options.json_file is not None:
            figures = all_figures(runs, done, about, options.several_runs)
            write_figures(figures, options.json_file, options.force)
            print_figures(figures, options.json_file)
        if options.csv_file is not None:
            rows = as_csv(runs)
            write_report(options.csv_file, lambda part: part.write_text(rows, "utf-8"), options.force, "csv")
        if options.json_file != "-":
            print_tables(runs, about, options.several_runs)
        if options.picture is not None and (draw := picture_of(runs, task)) is not None:
            write_report(options.picture, draw, options.force, "png")
            print(f"picture: {options.picture}", file=sys.stderr)
    except OSError as error:
        raise EvaluationRefusal(cannot_write(error), 1) from None
