"""The programs that are compared: hppnet itself, peers, and what any program has written as MIDI."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..model.device import peak_mib
from ..model.notes import Note, Press, read_midi
from ..model.timebase import MAX_LOOK_AHEAD_FRAMES, SAMPLE_RATE, latency_s
from .conditions import Conditions
from .hearing import Heard, Opener
from .peers import Peer

if TYPE_CHECKING:  # it loads PyTorch, which is not to be counted as a peer's memory
    from ..model.transcriber import Transcriber

BLOCK = 10 * SAMPLE_RATE  #: samples of a sound that lies in memory given at once

Sound = tuple[Iterable[np.ndarray], int]  #: blocks of mono samples [n], sample rate


@dataclass(frozen=True)
class Listening:
    """How recordings are heard."""

    first_s: float | None = None  #: only so much of each file; None: all of it
    conditions: Conditions = field(default_factory=Conditions)

    @property
    def changes_sound(self) -> bool:
        return self.first_s is not None or self.conditions.any

    def sound(self, name: str, blocks: Iterable[np.ndarray], sample_rate: int) -> Sound:
        """A recording's blocks as they are to be heard; conditions take the whole recording into memory."""
        if self.first_s is not None:
            blocks = first(blocks, round(self.first_s * sample_rate))
        if not self.conditions.any:
            return blocks, sample_rate
        from .prepare.recorded import resampled

        samples = np.concatenate([np.zeros(0, dtype=np.float32), *resampled(blocks, sample_rate)])
        samples = self.conditions.apply(samples, name)
        return [samples[i : i + BLOCK] for i in range(0, len(samples), BLOCK)], SAMPLE_RATE

    def notes(self, notes: Iterable[Note]) -> list[Note]:
        """A recording's true notes as they are to be heard."""
        kept = list(notes) if self.first_s is None else cut(notes, self.first_s)
        ratio = self.conditions.time_ratio
        return [replace(n, onset_s=n.onset_s * ratio, offset_s=n.offset_s * ratio) for n in kept]

    def presses(self, presses: Iterable[Press]) -> list[Press]:
        """What the pedal did, likewise."""
        end_s, ratio = self.first_s or math.inf, self.conditions.time_ratio
        kept = [Press(p.down_s, min(p.up_s, end_s)) for p in presses if p.down_s < end_s]
        return [Press(p.down_s * ratio, p.up_s * ratio) for p in kept]


def first(blocks: Iterable[np.ndarray], samples: int) -> Iterator[np.ndarray]:
    """The first ``samples`` samples of a sound that comes in blocks [n] or [n, channels]."""
    for block in blocks:
        if samples <= 0:
            return
        yield block[:samples]
        samples -= len(block)


def cut(notes: Iterable[Note], end_s: float) -> list[Note]:
    """The notes of a recording's first ``end_s`` seconds: later ones gone, offsets not beyond its end."""
    return [replace(note, offset_s=min(note.offset_s, end_s)) for note in notes if note.onset_s < end_s]


def all_latencies(look_ahead_samples: int) -> tuple[float | None, ...]:
    """Every latency in ms that can be reached, and full context (None)."""
    reachable = range(MAX_LOOK_AHEAD_FRAMES + 1)
    return (*(float(round(1000 * latency_s(r, look_ahead_samples))) for r in reachable), None)


def run_name(latency_ms: float | None) -> str:
    """Of one of hppnet's ways of listening."""
    return "hppnet" if latency_ms is None else f"hppnet {latency_ms:.0f} ms"


@dataclass(frozen=True)
class Hppnet:
    """This project's own transcriber, each recording at one latency or at several."""

    transcriber: Transcriber
    latencies_ms: tuple[float | None, ...]  #: None: with all the future to see
    listening: Listening
    open_recording: Opener

    def hear(self, name: str, recording: Path) -> list[Heard]:
        with self.open_recording(recording) as opened:
            blocks, rate = self.listening.sound(name, opened.blocks(), opened.sample_rate)
            if len(self.latencies_ms) > 1:
                blocks = list(blocks)  # read once
            return [self._hear(blocks, rate, latency_ms) for latency_ms in self.latencies_ms]

    def _hear(self, blocks: Iterable[np.ndarray], rate: int, latency_ms: float | None) -> Heard:
        begin = time.perf_counter()
        found = self.transcriber.transcribe_blocks(blocks, rate, latency_ms=latency_ms)
        took = time.perf_counter() - begin
        return Heard(run_name(latency_ms), found.notes, found.duration_s, took, peak_mib(), found.pedal)


@dataclass(frozen=True)
class PeerProgram:
    """Another's transcriber. It reads the files itself, or a changed copy where the sound is changed."""

    peer: Peer
    listening: Listening
    open_recording: Opener

    @classmethod
    def load(cls, make: Callable[[], Peer], listening: Listening, open_recording: Opener) -> PeerProgram:
        """In the process in which it is to work."""
        peer = make()
        peer.load()
        return cls(peer, listening, open_recording)

    def hear(self, name: str, recording: Path) -> list[Heard]:
        with tempfile.TemporaryDirectory() as folder:
            path, sound_s = self._file(name, recording, Path(folder, "sound.wav"))
            begin = time.perf_counter()
            notes, pedal = self.peer.transcribe(path)
            took = time.perf_counter() - begin
        pedal = None if pedal is None else sorted(pedal)
        return [Heard(self.peer.name, sorted(notes), sound_s, took, peak_mib(), pedal)]

    def _file(self, name: str, recording: Path, copy: Path) -> tuple[Path, float]:
        """What the peer is to read, and its length in seconds. Broken recordings are found out here."""
        with self.open_recording(recording) as opened:
            blocks, rate = self.listening.sound(name, opened.blocks(), opened.sample_rate)
            samples = 0
            with soundfile.SoundFile(copy, "w", rate, 1, subtype="FLOAT") as file:
                for block in blocks:
                    file.write(block)
                    samples += len(block)
        return (copy if self.listening.changes_sound else recording), samples / rate


@dataclass(frozen=True)
class Predictions:
    """What some program has written: a folder with NAME.mid for each recording NAME."""

    folder: Path
    listening: Listening

    name = "predictions"

    def hear(self, name: str, recording: Path) -> list[Heard]:
        names = [f"{stem}{suffix}" for stem in (name, recording.stem) for suffix in (".mid", ".midi")]
        path = next((self.folder / n for n in names if (self.folder / n).is_file()), None)
        if path is None:
            raise ValueError(f"{recording}: expected its transcription {self.folder / names[0]}, found none")
        notes = read_midi(path)
        return [Heard(self.name, self.listening.notes(notes), max((n.offset_s for n in notes), default=0.0))]
