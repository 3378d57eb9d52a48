"""The face of the model: a checkpoint ready to transcribe, shared by any number of streams."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import checkpoint
from .config import HEADS, DecoderConfig, ModelConfig
from .device import choose_device, choose_precision
from .frontend import front_end_of
from .network import HPPNet
from .notes import Note, Press, notes_from, presses_from
from .recording import Recording
from .shipped import DEFAULT, identity
from .stream import Stream, Watch
from .timebase import FRAME_S, KEYS, frames_for_latency
from .windows import Windows

Source = str | PathLike[str] | np.ndarray
#: Opens a sound file: (blocks of mono samples, sample rate).
Reader = Callable[[Path], tuple[Iterable[np.ndarray], int]]
DEFAULT_LATENCY_MS = 132


@dataclass(frozen=True)
class Transcription:
    """What was understood of a recording."""

    notes: list[Note]
    duration_s: float
    probabilities: np.ndarray | None = None  #: [T, 88, 4], 50 frames a second, heads as in HEADS
    pedal: list[Press] | None = None  #: presses of the sustain pedal; None: the model does not hear it
    pedal_probabilities: np.ndarray | None = None  #: [T], likewise


@dataclass(frozen=True)
class Transcriber:
    """Immutable; streams and threads may share it. ``with_...`` return changed copies."""

    network: HPPNet
    config: ModelConfig
    checkpoint_name: str = "unnamed"  #: file name and identity of the weights
    about: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"  #: of whole recordings; streams always compute in fp32
    reader: Reader | None = None

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        reader: Reader | None = None,
    ) -> Transcriber:
        """The shipped checkpoint, or the one at ``path``.

        ``device`` is auto, cpu, cuda or mps; ``precision`` auto, fp32 or bf16. Raises
        CheckpointError for a bad file, ValueError for a device or precision that is not there.
        """
        chosen = choose_device(device)
        network, config, about = checkpoint.load(Path(path) if path is not None else None)
        file = Path(path) if path is not None else DEFAULT
        name = f"{file.name} {identity(file)}"
        return cls(network.to(chosen), config, name, about, choose_precision(precision, chosen), reader)

    @property
    def hears_pedal(self) -> bool:
        """Whether these weights judge the sustain pedal."""
        return self.config.hears_pedal

    @property
    def device(self) -> torch.device:
        return self.network.bias.device

    def with_thresholds(
        self,
        onset: float | None = None,
        frame: float | None = None,
        offset: float | None = None,
        pedal: float | None = None,
    ) -> Transcriber:
        """With other decoder thresholds, 0 to 1; None keeps what the checkpoint says."""
        given = {"onset": onset, "frame": frame, "offset": offset, "pedal": pedal}
        decoder: DecoderConfig = replace(
            self.config.decoder, **{k: v for k, v in given.items() if v is not None}
        )
        return replace(self, config=replace(self.config, decoder=decoder))

    def without_pedal(self) -> Transcriber:
        """One that does not judge the pedal, nor computes what that takes; the notes are the same."""
        network = copy.deepcopy(self.network)
        network.pedal = None
        network.config = replace(network.config, pedal_units=0)
        return replace(self, network=network, config=replace(self.config, network=network.config))

    def with_tuning(self, cents: float) -> Transcriber:
        """For a piano ``cents`` above A = 440 Hz (-100 to 100): the transform's bins move with it."""
        if not -100 <= cents <= 100:
            raise ValueError(f"tuning must be -100 to 100 cents, got {cents:g}")
        front_end = replace(self.config.front_end, tuning_cents=float(cents))
        return replace(self, config=replace(self.config, front_end=front_end))

    @cached_property
    def _windows(self) -> Windows:
        """Once for all recordings: it copies weights, which takes a short file's time."""
        return Windows(self.network, self.config.front_end, self.precision == "bf16")

    def stream(
        self,
        latency_ms: float = DEFAULT_LATENCY_MS,
        sample_rate: int = 48_000,
        watch: Watch | None = None,
        watch_pedal: Watch | None = None,
    ) -> Stream:
        """A new stream. ``latency_ms`` must be 32 + 20 * (R + 1) for R from 0 to 8, or ValueError.

        ``watch`` is called with every block of probabilities [T, 88, 4] as it comes, ``watch_pedal`` with
        those of the pedal [T].
        """
        look_ahead = frames_for_latency(latency_ms, self.config.front_end.look_ahead)
        return Stream(
            self.network,
            front_end_of(self.config.front_end),
            self.config.decoder,
            look_ahead,
            sample_rate,
            watch,
            watch_pedal,
        )

    def transcribe(
        self, source: Source, sample_rate: int | None = None, *, latency_ms: float | None = None
    ) -> list[Note]:
        """Notes of a sound file, or of samples [n] or [n, channels] at ``sample_rate``, sorted by onset.

        ``latency_ms=None`` uses all the context there is; a latency gives exactly what live gives.
        Raises AudioError for a bad file, TypeError or ValueError for bad arguments.
        """
        if isinstance(source, (str, PathLike)):
            if self.reader is None:
                raise TypeError("this transcriber was loaded without a reader of files: use hppnet.load()")
            blocks, sample_rate = self.reader(Path(source))
        else:
            if sample_rate is None:
                raise TypeError("samples need their sample_rate")
            samples = np.asarray(source)
            blocks = [samples.mean(axis=1) if samples.ndim == 2 else samples]
        return self.transcribe_blocks(blocks, sample_rate, latency_ms=latency_ms).notes

    def transcribe_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        *,
        latency_ms: float | None = None,
        keep_probabilities: bool = False,
        window_s: float = 20.0,
    ) -> Transcription:
        """As ``transcribe``, from blocks of mono samples of any sizes; memory stays bounded.

        ``window_s`` is how much is judged at once in full context.
        """
        kept: list[np.ndarray] = []
        kept_pedal: list[np.ndarray] = []
        judged = [0]

        def watch(probabilities: np.ndarray) -> None:
            judged[0] += len(probabilities)
            if keep_probabilities:
                kept.append(probabilities.astype(np.float32))

        watch_pedal = kept_pedal.append if keep_probabilities else None
        driver: Stream | Recording
        if latency_ms is not None:
            driver = self.stream(latency_ms, sample_rate, watch, watch_pedal)
        else:
            driver = Recording(
                self._windows,
                self.config.front_end,
                self.config.decoder,
                sample_rate,
                watch,
                window_s,
                watch_pedal=watch_pedal,
            )
        events = [event for block in blocks for event in driver.feed(block)] + driver.flush()
        empty = np.zeros((0, KEYS, len(HEADS)), dtype=np.float32)
        probabilities = np.concatenate([empty, *kept]) if keep_probabilities else None
        pedal = presses_from(events) if self.hears_pedal else None
        pedal_probabilities = np.concatenate(kept_pedal) if kept_pedal else None
        return Transcription(
            notes_from(events), judged[0] * FRAME_S, probabilities, pedal, pedal_probabilities
        )
