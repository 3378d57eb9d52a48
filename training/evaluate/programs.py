"""The programs that are compared: hppnet itself, peers, and transcriptions that any program wrote as MIDI.

They transcribe in this process or in several worker processes; time and memory are measured. Nothing here
scores, so that a worker process holds the program and no more.
"""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import soundfile

from ...model.device import peak_mib
from ...model.notes import Note, Press, read_midi, read_pedal
from ...model.timebase import MAX_LOOK_AHEAD_FRAMES, latency_s
from ..data.performances import MIDI_SUFFIXES
from ..data.sounds import Opener
from .conditions import Listening
from .peers import PeerTranscriber, ProgramLoadError
from .recordings import Pair

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber


@dataclass(frozen=True)
class ProgramOutput:
    """A program's transcription of one recording."""

    run: str  #: name of the run: program and setting; see ``TranscribingProgram``
    notes: list[Note]
    sound_s: float  #: length of the transcribed sound
    wall_s: float | None = None  #: time taken; None: transcribed beforehand
    peak_mib: float | None = None  #: peak memory of the process so far
    pedal: list[Press] | None = None  #: None: the program does not predict it


class TranscribingProgram(Protocol):
    """A program that transcribes recordings, each with one or several settings (``ProgramOutput.run``)."""

    def transcribe(self, name: str, recording: Path) -> list[ProgramOutput]: ...


Answer = tuple[Pair, list[ProgramOutput] | str]  #: a recording, and its outputs or a one-line error


def transcribe_all(pairs: Iterable[Pair], program: TranscribingProgram) -> Generator[Answer, None, None]:
    """Transcribes in this process and in order. A recording that fails does not stop the others."""
    for pair in pairs:
        yield pair, _transcribe(program, pair.name, pair.recording)


def transcribe_in_processes(
    pairs: Iterable[Pair], load: Callable[[], TranscribingProgram], jobs: int
) -> Generator[Answer, None, None]:
    """As :func:`transcribe_all`, in ``jobs`` processes; yields recordings as they are done.

    Each process loads its own program; ``load`` must be picklable. Raises ProgramLoadError if it fails.
    """
    # Not forked: a fork of a process in which torch has started its threads may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_worker, initargs=(load,))
    try:
        waiting = {pool.submit(_work, pair.name, pair.recording): pair for pair in pairs}
        for future in as_completed(waiting):
            pair = waiting[future]
            try:
                yield pair, future.result()
            except BrokenExecutor:
                why = "a process ended before its time, perhaps for want of memory; try fewer jobs"
                yield pair, f"{pair.recording}: {why}"
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_of_this_worker: TranscribingProgram | ProgramLoadError  # set as the process starts


def _start_worker(load: Callable[[], TranscribingProgram]) -> None:
    global _of_this_worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends each worker at once, without a traceback
    try:
        _of_this_worker = load()
    except Exception as error:  # raised with the first recording: the pool hides an initializer's error
        _of_this_worker = ProgramLoadError(f"{type(error).__name__}: {_one_line(error)}")


def _work(name: str, recording: Path) -> list[ProgramOutput] | str:
    if isinstance(_of_this_worker, ProgramLoadError):
        raise _of_this_worker
    return _transcribe(_of_this_worker, name, recording)


def _transcribe(program: TranscribingProgram, name: str, recording: Path) -> list[ProgramOutput] | str:
    try:
        return program.transcribe(name, recording)
    except Exception as error:  # a broken file must not stop the others
        said = _one_line(error)
        return said if said.startswith(str(recording)) else f"{recording}: {type(error).__name__}: {said}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def all_latencies(look_ahead_samples: int) -> tuple[float | None, ...]:
    """Every latency in ms that can be reached, and full context (None)."""
    reachable = range(MAX_LOOK_AHEAD_FRAMES + 1)
    return (*(float(round(1000 * latency_s(r, look_ahead_samples))) for r in reachable), None)


def run_name(latency_ms: float | None) -> str:
    """The name of hppnet's run at a latency."""
    return "hppnet" if latency_ms is None else f"hppnet {latency_ms:.0f} ms"


def load_transcriber(
    checkpoint: Path | None, device: str, thresholds: dict[str, float | None]
) -> Transcriber:
    """Loads the transcriber of this process, with one thread. Raises ValueError, CheckpointError."""
    from ...model.device import one_thread
    from ...model.transcriber import Transcriber

    transcriber = Transcriber.load(checkpoint, device=device)
    one_thread()
    return transcriber.with_thresholds(**thresholds)


