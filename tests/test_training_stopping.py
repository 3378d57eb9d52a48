"""A training of so many minutes: planned from its first steps, stretched, resumed and over in time."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hppnet.training import loop, stopping
from hppnet.training.schedule import Phase, Schedule
from hppnet.training.settings import DataSource, TrainingSettings
from hppnet.training.stopping import Interrupted, over

from .training_runs import Notebook, fabric_of, make_music, short_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_music(tmp_path_factory.mktemp("budget"))


class Ticking(Notebook):
    """Steps take so many seconds of a clock that only they move; in one of them somebody may stop the run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, step_s: float, stop_at: int = 0) -> None:
        super().__init__()
        self.now_s, self.plans = 0.0, []
        self._step_s, self._stop_at = step_s, stop_at
        monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(stopping, "UNTIMED_STEPS", 1)
        monkeypatch.setattr(stopping, "TIMED_STEPS", 2)

    def step(self, step: int, values: dict[str, float]) -> None:
        super().step(step, values)
        self.now_s += 5 * self._step_s if step == 1 else self._step_s
        assert step < 40, "it does not end"
        if step == self._stop_at:
            raise Interrupted(15)

    def planned(self, steps: int) -> None:
        self.plans.append(steps)


def a_minute(folder: Path, name: str) -> TrainingSettings:
    schedule = Schedule(steps=100, warm_up=10, decay=50, learning_rate=1e-3)
    return replace(short_run(folder, name), minutes=1.0, schedule=schedule, save_every=5)


def test_a_minute_of_steps_of_two_seconds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps took 14 s, the first of them 10: 44 s of 58 are left for 22 more."""
    watch, how = Ticking(monkeypatch, 2.0), a_minute(folder, "minute")
    loop.train(fabric_of(how), how, watch)
    assert watch.plans == [25] and max(watch.steps) == 25
    rates = [watch.steps[step]["rate"] for step in (3, 4, 13, 24, 25)]
    # As planned before, 3 of 10 steps into the warm-up; then over 25: 2 of warm-up, 12 of falling.
    assert rates == pytest.approx([3e-4, 1e-3, 1e-3, 2 / 12 * 1e-3, 1 / 12 * 1e-3])


def test_what_was_planned_holds_after_a_stop(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, how = Ticking(monkeypatch, 2.0), a_minute(folder, "planned-whole")
    loop.train(fabric_of(how), how, whole)
    how = a_minute(folder, "planned-twice")
    with pytest.raises(Interrupted):
        loop.train(fabric_of(how), how, Ticking(monkeypatch, 2.0, stop_at=11))
    later = Ticking(monkeypatch, 50.0)  # however slow: it takes the steps that are left
    loop.train(fabric_of(how), how, later)
    assert later.plans == [25] and min(later.steps) == 11 and max(later.steps) == 25
    for step, values in later.steps.items():
        assert values["rate"] == whole.steps[step]["rate"] and values["loss"] == whole.steps[step]["loss"]


def test_a_signal_sent_twice_at_once_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `timeout` sends it: to the process and to its group. A later one does what it did before."""
    clock, ended = SimpleNamespace(now_s=5.0), []
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    before = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    try:
        with stopping.requests() as request:
            signal.raise_signal(signal.SIGTERM)
            clock.now_s += 0.9
            signal.raise_signal(signal.SIGTERM)
            assert request.signal_number == signal.SIGTERM and not ended
            clock.now_s += 0.2
            signal.raise_signal(signal.SIGTERM)
            assert ended == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_without_minutes_it_goes_on_as_planned(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = a_minute(folder, "longer")
    with pytest.raises(Interrupted):
        loop.train(fabric_of(how), how, Ticking(monkeypatch, 2.0, stop_at=11))
    later = Ticking(monkeypatch, 2.0)
    how = replace(how, minutes=0.0)
    loop.train(fabric_of(how), how, later)
    assert max(later.steps) == 25


def test_when_steps_become_slower_it_ends_in_time_and_saves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slower(Ticking):
        def step(self, step: int, values: dict[str, float]) -> None:
            super().step(step, values)
            self.now_s += 10 if step > 3 else 0

    watch, how = Slower(monkeypatch, 2.0), a_minute(folder, "slower")
    loop.train(fabric_of(how), how, watch)
    assert max(watch.steps) == 7  # 14 s and four times 12 are more than a minute
    assert torch.load(Path(how.folder) / "run.pt", weights_only=True)["step"] == 7


def test_phases_are_stretched_and_stay_in_order() -> None:
    phases = (Phase(10), Phase(0.01), Phase(69))
    how = TrainingSettings(
        (DataSource("x"),), "run", "cache", schedule=Schedule(steps=100, warm_up=4, decay=40, mean_from=60)
    )
    longer = over(replace(how, phases=phases), 1000)
    assert (longer.schedule.steps, longer.schedule.decay, longer.schedule.mean_from) == (1000, 400, 600)
    assert longer.phase_ends == [100, 110, 800]
    assert over(replace(how, phases=phases), 3).phase_ends == [1, 2, 3]
    whole = over(replace(how, phases=(Phase(100),)), 7)
    assert whole.phase_ends == [7], "a phase of all steps is one still"


def test_minutes_below_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="minutes must not be negative"):
        TrainingSettings((DataSource("x"),), "run", "cache", minutes=-1)
