"""What ``hppnet evaluate`` is to do: recordings found, labels read, programs ready to listen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .evaluate_options import ALL, OWN, Options, Refusal

if TYPE_CHECKING:
    from ..model.transcriber import Transcriber
    from ..training.evaluation import Outcome
    from ..training.hearing import Answer, Opener, Pair
    from ..training.material import Material
    from ..training.programs import Hppnet

    Hear = Callable[[list[Pair]], Generator[Answer, None, None]]


@dataclass(frozen=True)
class Task:
    """Everything that is to be done."""

    options: Options
    note_ends: str | None  #: of the labels
    pairs: list[Pair]
    failures: list[Outcome]
    programs: dict[str, Hear]  #: by name
    transcriber: Transcriber | None  #: hppnet's own, if it is evaluated


def prepare(options: Options, folder: Path) -> Task:
    """Finds, loads and reads everything; what is cut or rendered goes to ``folder``. Raises Refusal."""
    from ..offline.inputs import SOUND_SUFFIXES
    from ..offline.reading import open_recording
    from ..training.material import without_piano
    from ..training.playing import rendered
    from ..training.starts import cut_starts

    transcriber = _loaded(options) if OWN in options.models else None
    latencies = _latencies(options, transcriber)
    try:
        options.listening.conditions.check()
        material = _material(options)
        quiet = without_piano(options.no_piano, SOUND_SUFFIXES)
        if options.starts is not None:
            quiet = cut_starts(quiet, options.starts, folder, open_recording)
        phrases = [] if options.soundfont is None else rendered(options.soundfont, folder)
    except ValueError as error:
        raise Refusal(str(error), 1) from None
    pairs, failures = _read(material, options.note_ends)
    pairs += quiet + phrases
    note_ends = options.note_ends or (material.note_ends if material else None)
    _compare_note_ends(transcriber, note_ends)
    programs = _programs(options, latencies, transcriber, max(1, min(options.jobs, len(pairs))))
    return Task(options, note_ends, pairs, failures, programs, transcriber)


def _loaded(options: Options) -> Transcriber:
    from ..model.checkpoint import CheckpointError

    try:
        return _load(options.checkpoint, options.device, options.thresholds)
    except ValueError as error:  # a device or a threshold
        raise Refusal(str(error)) from None
    except CheckpointError as error:
        raise Refusal(str(error), 1) from None


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
    from ..training.playing import LATENCIES_MS
    from ..training.programs import all_latencies

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
        raise Refusal(str(error)) from None
    return (float(options.latency),)


def _material(options: Options) -> Material | None:
    from ..offline.inputs import SOUND_SUFFIXES
    from ..training.material import find_material

    if options.data is None:
        return None
    return find_material(options.data, SOUND_SUFFIXES, _opener(options))


def _read(material: Material | None, note_ends: str | None) -> tuple[list[Pair], list[Outcome]]:
    """The recordings with their notes, and those that cannot be scored."""
    from rich.console import Console
    from rich.progress import track

    from ..training.evaluation import Outcome

    if material is None:
        return [], []
    pairs, failures = [], [Outcome(name, error=why) for name, why in material.failures.items()]
    console = Console(stderr=True)
    for labelled in track(
        material.labelled,
        "reading labels",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        try:
            pairs.append(labelled.read(note_ends))
        except ValueError as error:
            failures.append(Outcome(labelled.name, error=" ".join(str(error).split())))
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
) -> dict[str, Hear]:
    """Peers always have processes of their own, and hppnet beside them: else memory would be shared."""
    from ..training import hearing
    from ..training.programs import Hppnet, Predictions

    programs: dict[str, Hear] = {}
    for name in options.models:
        if name != OWN:
            programs[name] = _peer(name, options, jobs)
        elif jobs > 1 or len(options.models) > 1:
            load = partial(_hppnet, options, latencies)
            programs[name] = partial(hearing.hear_in_processes, load=load, jobs=jobs)
        else:
            assert transcriber is not None
            program = Hppnet(transcriber, latencies, options.listening, _opener(options))
            programs[name] = partial(hearing.hear_all, program=program)
    if options.predictions is not None:
        written = Predictions(options.predictions, options.listening)
        programs[written.name] = partial(hearing.hear_all, program=written)
    return programs


def _opener(options: Options) -> Opener:
    """Recordings that are cut short are refused: their labels go on."""
    from ..offline.reading import open_saying

    return partial(open_saying, channel=options.channel, track=options.track, whole=True)


def _hppnet(options: Options, latencies: tuple[float | None, ...]) -> Hppnet:
    """In a process of its own."""
    from ..training.programs import Hppnet

    transcriber = _load(options.checkpoint, options.device, options.thresholds)
    return Hppnet(transcriber, latencies, options.listening, _opener(options))


def _peer(name: str, options: Options, jobs: int) -> Hear:
    from ..training import hearing, peers
    from ..training.programs import PeerProgram

    peer = peers.make(name)
    if missing := peers.missing(peer):
        raise Refusal(f"--model {name} needs {', '.join(missing)}: {peer.install}", 1)
    load = partial(PeerProgram.load, partial(peers.make, name), options.listening, _opener(options))
    return partial(hearing.hear_in_processes, load=load, jobs=jobs)
