"""The results of an evaluation: all figures for JSON, rows for CSV, the picture."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...model.config import ModelConfig
from . import peers, pictures
from .options import ALL, OWN, Options
from .programs import all_latencies, run_name
from .runs import EvaluationOutcome, EvaluationRun
from .scores import F1_FIELDS, Scores
from .tables import caption
from .task import EvaluationTask

_IN_JSON = {"transcribed": "heard"}  #: ``evaluate --json`` keeps its original name


def settings(task: EvaluationTask) -> dict[str, Any]:
    """The settings that the figures depend on, beside the recordings."""
    options, transcriber = task.options, task.transcriber
    conditions = options.listening.conditions
    about: dict[str, Any] = {
        "data": None if options.data is None else str(options.data),
        "labels_note_ends": task.note_ends,
        "first_seconds": options.listening.first_s,
        "latency_ms": options.latency,
        "starts": options.starts,
        "programs": {name: _about(name, options.checkpoint) for name in options.models},
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
            "thresholds": _thresholds(transcriber.config, options),
            "device": str(transcriber.device),
            "precision": transcriber.precision if options.latency is None else "fp32",
        }
    return about


def _thresholds(config: ModelConfig, options: Options) -> dict[str, float]:
    """The thresholds that were applied; all of the checkpoint's if there were several latencies."""
    if options.latency == ALL or options.playing:
        return dataclasses.asdict(config.decoder)
    return config.decoder_at(None if options.latency is None else float(options.latency)).applied


def _about(name: str, checkpoint: Path | None) -> dict[str, Any]:
    peer = peers.OwnPeer(checkpoint) if name == OWN else peers.make(name)
    return peer.about._asdict()


def all_figures(
    runs: Sequence[EvaluationRun], done: Sequence[EvaluationOutcome], about: dict[str, Any], several: bool
) -> dict[str, Any]:
    """One run's figures at the top level, several runs' by name under ``runs``."""
    failed = {outcome.name: outcome.error for outcome in done if outcome.error}
    figures = {run.name: _figures(run) for run in runs}
    if several:
        return {"settings": about, "runs": figures, "failed": failed}
    one: dict[str, Any] = next(iter(figures.values()), {"mean": None, "interval": None, "files": {}})
    return {"settings": about, **one, "failed": failed}


def _figures(run: EvaluationRun) -> dict[str, Any]:
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
        figures["errors"] = {
            way: {
                group: {_IN_JSON.get(name, name): n for name, n in counts.items()}
                for group, counts in of.items()
            }
            for way, of in run.mistakes.as_dict().items()
        }
    return figures


def as_csv(runs: Sequence[EvaluationRun]) -> str:
    """A row for each file of each run, and the run's mean. An empty cell: nothing to score."""
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
    cells: list[float | None] = []
    for name in F1_FIELDS:
        prf = getattr(scores, name)
        cells += [None] * 3 if prf is None else [prf.p, prf.r, prf.f1]
    cells += [scores.velocity_mae, scores.doubled_percent]
    return [None if cell is None else f"{cell:.4f}" for cell in cells]


def picture_of(runs: Sequence[EvaluationRun], task: EvaluationTask) -> Callable[[Path], None] | None:
    """A function that draws the picture into a file; None if there is nothing to draw."""
    data = task.options.data
    title = f"{data.absolute().name if data else ''}\n{caption(settings(task))}"
    if task.options.latency == ALL and task.transcriber is not None:
        points = {run.name: _point(run) for run in runs if run.mean is not None}
        latencies = all_latencies(task.transcriber.config.front_end.look_ahead)
        streamed = {ms: points.pop(run_name(ms)) for ms in latencies if ms and run_name(ms) in points}
        offline = points.pop(run_name(None), None)
        if streamed:
            return lambda path: pictures.draw_latencies(path, streamed, offline, points, title)
    elif task.options.errors and runs and runs[0].mistakes is not None:
        found = runs[0].mistakes
        return lambda path: pictures.draw_mistakes(path, found, title)
    return None


def _point(run: EvaluationRun) -> pictures.Point:
    scores = {name: getattr(run.mean, name) for name in F1_FIELDS}
    return pictures.Point({name: prf.f1 for name, prf in scores.items() if prf is not None}, run.intervals)
