"""Runs an evaluation: finds recordings, reads labels, runs programs, scores their output.

Progress and errors are printed on standard error as they occur.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, track

from ..data.sounds import Opener
from . import peers
from .options import ALL, OWN, EvaluationRefusal, Options
from .playing import LATENCIES_MS, rendered
from .programs import (
    Answer,
    Hppnet,
    PeerProgram,
    WrittenPredictions,
    all_latencies,
    load_transcriber,
    transcribe_all,
    transcribe_in_processes,
)
from .recordings import EvaluationData, Pair, cut_starts, find_evaluation_data, without_piano
from .runs import EvaluationOutcome, outcomes

if TYPE_CHECKING:  # it loads PyTorch, which must not count as a peer's memory
    from ...model.transcriber import Transcriber

Transcribe = Callable[[list[Pair]], Generator[Answer, None, None]]


@dataclass(frozen=True)
class SoundFiles:
    """How recordings are recognised and opened. Functions of a module, so that they can be pickled."""

    suffixes: Collection[str]  #: in lower case with their dot
    open_whole: Opener  #: refuses truncated recordings, whose labels are longer
    open_any: Opener


@dataclass(frozen=True)
class EvaluationTask:
    """Everything that an evaluation needs."""

    options: Options
    note_ends: str | None  #: where the labels' notes end
    pairs: list[Pair]
    failures: list[EvaluationOutcome]
    programs: dict[str, Transcribe]  #: by name
    transcriber: Transcriber | None  #: hppnet's own, if it is evaluated


def prepare_task(options: Options, sounds: SoundFiles, folder: Path) -> EvaluationTask:
    """Finds, loads and reads everything. Excerpts and renderings are written to ``folder``.

    Raises EvaluationRefusal for what cannot be read.
    """
    transcriber = _checked_transcriber(options) if OWN in options.models else None
    latencies = _latencies(options, transcriber)
    try:
        options.listening.conditions.check()
        data = None
        if options.data is not None:
            data = find_evaluation_data(options.data, sounds.suffixes, sounds.open_whole)
        quiet = without_piano(options.no_piano, sounds.suffixes)
        if options.starts is not None:
            quiet = cut_starts(quiet, options.starts, folder, sounds.open_any)
        phrases = [] if options.soundfont is None else rendered(options.soundfont, folder)
    except ValueError as error:
        raise EvaluationRefusal(str(error), 1) from None
    pairs, failures = _read(data, options.note_ends)
    pairs += quiet + phrases
    note_ends = options.note_ends or (data.note_ends if data else None)
    _compare_note_ends(transcriber, note_ends)
    jobs = max(1, min(options.jobs, len(pairs)))
    programs = _programs(options, sounds.open_whole, latencies, transcriber, jobs)
    return EvaluationTask(options, note_ends, pairs, failures, programs, transcriber)


def _checked_transcriber(options: Options) -> Transcriber:
    from ...model.checkpoint import CheckpointError

    try:
        return load_transcriber(options.checkpoint, options.device, options.thresholds)
    except ValueError as error:  # an invalid device or threshold
        raise EvaluationRefusal(str(error)) from None
    except CheckpointError as error:
        raise EvaluationRefusal(str(error), 1) from None


def _latencies(options: Options, transcriber: Transcriber | None) -> tuple[float | None, ...]:
    """The latencies (ms) to transcribe at. Raises EvaluationRefusal for an impossible one."""
    from ...model.timebase import frames_for_latency

    if transcriber is not None and options.playing:
        return LATENCIES_MS
    if transcriber is None or options.latency is None:
        return (None,)
    look_ahead = transcriber.config.front_end.look_ahead
    if options.latency == ALL:
        return all_latencies(look_ahead)
    try:
        frames_for_latency(float(options.latency), look_ahead)
    except ValueError as error:
        raise EvaluationRefusal(str(error)) from None
    return (float(options.latency),)


def _read(data: EvaluationData | None, note_ends: str | None) -> tuple[list[Pair], list[EvaluationOutcome]]:
    """The recordings with their notes, and those that cannot be scored."""
    if data is None:
        return [], []
    pairs, failures = [], [EvaluationOutcome(name, error=why) for name, why in data.failures.items()]
    console = Console(stderr=True)
    shown = console.is_terminal
    for labelled in track(
        data.labelled, "reading labels", console=console, transient=True, disable=not shown
    ):
        try:
            pairs.append(labelled.read(note_ends))
        except ValueError as error:
            failures.append(EvaluationOutcome(labelled.name, error=" ".join(str(error).split())))
    return pairs, failures


def _compare_note_ends(transcriber: Transcriber | None, of_labels: str | None) -> None:
    if transcriber is None or of_labels in (None, transcriber.config.note_ends):
        return
    ends = transcriber.config.note_ends
    print(
        f"note: the labels' notes have {of_labels} ends, the checkpoint learned {ends} ends: figures with "
        "offsets and of frames compare two different things",
        file=sys.stderr,
    )


def _programs(
    options: Options,
    opener: Opener,
    latencies: tuple[float | None, ...],
    transcriber: Transcriber | None,
    jobs: int,
) -> dict[str, Transcribe]:
    """A function per program. Peers, and hppnet beside them, run in processes to measure their memory."""
    programs: dict[str, Transcribe] = {}
    for name in options.models:
        if name != OWN:
            programs[name] = _peer(name, options, opener, jobs)
        elif jobs > 1 or len(options.models) > 1:
            weights = partial(load_transcriber, options.checkpoint, options.device, options.thresholds)
            load = partial(Hppnet.load, weights, latencies, options.listening, opener)
            programs[name] = partial(transcribe_in_processes, load=load, jobs=jobs)
        else:
            assert transcriber is not None
            program = Hppnet(transcriber, latencies, options.listening, opener)
            programs[name] = partial(transcribe_all, program=program)
    if options.predictions is not None:
        written = WrittenPredictions(options.predictions, options.listening, opener)
        programs[written.name] = partial(transcribe_all, program=written)
    return programs


def _peer(name: str, options: Options, opener: Opener, jobs: int) -> Transcribe:
    peer = peers.make(name)
    if missing := peers.missing(peer):
        raise EvaluationRefusal(f"--model {name} needs {', '.join(missing)}: {peer.install}", 1)
    load = partial(PeerProgram.load, partial(peers.make, name), options.listening, opener)
    return partial(transcribe_in_processes, load=load, jobs=jobs)


def carry_out(task: EvaluationTask) -> list[EvaluationOutcome]:
    """Runs all programs. Raises EvaluationRefusal for a program that cannot be started."""
    console = Console(stderr=True)
    quiet = not console.is_terminal
    done = list(task.failures)
    _show(done, quiet)
    with Progress(console=console, transient=True, disable=quiet) as progress:
        bar = progress.add_task("", total=len(task.pairs) * len(task.programs))
        for name, transcribe in task.programs.items():
            progress.update(bar, description=name)
            try:
                with closing(transcribe(task.pairs)) as answers:  # ends the processes after an error too
                    for answer in answers:
                        came = list(outcomes(answer, task.options.listening, task.options.errors))
                        progress.advance(bar)
                        _show(came, quiet)
                        done += came
            except peers.ProgramLoadError as error:
                raise EvaluationRefusal(f"{name} cannot be started: {error}", 1) from error
    return done


def _show(came: Sequence[EvaluationOutcome], quiet: bool) -> None:
    for outcome in came:
        if outcome.error:
            print(f"error: {outcome.error}", file=sys.stderr, flush=True)
        elif quiet and outcome.scores and outcome.scores.onset_50ms:
            f1 = outcome.scores.onset_50ms.f1
            print(f"{outcome.name}: {outcome.run}, onset F1 {f1:.1f} %", file=sys.stderr, flush=True)
