"""The worker's work: fetch what the input has, keep up, survive its faults, and tell what was heard.

Runs in the worker's thread (or in whoever iterates ``LiveTranscriber``), which may block in ``step``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..model.notes import Event
from .backoff import Backoff
from .blocks import Block, Input, InputFault, joined
from .clock import Clock
from .engine import Engine
from .meters import ComputeMeter, LevelMeter
from .timeline import Timeline

MOST_BACKLOG_S = 1.0  #: more sound than this is not worth hearing any more
KEPT_S = 0.3  #: of a backlog that is dropped: what the network's windows reach back to
MOST_FAULTS = 5  #: of the engine in a row; then it is no accident


class Listener:
    """Input to events. ``watch`` sees every block as it comes, before anything is dropped."""

    def __init__(
        self,
        input: Input,
        engine: Engine,
        clock: Clock,
        timeline: Timeline | None = None,
        watch: Callable[[Block], None] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self.input, self.engine = input, engine
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

        Raises InputEnded at a file's end, and whatever the engine raises ``MOST_FAULTS`` times in a row.
        """
        if self._retry_s is not None:
            return self._look_again(timeout_s)
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
        before, started_s = self.engine.frames, self._clock.now()
        try:
            events = self.engine.feed(block)
        except Exception as error:
            self._faults += 1
            if self._faults >= MOST_FAULTS:
                raise
            self._report(f"computing failed and starts afresh: {type(error).__name__}: {error}")
            return self.engine.interrupt(broken=True)
        if self.engine.frames > before:
            self._faults = 0
        self.compute.add(self._clock.now() - started_s, self.engine.frames - before)
        return events

    def _lost(self, fault: InputFault) -> list[Event]:
        self._report(f"input: {fault}; looking for it again")
        self.input.close()
        self._retry_s = self._backoff.failed(self._clock.now())
        return self.engine.interrupt()

    def _look_again(self, timeout_s: float) -> list[Event]:
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
