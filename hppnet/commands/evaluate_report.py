"""What ``hppnet evaluate`` leaves: tables on the screen, JSON, CSV and a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .evaluate_options import ALL, OWN, Refusal
from .evaluate_tables import (
    caption,
    console,
    mistakes_table,
    pedal_table,
    playing_table,
    programs_table,
    quiet_table,
    run_table,
    runs_table,
)
from .reports import as_json, print_figures, write_report

if TYPE_CHECKING:
    from ..training.evaluation import Outcome, Run
    from ..training.scores import Scores
    from .evaluate_task import Task


def report(done: Sequence[Outcome], task: Task) -> None:
    """Writes and prints everything that was asked for. Raises Refusal where a file cannot be written."""
    from ..training.evaluation import runs_of

    runs = runs_of(done)
    about = settings(task)
    options = task.options
    if options.json_file is not None:
        figures = all_figures(runs, done, about, options.several_runs)
        if not print_figures(figures, options.json_file):
            _write_text(Path(options.json_file), "json", options.force, as_json(figures))
    if options.csv_file is not None:
        _write_text(options.csv_file, "csv", options.force, as_csv(runs))
    if options.json_file != "-":
        _print(runs, about, options.several_runs)
    _draw(runs, task, caption(about))


def settings(task: Task) -> dict[str, Any]:
    """What the figures depend on beside the recordings."""
    from ..training import peers
    from ..training.peers.own import OwnPeer

    options, transcriber = task.options, task.transcriber
    conditions = options.listening.conditions
    makers = {n: OwnPeer(options.checkpoint) if n == OWN else peers.make(n) for n in options.models}
    about: dict[str, Any] = {
        "data": None if options.data is None else str(options.data),
        "labels_note_ends": task.note_ends,
        "first_seconds": options.listening.first_s,
        "latency_ms": options.latency,
        "starts": options.starts,
        "programs": {name: maker.about._asdict() for name, maker in makers.items()},
        "soundfont": None if options.soundfont is None else options.soundfont.name,
        "conditions": {
            "detune_cents": conditions.detune_cents,
            "rooms": None if conditions.rooms is None else str(conditions.rooms),
            "noise": None if conditions.noises is None else str(conditions.noises),
            "snr_db": None if conditions.noises is None else conditions.snr_db,
            "gain_db": conditions.gain_db,
        },
    }
    if transcriber is not None:
        about |= {
            "checkpoint": transcriber.checkpoint_name,
            "network": transcriber.config.network.name,
            "note_ends": transcriber.config.note_ends,
            "thresholds": dataclasses.asdict(transcriber.config.decoder),
            "device": str(transcriber.device),
            "precision": transcriber.precision if options.latency is None else "fp32",
        }
    return about


def all_figures(
    runs: Sequence[Run], done: Sequence[Outcome], about: dict[str, Any], several: bool
) -> dict[str, Any]:
    """One run's figures at the top, those of several by name under ``runs``."""
    failed = {outcome.name: outcome.error for outcome in done if outcome.error}
    figures = {run.name: _figures(run) for run in runs}
    if several:
        return {"settings": about, "runs": figures, "failed": failed}
    one: dict[str, Any] = next(iter(figures.values()), {"mean": None, "interval": None, "files": {}})
    return {"settings": about, **one, "failed": failed}


def _figures(run: Run) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "mean": run.mean and dataclasses.asdict(run.mean),
        "interval": run.intervals if run.mean else None,
        "files": {name: dataclasses.asdict(scores) for name, scores in run.files.items()},
        "x_realtime": run.x_realtime,
        "peak_mib": run.peak_mib,
    }
    if run.pedal is not None:
        files = {name: dataclasses.asdict(scores) for name, scores in run.pedals.items()}
        figures["pedal"] = {"mean": dataclasses.asdict(run.pedal), "files": files}
    if run.quiet:
        figures["no_piano"] = {
            "false_per_minute": run.false_per_minute,
            "files": run.quiet,
            "false_notes": sum(run.false_notes.values()),
            "with_false_notes": run.with_false_notes,
        }
    if run.mistakes is not None:
        figures["errors"] = run.mistakes.as_dict()
    return figures


