"""When a training run ends: after its steps, after a number of minutes, or after a signal.

With ``minutes``, the first steps are timed and the schedule is stretched to the steps that fit into the
remaining time. From then on the run is like any other: its number of steps is saved, and it can be resumed.
After Ctrl-C, or SIGTERM from a scheduler, the current step is finished and the run is saved.
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
UNTIMED_STEPS = 3  #: steps before those: compiling, filling caches, the workers' first batches
SHARE = 0.97  #: share of the time to plan for: steps vary, and the run has to be saved


@dataclass
class Budget:
    """Decides when a run ends. With ``minutes``, it plans the number of steps from the first steps' time."""

    fabric: Fabric
    minutes: float
    first: int  #: the step that this process began with
    began: float = field(default_factory=lambda: time.monotonic())
    timed_from: float = 0.0
    planned: bool = False  #: whether the number of steps is known

    def plan(self, step: int, settings: TrainingSettings) -> TrainingSettings | None:
        """Called after each step; returns the settings with their schedule stretched, once, else None."""
        if self.planned or not self.minutes:
            return None
        if step == self.first + UNTIMED_STEPS:
            self.timed_from = time.monotonic()
        if step != self.first + UNTIMED_STEPS + TIMED_STEPS:
            return None
        step_s = (time.monotonic() - self.timed_from) / TIMED_STEPS
        left_s = SHARE * 60 * self.minutes - (time.monotonic() - self.began)
        self.planned = True
        # The first process decides, so that all take the same number of steps.
        return over(settings, int(self.fabric.broadcast(step + max(1, int(left_s / step_s)))))

    def ends(self, step: int, steps: int) -> bool:
        """Whether a run of ``steps`` steps ends after ``step``; the same in all processes."""
        if not self.minutes:
            return step >= steps
        late = bool(self.fabric.broadcast(time.monotonic() - self.began > 60 * self.minutes))
        return late or (self.planned and step >= steps)


def over(settings: TrainingSettings, steps: int) -> TrainingSettings:
    """The settings with schedule and phases stretched to another number of steps."""
    before = settings.schedule.steps
    # As shares, phases keep their proportions. Just below 1, since 1 would mean one step.
    phases = tuple(
        phase if phase.steps < 1 else replace(phase, steps=min(phase.steps / before, 1 - 1e-9))
        for phase in settings.phases
    )
    return replace(settings, schedule=settings.schedule.over(steps), phases=phases)


SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: A second signal within this time is the same request: `timeout` sends SIGTERM to its child, then to the
#: group.
REPEATED_S = 1.0


class Interrupted(Exception):
    """Training was ended by a signal, after the run was saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.signal_number = signal_number


class Request:
    """The first signal that came (0: none yet), and when it came."""

    def __init__(self) -> None:
        self.signal_number = 0
        self.came_s = 0.0


@contextmanager
def requests() -> Iterator[Request]:
    """Records the first signal; a second one, later than ``REPEATED_S``, ends the process as usual.

    Records nothing outside the main thread: other threads cannot handle signals.
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
