"""``hppnet evaluate``: how well a checkpoint transcribes recordings whose notes are known."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from functools import partial
from os.path import commonprefix
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from .options import Device, Threshold, latency_ms

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..model.transcriber import Transcriber
    from ..training.evaluation import Listening, Outcome, Pair
    from ..training.scores import PRF, Scores

_WIDTH = 130  #: of the table where the output is no terminal


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="Recordings with labels (NAME.tsv or NAME.mid)."
        ),
    ],
    streaming: Annotated[bool, typer.Option("--streaming", help="As live would have heard them.")] = False,
    latency: Annotated[
        str | None,
        typer.Option(help="With --streaming: ms, or fast, balanced, accurate.  [default: accurate, 132 ms]"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(exists=True, help="Other weights than those that come with hppnet.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    onset_threshold: Threshold = None,
    frame_threshold: Threshold = None,
    offset_threshold: Threshold = None,
    first_seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Only so much of each file, for a quick look.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Recordings at once, a process each.")] = 1,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write all scores; - for standard output.")
    ] = None,
) -> None:
    """Score transcriptions against labels: precision, recall and F1 of notes and frames, by mir_eval.

    The mean is over files. Exit code: 0 done, 1 a file failed and was named, 2 wrong use.
    """
    try:
        from ..offline.inputs import SOUND_SUFFIXES
        from ..training.evaluation import Listening, find_pairs
    except ModuleNotFoundError as error:
        if error.name != "mir_eval":
            raise
        fail("evaluate needs mir_eval: pip install 'hppnet[train]'")
    _check_writable(json_file)
    load = partial(
        _load,
        checkpoint,
        device.value,
        {"onset": onset_threshold, "frame": frame_threshold, "offset": offset_threshold},
    )
    transcriber = _loaded(load)
    listening = Listening(_reachable(transcriber, _latency(latency, streaming)), first_seconds)
    pairs, lonely = find_pairs(folder, SOUND_SUFFIXES)
    if not pairs and not lonely:
        fail(f"{folder}: expected recordings with labels of the same name (.tsv or .mid), found none")
    outcomes = _outcomes(pairs, transcriber, load, listening, min(jobs, len(pairs)))
    try:
        with closing(outcomes):  # ends the processes, whatever ends the loop
            done = _collect(lonely, outcomes, len(pairs))
    except KeyboardInterrupt:
        fail("interrupted: nothing was written", code=130)
    _report(sorted(done, key=lambda outcome: outcome.name), _settings(transcriber, listening), json_file)
    raise typer.Exit(1 if any(outcome.error for outcome in done) else 0)


def _check_writable(json_file: str | None) -> None:
    """Now rather than after an hour."""
    if json_file not in (None, "-") and not Path(json_file).absolute().parent.is_dir():
        raise typer.BadParameter(f"--json {json_file}: there is no such folder")


def _latency(latency: str | None, streaming: bool) -> float | None:
    try:
        return latency_ms(latency, streaming)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _reachable(transcriber: Transcriber, wanted_ms: float | None) -> float | None:
    """The latency, if the checkpoint's front end allows it."""
    from ..model.timebase import frames_for_latency

    if wanted_ms is not None:
        try:
            frames_for_latency(wanted_ms, transcriber.config.front_end.look_ahead)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return wanted_ms


def _load(checkpoint: Path | None, device: str, thresholds: dict[str, float | None]) -> Transcriber:
    """The transcriber of this process; a function of the module, so that other processes can call it."""
    import torch

    from ..model.transcriber import Transcriber

    # A step is too small to share: beside other work, two threads are slower than one by a factor.
    torch.set_num_threads(1)
    return Transcriber.load(checkpoint, device=device).with_thresholds(**thresholds)


def _loaded(load: partial[Transcriber]) -> Transcriber:
    from ..model.checkpoint import CheckpointError

    try:
        return load()
    except ValueError as error:  # a device or a threshold
        raise typer.BadParameter(str(error)) from None
    except CheckpointError as error:
        fail(str(error))


def _outcomes(
    pairs: list[Pair], transcriber: Transcriber, load: partial[Transcriber], listening: Listening, jobs: int
) -> Generator[Outcome]:
    from ..offline.reading import open_recording
    from ..training import evaluation

    if jobs > 1:
        yield from evaluation.evaluate_in_processes(pairs, load, listening, open_recording, jobs)
    else:
        yield from evaluation.evaluate(pairs, transcriber, listening, open_recording)