def as_csv(runs: Sequence[Run]) -> str:
    """A row for each file of each run, and the run's mean. An empty cell: nothing to score."""
    from ..training.scores import F1_FIELDS

    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    scores = [f"{name}_{part}" for name in F1_FIELDS for part in ("p", "r", "f1")]
    table.writerow(["run", "file", *scores, "velocity_mae", "doubled_percent", "false_per_minute"])
    for run in runs:
        for name, of_file in run.files.items():
            table.writerow([run.name, name, *_row(of_file), None])
        for name, per_minute in run.quiet.items():
            table.writerow([run.name, name, *[None] * (len(scores) + 2), f"{per_minute:.4f}"])
        average = [None] * (len(scores) + 2) if run.mean is None else _row(run.mean)
        false = None if run.false_per_minute is None else f"{run.false_per_minute:.4f}"
        table.writerow([run.name, "mean", *average, false])
    return out.getvalue()


def _row(scores: Scores) -> list[str | None]:
    from ..training.scores import F1_FIELDS

    cells: list[float | None] = []
    for name in F1_FIELDS:
        prf = getattr(scores, name)
        cells += [None] * 3 if prf is None else [prf.p, prf.r, prf.f1]
    cells += [scores.velocity_mae, scores.doubled_percent]
    return [None if cell is None else f"{cell:.4f}" for cell in cells]


def _print(runs: Sequence[Run], about: dict[str, Any], several: bool) -> None:
    screen = console()
    if about["soundfont"] is not None:
        screen.print(playing_table(runs))
    elif several:
        screen.print(runs_table(runs, screen.width))
        screen.print(programs_table(about["programs"]))
    for run in [] if several else runs:
        if run.mean is not None:
            screen.print(run_table(run, screen.width))
        if run.pedals:
            screen.print(pedal_table(run))
        if run.quiet:
            screen.print(quiet_table(run))
        if run.mistakes is not None:
            screen.print(mistakes_table(run.mistakes))
    if runs:
        screen.print(caption(about), style="dim", highlight=False)


def _draw(runs: Sequence[Run], task: Task, title: str) -> None:
    from ..training import evaluation_pictures as pictures
    from ..training.programs import all_latencies, run_name

    path, data, force = task.options.picture, task.options.data, task.options.force
    if path is None:
        return
    title = f"{data.absolute().name if data else ''}\n{title}"
    if task.options.latency == ALL and task.transcriber is not None:
        points = {run.name: _point(run) for run in runs if run.mean is not None}
        latencies = all_latencies(task.transcriber.config.front_end.look_ahead)
        streamed = {ms: points.pop(run_name(ms)) for ms in latencies if ms and run_name(ms) in points}
        offline = points.pop(run_name(None), None)
        if streamed:
            _write(
                *(path, "png", force),
                lambda part: pictures.draw_latencies(part, streamed, offline, points, title),
            )
    elif task.options.errors and runs and runs[0].mistakes is not None:
        found = runs[0].mistakes
        _write(path, "png", force, lambda part: pictures.draw_mistakes(part, found, title))


def _point(run: Run) -> Any:
    from ..training.evaluation_pictures import Point
    from ..training.scores import F1_FIELDS

    scores = {name: getattr(run.mean, name) for name in F1_FIELDS}
    return Point({name: prf.f1 for name, prf in scores.items() if prf is not None}, run.intervals)


def _write_text(path: Path, kind: str, force: bool, text: str) -> None:
    _write(path, kind, force, lambda part: part.write_text(text, encoding="utf-8"))


def _write(path: Path, kind: str, force: bool, write: Callable[[Path], object]) -> None:
    from ..offline.writing import cannot_write

    try:
        write_report(path, write, force, kind)
    except OSError as error:
        raise Refusal(cannot_write(error), 1) from None
    if kind == "png":
        print(f"picture: {path}", file=sys.stderr)
