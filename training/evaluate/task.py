"""What ``hppnet evaluate`` is to do: recordings found, labels read, programs ready to listen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .evaluate_options import ALL, OWN, EvaluationRefusal, Options

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber
    from ..training.data.sounds import Opener
    from ..training.evaluate.programs import Answer, Hppnet
    from ..training.evaluate.recordings import EvaluationData, Pair
    from ..training.evaluate.runs import EvaluationOutcome

    Transcribe = Callable[[list[Pair]], Generator[Answer, None, None]]


@dataclass(frozen=True)
class EvaluationTask:
    """Everything that is to be done."""

    options: Options
    note_ends: str | None  #: of the labels
    pairs: list[Pair]
    failures: list[EvaluationOutcome]
    programs: dict[str, Transcribe]  #: by name
    transcriber: Transcriber | None  #: hppnet's own, if it is evaluated


def prepare(options: Options, folder: Path) -> EvaluationTask:
    """Finds, loads and reads everything; what is cut out of recordings goes to ``folder``. Raises EvaluationRefusal."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..offline.reading import open_recording
    from ..training.evaluate.recordings import cut_starts, without_piano

    transcriber = _loaded(options) if OWN in options.models else None
    latencies = _latencies(options, transcriber)
    try:
        options.listening.conditions.check()
        data = _data(options)
        quiet = without_piano(options.no_piano, SOUND_SUFFIXES)
        if options.starts is not None:
            quiet = cut_starts(quiet, options.starts, folder, open_recording)
    except ValueError as error:
        raise EvaluationRefusal(str(error), 1) from None
    pairs, failures = _read(data, options.note_ends)
    pairs += quiet
    note_ends = options.note_ends or (data.note_ends if data else None)
    _compare_note_ends(transcriber, note_ends)
    programs = _programs(options, latencies, transcriber, max(1, min(options.jobs, len(pairs))))
    return EvaluationTask(options, note_ends, pairs, failures, programs, transcriber)


def _loaded(options: Options) -> Transcriber:
    from ..model.checkpoint import CheckpointError

    try:
        return _load(options.checkpoint, options.device, options.thresholds)
    except ValueError as error:  # a device or a threshold
        raise EvaluationRefusal(str(error)) from None
    except CheckpointError as error:
        raise EvaluationRefusal(str(error), 1) from None


def _load(checkpoint: Path | None, device: str, thresholds: dict[str, float | None]) -> Transcriber:
    """The transcriber of this process; a function of the module, so that other processes can call it."""
    from ..model.threads import one_thread
    from ..model.transcriber import Transcriber

    transcriber = Transcriber.load(checkpoint, device=device)
    one_thread()
    return transcriber.with_thresholds(**thresholds)


def _latencies(options: Options, transcriber: Transcriber | None) -> tuple[float | None, ...]:
    """Those to listen at, if the checkpoint's front end allows them."""
    from ..model.timebase import frames_for_latency
    from ..training.evaluate.programs import all_latencies

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


def _data(options: Options) -> EvaluationData | None:
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.evaluate.recordings import find_evaluation_data

    if options.data is None:
        return None
    return find_evaluation_data(options.data, SOUND_SUFFIXES, _opener(options))


def _read(data: EvaluationData | None, note_ends: str | None) -> tuple[list[Pair], list[EvaluationOutcome]]:
    """The recordings with their notes, and those that cannot be scored."""
    from rich.console import Console
    from rich.progress import track

    from ..training.evaluate.runs import EvaluationOutcome

    if data is None:
        return [], []
    pairs, failures = [], [EvaluationOutcome(name, error=why) for name, why in data.failures.items()]
    console = Console(stderr=True)
    for labelled in track(
        data.labelled,
        "reading labels",
        console=console,
        transient=True,
        disable=not console.is_terminal,
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
    options: Options, latencies: tuple[float | None, ...], transcriber: Transcriber | None, jobs: int
) -> dict[str, Transcribe]:
    """Peers always have processes of their own, and hppnet beside them: else memory would be shared."""
    from ..training.evaluate import programs as running
    from ..training.evaluate.programs import Hppnet, WrittenPredictions

    programs: dict[str, Transcribe] = {}
    for name in options.models:
        if name != OWN:
            programs[name] = _peer(name, options, jobs)
        elif jobs > 1 or len(options.models) > 1:
            load = partial(_hppnet, options, latencies)
            programs[name] = partial(running.transcribe_in_processes, load=load, jobs=jobs)
        else:
            assert transcriber is not None
            program = Hppnet(transcriber, latencies, options.listening, _opener(options))
            programs[name] = partial(running.transcribe_all, program=program)
    if options.predictions is not None:
        written = WrittenPredictions(options.predictions, options.listening)
        programs[written.name] = partial(running.transcribe_all, program=written)
    return programs


def _opener(options: Options) -> Opener:
    """Recordings that are cut short are refused: their labels go on."""
    from ..offline.reading import open_saying

    return partial(open_saying, channel=options.channel, track=options.track, whole=True)


def _hppnet(options: Options, latencies: tuple[float | None, ...]) -> Hppnet:
    """In a process of its own."""
    from ..training.evaluate.programs import Hppnet

    transcriber = _load(options.checkpoint, options.device, options.thresholds)
    return Hppnet(transcriber, latencies, options.listening, _opener(options))


def _peer(name: str, options: Options, jobs: int) -> Transcribe:
    from ..training.evaluate import peers
    from ..training.evaluate import programs as running
    from ..training.evaluate.programs import PeerProgram

    peer = peers.make(name)
    if missing := peers.missing(peer):
        raise EvaluationRefusal(f"--model {name} needs {', '.join(missing)}: {peer.install}", 1)
    load = partial(PeerProgram.load, partial(peers.make, name), options.listening, _opener(options))
    return partial(running.transcribe_in_processes, load=load, jobs=jobs)
