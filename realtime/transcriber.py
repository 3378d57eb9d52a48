"""Live events for people who build on them: an input, read in the thread that iterates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from types import TracebackType

from ..model.notes import Event
from .blocks import Input, InputEnded
from .clock import Clock, SystemClock
from .engine import DEFAULT_LATENCY_MS, Engine
from .gate import GateSettings
from .listener import Listener
from .source import LiveModel


class LiveTranscriber:
    """Events of an input as they come: ``for event in LiveTranscriber(transcriber, AudioInput()): ...``

    The loop ends where a file ends; a microphone's never does. Breaking out of it closes the input. Use
    it with ``with`` to have the input closed also when an exception strikes elsewhere. A device that
    fails is waited for and found again; ``report`` is called with a line about it. ``pedal=False`` leaves
    out the sustain pedal, which is heard where the checkpoint does.
    """

    def __init__(
        self,
        transcriber: LiveModel,
        input: Input,
        latency_ms: float = DEFAULT_LATENCY_MS,
        *,
        gate: GateSettings | None = None,
        clock: Clock | None = None,
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
            engine = Engine(
                self._transcriber, self.input.sample_rate, self.latency_ms, self._gate, pedal=self._pedal
            )
            listener = Listener(self.input, engine, self._clock, report=self._report)
            try:
                while True:
                    yield from listener.step(timeout_s=0.1)
            except InputEnded:
                yield from engine.flush()

    def __enter__(self) -> LiveTranscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.input.close()
