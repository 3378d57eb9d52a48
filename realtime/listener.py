"""Reads blocks from an input, turns them into events, keeps up, and survives faults of the input.

``Listener.step`` runs in a session's worker thread, or in the thread that iterates ``LiveTranscriber``. It
may block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any

from ..model.notes import Event
from .inputs import Block, Input, InputEnded, InputFault, joined
from .live_decoder import DEFAULT_LATENCY_MS, GateSettings, LiveDecoder, LiveModel
from .status import ComputeMeter, LevelMeter
from .timeline import Backoff, SteadyClock, SystemClock, Timeline

MOST_BACKLOG_S = 1.0  #: when more sound waits, all but its end is dropped
KEPT_S = 0.3  #: end of a dropped backlog that is kept: the reach of the network's windows
MOST_FAULTS = 5  #: consecutive decoder faults after which the last one is raised


class Listener:
    """Reads an input and decodes it. ``watch`` is called with every block, before any is dropped."""

    def __init__(
        self,
        input: Input,
        decoder: LiveDecoder,
        clock: SteadyClock,
        timeline: Timeline | None = None,
        watch: Callable[[Block], None] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.input, self.decoder = input, decoder
        self.timeline = timeline or Timeline()
        self.compute, self.level = ComputeMeter(), LevelMeter()
        self.dropped_blocks = self.lost_samples = 0
        self.backlog_s = 0.0
        self._clock = clock
        self._watch = watch or (lambda block: None)
        self._report = report or (lambda line: None)
        self._backoff = Backoff()
        self._retry_s: float | None = None  # when to look for a lost input again
        self._faults = 0

    def step(self, timeout_s: float) -> list[Event]:
        """Returns the events of the waiting sound; waits at most ``timeout_s`` for sound.

        Raises InputEnded at a file's end, and the decoder's error if it fails ``MOST_FAULTS`` times in a row.
        """
        if self._retry_s is not None:
            return self._reopen(timeout_s)
        try:
            blocks = self.input.read(timeout_s)
        except InputFault as fault:
            return self._lost(fault)
        if blocks:
            self._backoff.succeeded()  # not sooner: a device may open and fail at once
        for block in blocks:
            self._note(block)
        events: list[Event] = []
        for block in joined(self._affordable(blocks)):
            events += self._compute(block)
        return events

    def figures(self) -> dict[str, Any]:
        """The worker's fields of a Status. Callable from any thread."""
        return {
            "level_db": self.level.level_db,
            "clipped": self.level.clipped,
            "realtime_factor": self.compute.realtime_factor,
            "compute_ms": self.compute.frame_ms.median_and_p99(),
            "backlog_ms": 1000 * self.backlog_s,
            "dropped_blocks": self.dropped_blocks + self.input.dropped_blocks,
            "lost_samples": self.lost_samples,
        }

    def _note(self, block: Block) -> None:
        self.timeline.observe(block.end_s, block.arrived_s)
        self.level.add(block.samples, block.duration_s)
        self._watch(block)
        for line in block.warnings:
            self._report(f"warning: {self.input.name}: {line}")
        if block.lost_before:
            self.lost_samples += block.lost_before
            self._report(f"input: {1000 * block.lost_before / block.sample_rate:.0f} ms lost by the device")

    def _affordable(self, blocks: list[Block]) -> list[Block]:
        """Returns all blocks, or only the last ones if too much sound waits."""
        if not blocks:
            return blocks
        # The blocks' own lengths: sound that the device lost between them does not wait.
        self.backlog_s = sum(block.duration_s for block in blocks)
        # The newest block is not counted, since a single block may be long.
        if self.backlog_s - blocks[-1].duration_s <= MOST_BACKLOG_S:
            return blocks
        kept = [block for block in blocks if blocks[-1].end_s - block.end_s <= KEPT_S]
        dropped_s = self.backlog_s - sum(block.duration_s for block in kept)
        self.dropped_blocks += len(blocks) - len(kept)
        self._report(
            f"computing cannot keep up: {dropped_s:.1f} s of sound dropped; "
            "close other programs, or choose a lower latency (less to compute)"
        )
        return kept

    def _compute(self, block: Block) -> list[Event]:
        before, started_s = self.decoder.frames, self._clock.now()
        try:
            events = self.decoder.feed(block)
        except Exception as error:
            return self._failed(error)
        frames = self.decoder.frames - before
        if frames:
            self._faults = 0
        if frames or not self.decoder.asleep:  # the hours of a sleeping network count for no frame
            self.compute.add(self._clock.now() - started_s, frames)
        return events

    def _lost(self, fault: InputFault) -> list[Event]:
        self._report(f"input: {fault}; looking for it again")
        self.input.close()
        self._retry_s = self._backoff.failed(self._clock.now())
        try:
            return self.decoder.interrupt()
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> list[Event]:
        """Resets the network; raises the error if it is the last of MOST_FAULTS in a row."""
        self._faults += 1
        if self._faults >= MOST_FAULTS:
            raise error
        self._report(f"the network failed and was reset: {type(error).__name__}: {error}")
        return self.decoder.interrupt(broken=True)

    def _reopen(self, timeout_s: float) -> list[Event]:
        assert self._retry_s is not None
        wait_s = self._retry_s - self._clock.now()
        if wait_s > 0:
            self._clock.sleep(min(wait_s, timeout_s))
            return []
        try:
            self.input.open()
        except InputFault:
            self._retry_s = self._backoff.failed(self._clock.now())
            return []
        self._retry_s = None
        self.timeline.restart()
        self._report(f"input: {self.input.name} is back, {self.input.sample_rate} Hz")
        return []


class LiveTranscriber:
    """Iterates over an input's events: ``for event in LiveTranscriber(transcriber, AudioInput()): ...``

    The loop ends at the end of a file; with a microphone it never ends. Breaking out of it closes the input.
    Use ``with`` to close the input after an exception elsewhere too. A device that fails is opened again as
    soon as it is back; ``report`` is called with a line about it. ``pedal=False`` leaves out the sustain
    pedal, which checkpoints with a pedal head detect.
    """

    def __init__(
        self,
        transcriber: LiveModel,
        input: Input,
        latency_ms: float = DEFAULT_LATENCY_MS,
        *,
        gate: GateSettings | None = None,
        clock: SteadyClock | None = None,
        report: Callable[[str], None] | None = None,
        pedal: bool = True,
    ) -> None:
        self.input = input
        self.latency_ms = latency_ms
        self._transcriber, self._gate, self._pedal = transcriber, gate, pedal
        self._clock = clock or SystemClock()
        self._report = report

    def __iter__(self) -> Iterator[Event]:
        self.input.open()
        with closing(self.input):
            decoder = LiveDecoder(
                self._transcriber, self.input.sample_rate, self.latency_ms, self._gate, pedal=self._pedal
            )
            listener = Listener(self.input, decoder, self._clock, report=self._report)
            try:
                while True:
                    yield from listener.step(timeout_s=0.1)
            except InputEnded:
                yield from decoder.flush()

    def __enter__(self) -> LiveTranscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.input.close()