def _collect(lonely: list[Outcome], outcomes: Iterable[Outcome], count: int) -> list[Outcome]:
    """All outcomes, errors and progress being shown on standard error as they come."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    for outcome in lonely:
        _show_error(outcome)
    done = list(lonely)
    quiet = not console.is_terminal
    for outcome in track(outcomes, "scoring", count, console=console, transient=True, disable=quiet):
        if outcome.error:
            _show_error(outcome)
        elif quiet and outcome.scores:
            f1 = _cell(outcome.scores.onset_50ms)
            print(f"{outcome.name}: onset F1 {f1} %", file=sys.stderr, flush=True)
        done.append(outcome)
    return done


def _show_error(outcome: Outcome) -> None:
    print(f"error: {outcome.error}", file=sys.stderr, flush=True)


def _settings(transcriber: Transcriber, listening: Listening) -> dict[str, Any]:
    """What the figures depend on beside the data."""
    return {
        "checkpoint": transcriber.checkpoint_name,
        "network": transcriber.config.network.name,
        "note_ends": transcriber.config.note_ends,
        "thresholds": dataclasses.asdict(transcriber.config.decoder),
        "latency_ms": listening.latency_ms,
        "first_seconds": listening.first_s,
        "device": str(transcriber.device),
        "precision": transcriber.precision if listening.latency_ms is None else "fp32",
    }


def _report(outcomes: list[Outcome], settings: dict[str, Any], json_file: str | None) -> None:
    from ..training.scores import mean

    scored = {outcome.name: outcome.scores for outcome in outcomes if outcome.scores is not None}
    average = mean(list(scored.values())) if scored else None
    if json_file is not None:
        report = {
            "settings": settings,
            "mean": average and dataclasses.asdict(average),
            "files": {name: dataclasses.asdict(scores) for name, scores in scored.items()},
            "failed": {outcome.name: outcome.error for outcome in outcomes if outcome.error},
        }
        _write_json(report, json_file)
    if average is not None and json_file != "-":
        console = _console()
        console.print(_table(scored, average, console.width))
        console.print(_caption(settings), style="dim", highlight=False)


def _write_json(report: dict[str, Any], json_file: str) -> None:
    text = json.dumps(report, indent=2)
    if json_file == "-":
        print(text)
        return
    try:
        Path(json_file).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        fail(f"{json_file}: cannot be written ({error.strerror})")


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


_COLUMNS = {  # heading -> field of Scores
    "onset\n10 ms": "onset_10ms",
    "\n20 ms": "onset_20ms",
    "\n30 ms": "onset_30ms",
    "\n50 ms": "onset_50ms",
    "with\noffset": "onset_offset",
    "and\nveloc.": "onset_offset_velocity",
    "\nframe": "frame",
}
_MORE_COLUMNS = ("50 ms\nP", "\nR", "veloc.\nerror", "twice\n%")
_NUMBERS_WIDTH = 71  #: what these columns take


def _table(scored: dict[str, Scores], average: Scores, width: int) -> Table:
    """F1 by file and in the mean; precision and recall of the onsets at 50 ms. Fits 80 characters."""
    from rich import box
    from rich.table import Table

    table = Table(title="F1 in percent", title_justify="left", box=box.SIMPLE_HEAD, padding=0)
    room = max(9, width - _NUMBERS_WIDTH)
    table.add_column("\nfile", no_wrap=True, max_width=room)
    for heading in [*_COLUMNS, *_MORE_COLUMNS]:
        table.add_column(heading, justify="right", no_wrap=True, min_width=5)
    for name, scores in zip(_short(list(scored), room), scored.values(), strict=True):
        table.add_row(name, *_cells(scores))
    table.add_section()
    table.add_row(f"mean of {len(scored)}", *_cells(average), style="bold")
    return table


def _short(names: list[str], room: int) -> list[str]:
    """Where names are too long, without what begins and ends them all: the rest tells them apart."""
    if len(names) < 2 or max(map(len, names)) <= room:
        return names
    begin = len(commonprefix(names))  # noqa: RUF071 - letters are meant, not folders
    end = len(commonprefix([name[begin:][::-1] for name in names]))  # noqa: RUF071
    return [name[begin : len(name) - end] for name in names]


def _cells(scores: Scores) -> list[str]:
    onset = scores.onset_50ms
    return [
        *(_cell(getattr(scores, field)) for field in _COLUMNS.values()),
        "-" if onset is None else f"{onset.p:.1f}",
        "-" if onset is None else f"{onset.r:.1f}",
        "-" if scores.velocity_mae is None else f"{scores.velocity_mae:.1f}",
        f"{scores.doubled_percent:.2f}",
    ]


def _cell(score: PRF | None) -> str:
    return "-" if score is None else f"{score.f1:.1f}"


def _caption(settings: dict[str, Any]) -> str:
    latency = settings["latency_ms"]
    parts = [
        settings["checkpoint"],
        "full context" if latency is None else f"streaming, {latency:.0f} ms",
        "thresholds " + " / ".join(f"{value:g}" for value in settings["thresholds"].values()),
        f"note ends: {settings['note_ends']}",
    ]
    if settings["first_seconds"] is not None:
        parts.append(f"first {settings['first_seconds']:g} s of each file")
    return ", ".join(parts)
