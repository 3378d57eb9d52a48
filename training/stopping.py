"""When a training ends: after its steps, after so many minutes, or after a signal.

Given minutes, the first steps are timed and the schedule is stretched to the steps that the rest of the time
holds. From there on the run is one like any other: saved with its number of steps, it goes on where it
stopped. After Ctrl-C, or the SIGTERM of a scheduler that wants its machine back, the step is finished and the
run saved.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from lightning.fabric import Fabric

from .settings import TrainingSettings

TIMED_STEPS = 20
UNTIMED_STEPS = 3  #: before them: compiling, caches, the first batches of the workers
SHARE = 0.97  #: of the time is planned for: steps differ, and the last one has to be saved


@dataclass
class Budget:
    """Says when a run ends. Given ``minutes``, it plans the steps from how long the first ones take."""

    fabric: Fabric
    minutes: float
    first: int  #: the step that this process began with
    began: float = field(default_factory=lambda: time.monotonic())
    timed_from: float = 0.0
    planned: bool = False  #: whether it is known how many steps the minutes hold

    def plan(self, step: int, settings: TrainingSettings) -> TrainingSettings | None:
        """After a step: the settings with their schedule stretched, once it is known how far; else None."""
        if self.planned or not self.minutes:
            return None
        if step == self.first + UNTIMED_STEPS:
            self.timed_from = time.monotonic()
        if step != self.first + UNTIMED_STEPS + TIMED_STEPS:
            return None
        step_s = (time.monotonic() - self.timed_from) / TIMED_STEPS
        left_s = SHARE * 60 * self.minutes - (time.monotonic() - self.began)
        self.planned = True
        # The first process decides: all take as many steps.
        return over(settings, int(self.fabric.broadcast(step + max(1, int(left_s / step_s)))))

    def ends(self, step: int, steps: int) -> bool:
        """Whether a run of so many steps ends after ``step``; the same in all processes."""
        if not self.minutes:
            return step >= steps
        late = bool(self.fabric.broadcast(time.monotonic() - self.began > 60 * self.minutes))
        return late or (self.planned and step >= steps)


def over(settings: TrainingSettings, steps: int) -> TrainingSettings:
    """The same settings over another number of steps: schedule and phases are stretched."""
    before = settings.schedule.steps
    # As shares they stay in proportion; just below 1, since 1 is a step.
    phases = tuple(
        phase if phase.steps < 1 else replace(phase, steps=min(phase.steps / before, 1 - 1e-9))
        for phase in settings.phases
    )
    return replace(settings, schedule=settings.schedule.over(steps), phases=phases)


SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: A signal that follows the first so soon is the same request: `timeout` sends SIGTERM to its child and again
#: to the group.
REPEATED_S = 1.0


class Interrupted(Exception):
    """Training was asked to end, and has saved what it had."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


class Request:
    """The signal that came, 0 while none has, and when it came."""

    def __init__(self) -> None:
        self.signal_number = 0
        self.came_s = 0.0


@contextmanager
def requests() -> Iterator[Request]:
    """Notes the first signal; a second one, later than ``REPEATED_S``, ends the process as usual.

    In a thread, which cannot receive signals, nothing is noted.
    """
    request = Request()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: FrameType | None) -> None:
        if not request.signal_number:
            request.signal_number, request.came_s = number, time.monotonic()
        elif time.monotonic() - request.came_s > REPEATED_S:
            restore()
            signal.raise_signal(number)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
