"""Stream time against the clock: drift is followed, lateness is not, losses are found to the sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hppnet.realtime.timeline import GapMeter, Timeline

BLOCK_S = 0.01


def test_a_late_block_does_not_move_the_anchor() -> None:
    timeline = Timeline()
    for i in range(1, 2000):
        late_s = 0.08 if i % 7 == 0 else 0.0
        timeline.observe(i * BLOCK_S, 100 + i * BLOCK_S + late_s)
    assert timeline.anchor_s == pytest.approx(100)
    assert timeline.clock_of(5.0) == pytest.approx(105)
    assert timeline.stream_of(105.0) == pytest.approx(5.0)


@pytest.mark.parametrize("drift", [-100e-6, 100e-6])
def test_drifting_quartzes_are_followed_for_an_hour(drift: float) -> None:
    timeline, largest_step = Timeline(), 0.0
    for i in range(1, 360_000, 4):
        end_s = i * BLOCK_S
        before = timeline.anchor_s
        timeline.observe(end_s, 100 + end_s * (1 + drift))
        if i > 400:
            largest_step = max(largest_step, abs(timeline.anchor_s - before))
    # The least delay of up to ten seconds is at most a millisecond old.
    assert timeline.anchor_s == pytest.approx(100 + drift * end_s, abs=0.0015)
    assert largest_step < 1e-4


def test_a_jump_of_the_clock_is_taken_over() -> None:
    timeline = Timeline()
    for i in range(1, 4000):
        timeline.observe(i * BLOCK_S, 100 + i * BLOCK_S - (50 if i > 2000 else 0))
    assert timeline.anchor_s == pytest.approx(50)


def _arrivals(meter: GapMeter, late_s: np.ndarray, lost_at: dict[int, float], reported: bool) -> float:
    """All that the meter finds lost in blocks that come so late, after so much was lost."""
    clock_s, end_s, found_s = 5.0, 0.0, 0.0
    for i, late in enumerate(late_s):
        clock_s += BLOCK_S + lost_at.get(i, 0.0)
        end_s += BLOCK_S
        found_s += meter.note(end_s + found_s, clock_s + late, reported and i in lost_at)
    return found_s


@given(
    st.lists(st.floats(0, 0.2), min_size=300, max_size=300),
    st.floats(0.03, 30),
    st.integers(60, 200),
)
def test_a_loss_is_found_exactly_however_blocks_are_delayed(
    late: list[float], lost_s: float, at: int
) -> None:
    late_s = np.array(late)
    late_s[::10] = 0.0  # now and then one is on time
    assert _arrivals(GapMeter(), late_s, {at: lost_s}, False) == pytest.approx(lost_s, abs=0.003)


@given(st.lists(st.floats(0, 3), min_size=200, max_size=200))
def test_lateness_is_no_loss(late: list[float]) -> None:
    late_s = np.array(late)
    late_s[::10] = 0.0
    assert _arrivals(GapMeter(), late_s, {}, False) == 0.0


def test_what_the_device_reports_may_be_short() -> None:
    nothing = np.zeros(300)
    assert _arrivals(GapMeter(), nothing, {100: 0.004}, True) == pytest.approx(0.004)
    assert _arrivals(GapMeter(), nothing, {100: 0.004}, False) == 0.0


def test_drift_is_no_loss() -> None:
    meter, found_s = GapMeter(), 0.0
    for i in range(1, 100_000):
        found_s += meter.note(i * BLOCK_S, 5 + i * BLOCK_S * 1.0002, False)
    assert found_s == 0.0
