"""Streaming resampling: exact to the ear of the front end, whatever the blocks, and on time."""

from __future__ import annotations

import numpy as np
import pytest

from hppnet.model.frames import Resampler
from hppnet.model.tuning import estimate_tuning

from .sounds import piano_like


def resampled(samples: np.ndarray, rate: int, block: int) -> np.ndarray:
    resampler = Resampler(rate)
    parts = [resampler.feed(samples[i : i + block]) for i in range(0, len(samples), block)]
    return np.concatenate([*parts, resampler.flush()])


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("hz", [55.0, 440.0, 3_500.0])
def test_a_sine_stays_the_same_sine(rate: int, hz: float) -> None:
    out = resampled(np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32), rate, 4096)
    assert len(out) == 16_000
    wanted = np.sin(2 * np.pi * hz * np.arange(16_000) / 16_000)
    # soxr's variable-rate filter (the low rates) lies up to 0.2 ms off; the short road is exact.
    late_s = 0.0002 if rate < 32_000 and rate != 16_000 else 0.0
    allowed = 2e-3 + 2 * np.pi * hz * late_s
    assert np.abs(out - wanted)[2000:14_000].max() < allowed


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize("hz", [11_600.0, 15_000.0, 19_000.0])
def test_nothing_folds_down_to_where_the_piano_is(rate: int, hz: float) -> None:
    out = resampled(np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32), rate, 4096)
    assert np.abs(out)[2000:14_000].max() < 1e-4


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
def test_blocks_make_no_difference(rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal(6000).astype(np.float32)
    whole = resampled(samples, rate, len(samples))
    for block in (1, 7, 333):
        # The same sums in the same order.
        np.testing.assert_array_equal(resampled(samples, rate, block), whole)


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_100, 48_000, 192_000])
def test_what_was_fed_is_out_after_the_delay_it_reports(rate: int) -> None:
    resampler, out = Resampler(rate), 0
    for n in range(1, rate // 4):
        out += len(resampler.feed(np.zeros(1, np.float32)))
        if n > rate // 8:
            assert n / rate - out / 16_000 <= resampler.delay_s + 1 / 16_000


def test_absurd_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="sample rate must be"):
        Resampler(100)


@pytest.mark.parametrize("cents", [-35.0, 0.0, 18.0])
def test_tuning_is_heard(cents: float) -> None:
    clip = piano_like({0.1 * n: 55 + (7 * n) % 24 for n in range(40)}, 4.0)
    # Played faster by so many cents, everything is higher by as many.
    faster = np.interp(np.arange(0, len(clip) - 1, 2 ** (cents / 1200)), np.arange(len(clip)), clip)
    assert estimate_tuning([faster.astype(np.float32)], 16_000).cents == pytest.approx(cents, abs=3)


def test_silence_has_no_tuning() -> None:
    assert estimate_tuning([np.zeros(48_000, np.float32)], 16_000).cents == 0.0
