"""Input to events: fetch the blocks that the input has, keep up, survive its faults.

``Listener.step`` runs in the worker's thread of a session, or in the thread that iterates
``LiveTranscriber``, and may block there.
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

MOST_BACKLOG_S = 1.0  #: more sound than this is too old to be worth transcribing
KEPT_S = 0.3  #: of a backlog that is dropped: what the network's windows reach back to
MOST_FAULTS = 5  #: of the decoder in a row; then it is no accident


class Listener:
    """Reads an input and decodes it. ``watch`` gets every block as it comes, before any is dropped."""

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
        """Events of the sound that waits; waits for sound at most ``timeout_s``.

        Raises InputEnded at a file's end, and whatever the decoder raises ``MOST_FAULTS`` times in a row.
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
        """The worker's part of a Status; from any thread."""
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
        """All of them, or, when too much has piled up, the last ones."""
        if not blocks:
            return blocks
        newest_s = blocks[-1].end_s
        self.backlog_s = newest_s - blocks[0].time_s
        # A block may itself be long; it is the sound that waits besides the newest block that counts.
        if blocks[-1].time_s - blocks[0].time_s <= MOST_BACKLOG_S:
            return blocks
        kept = [block for block in blocks if newest_s - block.end_s <= KEPT_S]
        self.dropped_blocks += len(blocks) - len(kept)
        self._report(
            f"computing cannot follow: {kept[0].time_s - blocks[0].time_s:.1f} s of sound dropped; "
            "close other programs, or choose a lower latency (less to compute)"
        )
        return kept

    def _compute(self, block: Block) -> list[Event]:
        before, started_s = self.decoder.frames, self._clock.now()
        try:
            events = self.decoder.feed(block)
        except Exception as error:
            self._faults += 1
            if self._faults >= MOST_FAULTS:
                raise
            self._report(f"computing failed and starts afresh: {type(error).__name__}: {error}")
            return self.decoder.interrupt(broken=True)
        if self.decoder.frames > before:
            self._faults = 0
        self.compute.add(self._clock.now() - started_s, self.decoder.frames - before)
        return events

    def _lost(self, fault: InputFault) -> list[Event]:
        self._report(f"input: {fault}; looking for it again")
        self.input.close()
        self._retry_s = self._backoff.failed(self._clock.now())
        return self.decoder.interrupt()

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
    """Events of an input as they come: ``for event in LiveTranscriber(transcriber, AudioInput()): ...``

    The loop ends where a file ends; a microphone's never does. Breaking out of it closes the input. Use
    it with ``with`` to have the input closed also when an exception is raised elsewhere. A device that
    fails is waited for and opened again; ``report`` is called with a line about it. ``pedal=False`` leaves
    out the sustain pedal, which checkpoints with a pedal head detect.
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