@dataclass(frozen=True)
class Hppnet:
    """This project's own transcriber; transcribes each recording at one or several latencies."""

    transcriber: Transcriber
    latencies_ms: tuple[float | None, ...]  #: None: full context
    listening: Listening
    open_recording: Opener

    @classmethod
    def load(
        cls,
        make: Callable[[], Transcriber],
        latencies_ms: tuple[float | None, ...],
        listening: Listening,
        open_recording: Opener,
    ) -> Hppnet:
        """Called in the process that transcribes."""
        return cls(make(), latencies_ms, listening, open_recording)

    def transcribe(self, name: str, recording: Path) -> list[ProgramOutput]:
        with self.open_recording(recording) as opened:
            blocks, rate = self.listening.sound(name, opened.blocks(), opened.sample_rate)
            if len(self.latencies_ms) > 1:
                blocks = list(blocks)  # read only once
            return [self._transcribe(blocks, rate, latency_ms) for latency_ms in self.latencies_ms]

    def _transcribe(self, blocks: Iterable[np.ndarray], rate: int, latency_ms: float | None) -> ProgramOutput:
        begin = time.perf_counter()
        found = self.transcriber.transcribe_blocks(blocks, rate, latency_ms=latency_ms)
        took = time.perf_counter() - begin
        return ProgramOutput(
            run_name(latency_ms), found.notes, found.duration_s, took, peak_mib(), found.pedal
        )


@dataclass(frozen=True)
class PeerProgram:
    """A peer. It reads the recording itself, or a changed copy if the conditions change the sound."""

    peer: PeerTranscriber
    listening: Listening
    open_recording: Opener

    @classmethod
    def load(
        cls, make: Callable[[], PeerTranscriber], listening: Listening, open_recording: Opener
    ) -> PeerProgram:
        """Called in the process that transcribes."""
        peer = make()
        peer.load()
        return cls(peer, listening, open_recording)

    def transcribe(self, name: str, recording: Path) -> list[ProgramOutput]:
        with tempfile.TemporaryDirectory() as folder:
            path, sound_s = self._file(name, recording, Path(folder, "sound.wav"))
            begin = time.perf_counter()
            notes, pedal = self.peer.transcribe(path)
            took = time.perf_counter() - begin
        pedal = None if pedal is None else sorted(pedal)
        return [ProgramOutput(self.peer.name, sorted(notes), sound_s, took, peak_mib(), pedal)]

    def _file(self, name: str, recording: Path, copy: Path) -> tuple[Path, float]:
        """The file that the peer reads, and its length in seconds. Broken recordings are detected here."""
        with self.open_recording(recording) as opened:
            blocks, rate = self.listening.sound(name, opened.blocks(), opened.sample_rate)
            samples = 0
            with soundfile.SoundFile(copy, "w", rate, 1, subtype="FLOAT") as file:
                for block in blocks:
                    file.write(block)
                    samples += len(block)
        return (copy if self.listening.changes_sound else recording), samples / rate


@dataclass(frozen=True)
class WrittenPredictions:
    """Transcriptions that any program wrote: a folder with NAME.mid for each recording NAME."""

    folder: Path
    listening: Listening
    open_recording: Opener

    name = "predictions"

    def transcribe(self, name: str, recording: Path) -> list[ProgramOutput]:
        names = [f"{stem}{suffix}" for stem in (name, recording.stem) for suffix in MIDI_SUFFIXES]
        path = next((self.folder / n for n in names if (self.folder / n).is_file()), None)
        if path is None:
            raise ValueError(f"{recording}: expected its transcription {self.folder / names[0]}, found none")
        presses = self.listening.presses(read_pedal(path)) if self._with_pedal else None
        notes = self.listening.notes(read_midi(path))
        return [ProgramOutput(self.name, notes, self._length_s(recording), pedal=presses)]

    @cached_property
    def _with_pedal(self) -> bool:
        """Whether the program writes the pedal: whether any of its files has a press."""
        return any(_presses_it(path) for path in self.folder.iterdir() if path.suffix in MIDI_SUFFIXES)

    def _length_s(self, recording: Path) -> float:
        with self.open_recording(recording) as opened:
            length_s = opened.duration_s
            if length_s is None:
                length_s = sum(map(len, opened.blocks())) / opened.sample_rate
        return min(length_s, self.listening.first_s or length_s)


def _presses_it(path: Path) -> bool:
    try:
        return bool(read_pedal(path))
    except ValueError:  # named when it is that file's turn
        return False
