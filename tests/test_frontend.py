"""The front end against librosa, against known sines, and against itself in pieces."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from hppnet.model.frontend import FLOOR_DB, FrontEndConfig, frequencies_hz
from hppnet.model.spectrum import FrontEnd
from hppnet.model.timebase import BINS, BINS_PER_OCTAVE, HOP, SAMPLE_RATE

from .sounds import three_notes


@pytest.mark.slow
def test_agrees_with_librosa_vqt_when_its_windows_are_symmetric() -> None:
    rng = np.random.default_rng(0)
    samples = three_notes() + 0.01 * rng.standard_normal(len(three_notes())).astype(np.float32)
    ours = (
        FrontEnd(FrontEndConfig(symmetric=True, longest=8192))
        .whole(torch.from_numpy(samples)[None])[0]
        .numpy()
    )
    # librosa's alpha is half of ours, and it multiplies by the window's length.
    vqt = {"fmin": frequencies_hz()[0], "n_bins": BINS, "bins_per_octave": BINS_PER_OCTAVE, "gamma": 4.0}
    theirs = np.abs(
        librosa.vqt(
            samples, sr=SAMPLE_RATE, hop_length=HOP, filter_scale=1.44, scale=False, sparsity=0.0, **vqt
        )
    ).T
    alpha = librosa.filters._relative_bandwidth(freqs=frequencies_hz())
    lengths, _ = librosa.filters.wavelet_lengths(
        freqs=frequencies_hz(), sr=SAMPLE_RATE, filter_scale=1.44, gamma=4.0, alpha=alpha
    )
    theirs_db = 20 * np.log10(np.maximum(2 * theirs / lengths, 1e-6))
    inner = slice(10, len(ours) - 10)  # the edges are padded differently
    loud = theirs_db[inner] > -60
    apart = np.abs(ours[inner] - theirs_db[inner])[loud]
    assert loud.mean() > 0.3
    assert np.median(apart) < 0.1
    assert np.percentile(apart, 99) < 1.0


def test_full_scale_sine_reads_zero_db_in_its_own_bin() -> None:
    t = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    for b in (5, 100, 250, 340):
        sine = np.sin(2 * np.pi * frequencies_hz()[b] * t).astype(np.float32)
        frame = FrontEnd().whole(torch.from_numpy(sine)[None])[0, 50]
        assert abs(float(frame[b])) < 0.3
        assert int(frame.argmax()) == b


def test_tuning_moves_the_bins() -> None:
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    sharp = np.sin(2 * np.pi * frequencies_hz()[200] * 2 ** (25 / 1200) * t).astype(np.float32)
    tuned = FrontEnd(FrontEndConfig(tuning_cents=25)).whole(torch.from_numpy(sharp)[None])[0, 25]
    assert int(tuned.argmax()) == 200
    assert int(FrontEnd().whole(torch.from_numpy(sharp)[None])[0, 25].argmax()) == 201


def test_a_frame_hears_nothing_beyond_its_look_ahead() -> None:
    front = FrontEnd()
    samples = torch.zeros(1, 40 * HOP)
    frame = 20
    beyond = samples.clone()
    beyond[0, frame * HOP + front.after] = 1.0
    within = samples.clone()
    within[0, frame * HOP + front.after - 100] = 1.0
    assert torch.equal(front.whole(beyond)[0, frame], front.whole(samples)[0, frame])
    assert not torch.equal(front.whole(within)[0, frame], front.whole(samples)[0, frame])


def test_silence_is_the_floor_and_the_number_of_frames_follows_the_samples() -> None:
    front = FrontEnd()
    for samples, frames in ((0, 0), (1, 1), (HOP, 1), (HOP + 1, 2), (16_000, 50)):
        spectrum = front.whole(torch.zeros(1, samples))
        assert spectrum.shape == (1, frames, BINS)
        assert bool((spectrum == FLOOR_DB).all())


def test_look_ahead_is_a_setting_that_is_checked() -> None:
    assert FrontEnd(FrontEndConfig(look_ahead=320)).after == 320
    with pytest.raises(ValueError, match="look_ahead must be"):
        FrontEndConfig(look_ahead=0)
