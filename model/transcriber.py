"""The model's interface: a checkpoint that any number of streams may share."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from . import checkpoint
from .config import HEADS, ModelConfig
from .device import choose_device, choose_precision
from .engine.network import OnnxNetwork
from .engines import Network, WindowEngine, device_of, engine_name, stream_engine, window_engine
from .notes import Note, Press, notes_from, presses_from, sounding
from .recording_decoder import RecordingDecoder
from .releases import Releases
from .samples import Reader, Source, opened
from .stream import RecordingStream, Stream, Watch, WatchEvents
from .timebase import FRAME_S, KEYS, frames_for_latency
from .tuning import check_cents, estimate_tuning, parse_tuning

if TYPE_CHECKING:
    from .network import HPPNet

DEFAULT_LATENCY_MS = 132
log = logging.getLogger("hppnet")


@dataclass(frozen=True)
class Transcription:
    """The transcription of a recording."""

    notes: list[Note]
    duration_s: float
    probabilities: np.ndarray | None = None  #: [T, 88, 4], 50 frames a second, heads as in HEADS
    pedal: list[Press] | None = None  #: presses of the sustain pedal; None: these weights do not predict it
    pedal_probabilities: np.ndarray | None = None  #: [T], 50 frames a second; None if not predicted
    tuning_cents: float = 0.0  #: tuning against A = 440 Hz used for the notes
    latency_ms: float | None = None  #: latency of the equivalent live stream; None: full context
    checkpoint_name: str = ""  #: file name and digest of the weights
    warnings: tuple[str, ...] = ()  #: a line for each unreadable part and for a drifting tuning

    @property
    def sounding(self) -> list[Note]:
        """The notes extended to the end of their sound: release of key and pedal, or the next stroke."""
        return sounding(self.notes, self.pedal or ())


@dataclass(frozen=True)
class Transcriber:
    """A loaded checkpoint. Immutable: streams and threads may share it; ``with_...`` return changed copies.

    ONNX Runtime runs ``network`` if it is an OnnxNetwork, otherwise PyTorch does (see ``engines``).
    """

    network: Network
    config: ModelConfig
    checkpoint_name: str = "unnamed"  #: file name and identity of the weights
    about: dict[str, Any] = field(default_factory=dict)
    precision: str = "fp32"  #: precision for whole recordings; streams always use fp32
    reader: Reader | None = None
    releases: Releases | None = None  #: chooses the ends of notes with full context

    @classmethod
    def load(
        cls,
        path: str | PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "auto",
        reader: Reader | None = None,
    ) -> Transcriber:
        """Loads the shipped checkpoint, or the one at ``path``.

        ``device`` is auto, cpu, cuda or mps; ``precision`` auto, fp32 or bf16. Raises
        CheckpointError for a bad file, ValueError for a device or precision that is not available.
        """
        chosen = choose_device(device)
        found = checkpoint.read(Path(path) if path is not None else None)
        network = found.network(chosen)
        exact = choose_precision(precision, chosen)
        return cls(network, found.config, found.name, found.about, exact, reader, found.releases)

    @property
    def has_pedal(self) -> bool:
        """Whether these weights predict the sustain pedal."""
        return self.config.has_pedal

    @property
    def device(self) -> str:
        """The device: cpu, cuda or mps."""
        return device_of(self.network)

    @property
    def engine(self) -> str:
        """The library that runs the network, with its version."""
        return engine_name(self.network)

    def computed_by(self, latency_ms: float | None) -> str:
        """Library, version and precision used at a latency in ms; None: with full context."""
        return f"{self.engine} {self.precision if latency_ms is None else 'fp32'}"

    def with_thresholds(
        self,
        onset: float | None = None,
        frame: float | None = None,
        offset: float | None = None,
        pedal: float | None = None,
    ) -> Transcriber:
        """A copy with other decoder thresholds, 0 to 1; None keeps the checkpoint's.

        A checkpoint's onset threshold is lower below 132 ms; a given one holds at every latency. With a given
        frame or offset threshold, these alone end notes.
        """
        decoder = self.config.decoder.changed(onset, frame, offset, pedal)
        releases = self.releases if frame is None and offset is None else None
        return replace(self, config=replace(self.config, decoder=decoder), releases=releases)

    def without_pedal(self) -> Transcriber:
        """A copy that does not compute the pedal; the notes are the same."""
        network = self.network.without_pedal()
        return replace(self, network=network, config=replace(self.config, network=network.config))

    def with_threads(self, threads: int) -> Transcriber:
        """A copy with so many threads for whole recordings (not with PyTorch). Raises ValueError below 1."""
        if threads < 1:
            raise ValueError(f"expected at least one thread, got {threads}")
        if isinstance(self.network, OnnxNetwork):
            return replace(self, network=self.network.with_threads(threads))
        return self

    def with_tuning(self, cents: float) -> Transcriber:
        """A copy for a piano ``cents`` above A = 440 Hz (-200 to 200). Raises ValueError for other values."""
        front_end = replace(self.config.front_end, tuning_cents=check_cents(cents))
        return replace(self, config=replace(self.config, front_end=front_end))

    @cached_property
    def _windows(self) -> WindowEngine:
        """Created once for all recordings: copying the weights takes as long as a short file."""
        return window_engine(self.network, self.config.front_end, self.precision == "bf16")

    def stream(
        self,
        latency_ms: float = DEFAULT_LATENCY_MS,
        sample_rate: int = 48_000,
        watch: Watch | None = None,
        watch_pedal: Watch | None = None,
    ) -> Stream:
        """A new stream. ``latency_ms`` must be 32 + 20 * (R + 1) for R from 0 to 8, else raises ValueError.

        ``watch`` is called with every new block of probabilities [T, 88, 4], ``watch_pedal`` with those of
        the pedal [T].
        """
        look_ahead = frames_for_latency(latency_ms, self.config.front_end.look_ahead)
        engine = stream_engine(self.network, self.config.front_end, look_ahead)
        return Stream(engine, self.config.decoder, sample_rate, watch, watch_pedal)

    @overload
    def transcribe(
        self,
        source: Source,
        sample_rate: int | None = None,
        *,
        latency_ms: float | None = None,
        tuning: float | str | None = None,
        pedal: Literal[False] = False,
    ) -> list[Note]: ...

    @overload
    def transcribe(
        self,
        source: Source,
        sample_rate: int | None = None,
        *,
        latency_ms: float | None = None,
        tuning: float | str | None = None,
        pedal: Literal[True],
    ) -> tuple[list[Note], list[Press]]: ...

    def transcribe(
        self,
        source: Source,
        sample_rate: int | None = None,
        *,
        latency_ms: float | None = None,
        tuning: float | str | None = None,
        pedal: bool = False,
    ) -> list[Note] | tuple[list[Note], list[Press]]:
        """Notes of a sound file, or of samples at ``sample_rate``, sorted by onset.

        With ``pedal``, returns the notes and the presses of the sustain pedal. See ``transcription``. Also
        raises ValueError if the pedal is requested but the weights do not predict it.
        """
        if pedal and not self.has_pedal:
            raise ValueError(
                f"{self.checkpoint_name}: these weights do not predict the pedal: leave pedal out"
            )
        found = self.transcription(source, sample_rate, latency_ms=latency_ms, tuning=tuning)
        return (found.notes, found.pedal or []) if pedal else found.notes

    def transcription(
        self,
        source: Source,
        sample_rate: int | None = None,
        *,
        latency_ms: float | None = None,
        tuning: float | str | None = None,
        keep_probabilities: bool = False,
    ) -> Transcription:
        """Transcribes a sound file, or samples at ``sample_rate``, to a Transcription.

        Samples are an array, tensor or list [n], [n, channels] or [channels, n], or the pair (samples,
        sample_rate). The shorter axis is that of the channels; if both are equally long, the second. Floats
        lie between -1 and 1, integers have 8, 16 or 32 bits.

        ``latency_ms=None`` uses full context; a latency gives exactly the results of a live stream.
        ``tuning`` is in cents against A = 440 Hz (-200 to 200), a frequency of A such as ``"415Hz"``, or
        ``"auto"``, which detects -50 to 50 cents: beyond, a semitone cannot be told from another key.

        Warnings are also logged (logger ``hppnet``). Raises AudioError for a bad file, TypeError or
        ValueError, with advice, for bad arguments.
        """
        cents = parse_tuning(tuning) if isinstance(tuning, str) else tuning
        drift = []
        if cents == "auto":
            blocks, rate, _ = opened(source, sample_rate, self.reader)
            found = estimate_tuning(blocks, rate)
            cents, drift = found.cents, [found.warning] if found.warning else []
        blocks, rate, warnings = opened(source, sample_rate, self.reader)
        tuned = self if cents is None else self.with_tuning(float(cents))
        result = tuned.transcribe_blocks(
            blocks, rate, latency_ms=latency_ms, keep_probabilities=keep_probabilities
        )
        result = replace(result, warnings=(*warnings(), *drift))
        for line in result.warnings:  # ``transcribe`` returns the notes without the warnings
            log.warning("warning: %s%s", f"{source}: " if isinstance(source, (str, PathLike)) else "", line)
        return result

    def transcribe_blocks(
        self,
        blocks: Iterable[np.ndarray],
        sample_rate: int,
        *,
        latency_ms: float | None = None,
        keep_probabilities: bool = False,
        window_s: float = 20.0,
        watch_events: WatchEvents | None = None,
    ) -> Transcription:
        """As ``transcription``, from blocks of mono samples of any sizes, in bounded memory.

        ``window_s`` is the length of a window with full context; ``watch_events`` receives the events.
        """
        kept: list[np.ndarray] = []
        kept_pedal: list[np.ndarray] = []
        frames = [0]

        def watch(probabilities: np.ndarray) -> None:
            frames[0] += len(probabilities)
            if keep_probabilities:
                kept.append(probabilities.astype(np.float32))

        watch_pedal = kept_pedal.append if keep_probabilities else None
        driver: Stream | RecordingStream
        if latency_ms is not None:
            driver = self.stream(latency_ms, sample_rate, watch, watch_pedal)
        else:
            decoder = RecordingDecoder(self.config.decoder, self.releases)
            driver = RecordingStream(
                self._windows, self.config.front_end, decoder, sample_rate, watch, window_s, watch_pedal
            )
        driver.watch_events = watch_events
        events = [event for block in blocks for event in driver.feed(block)] + driver.flush()
        empty = np.zeros((0, KEYS, len(HEADS)), dtype=np.float32)
        probabilities = np.concatenate([empty, *kept]) if keep_probabilities else None
        pedal = presses_from(events) if self.has_pedal else None
        pedal_probabilities = np.concatenate(kept_pedal) if kept_pedal else None
        return Transcription(
            notes_from(events),
            frames[0] * FRAME_S,
            probabilities,
            pedal,
            pedal_probabilities,
            tuning_cents=self.config.front_end.tuning_cents,
            latency_ms=latency_ms,
            checkpoint_name=self.checkpoint_name,
        )


def transcriber_of(network: HPPNet, config: ModelConfig) -> Transcriber:
    """A Transcriber of a PyTorch network, as if loaded from a checkpoint for its device."""
    device = device_of(network)
    found = checkpoint.Checkpoint(Path("unnamed"), checkpoint.weights_of(network), config, {})
    own = found.network(device) if device == "cpu" else network
    return Transcriber(own, config, precision=choose_precision("auto", device))
