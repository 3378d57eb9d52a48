"""Thresholds: chosen on what was kept back, as it is and in rooms, and lower where nothing is seen ahead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.config import DecoderConfig
from hppnet.model.notes import Note
from hppnet.model.transcriber import Transcriber
from hppnet.training.data.sources import gather
from hppnet.training.evaluate.conditions import Conditions
from hppnet.training.evaluate.scores import NoteArrays
from hppnet.training.thresholds import SOONEST, PredictedRecording, choose, ends_well, figures_of, predict

from .test_decoder import silence, stroke
from .test_releases import always
from .training_runs import make_music, short_run


def predicted(level: float, mode: str) -> PredictedRecording:
    """Two notes whose onsets reach ``level``, and one that was not played at half of it."""
    roll, played = silence(120), []
    for key, at in ((20, 10), (50, 50)):
        stroke(roll, at, at + 20, key=key)
        played.append(Note(at * 0.02, (at + 20) * 0.02, key + 21, 80))
    wrong = stroke(silence(120), 30, 50, key=70)
    roll[..., 0] *= level
    roll[:, 70] = wrong[:, 70] * np.array([level / 2, 1, 1, 1], np.float32)
    return PredictedRecording(roll, NoteArrays.of(played), mode=mode)


def test_the_onset_threshold_without_look_ahead_is_chosen_apart() -> None:
    found = choose(
        [predicted(0.6, "offline"), predicted(0.6, "streaming"), predicted(0.25, SOONEST)], DecoderConfig()
    )
    assert 0.3 < found.onset <= 0.6 and 0.125 < found.onset_soonest <= 0.25


def test_the_onset_threshold_without_look_ahead_is_never_the_higher_one() -> None:
    kept = [predicted(0.2, "offline"), predicted(0.2, "streaming"), predicted(0.9, SOONEST)]
    found = choose(kept, DecoderConfig())
    assert found.onset_soonest == found.onset <= 0.2


def test_recordings_in_rooms_count_as_much_as_they_do_plain() -> None:
    """In a room the onsets reach no more than 0.2: the threshold must be lower than on plain recordings."""
    plain = [predicted(0.5, mode) for mode in ("offline", "streaming", SOONEST)]
    rooms = [replace(predicted(0.2, mode), in_room=True) for mode in ("offline", "streaming", SOONEST)]
    assert choose(plain, DecoderConfig()).onset > 0.25 > choose(plain + rooms, DecoderConfig()).onset


def test_a_network_that_makes_ends_worse_is_left_out() -> None:
    """The notes last 0.4 s."""
    kept = [predicted(0.6, mode) for mode in ("offline", "streaming", SOONEST)]
    assert ends_well(always(0.4), kept, DecoderConfig())
    assert not ends_well(always(1.2), kept, DecoderConfig())
    assert ends_well(always(1.2), kept[1:], DecoderConfig())  # streams do not use it
    plain, worse = (figures_of(kept, DecoderConfig(), one) for one in (None, always(1.2)))
    assert worse["offline_note"] < plain["offline_note"]
    assert {**worse, "offline_note": 0} == {**plain, "offline_note": 0}


@pytest.mark.parametrize("in_rooms", [False, True])
def test_what_was_kept_back_is_predicted_in_every_mode_and_in_rooms(
    transcriber: Transcriber, tmp_path: Path, in_rooms: bool
) -> None:
    kept = gather(short_run(make_music(tmp_path), "x")).trained[0][:1]
    for name in ("rooms", "noise"):
        (tmp_path / name).mkdir()
        sound = np.random.default_rng(0).standard_normal(4000) * np.exp(-np.arange(4000) / 1000)
        soundfile.write(tmp_path / name / "a.wav", sound * 0.1, 16_000)
    rooms = Conditions(rooms=tmp_path / "rooms", noises=tmp_path / "noise", snr_db=15)
    found = predict(transcriber, kept, rooms if in_rooms else None)
    modes = ["offline", "streaming", SOONEST]
    assert [one.mode for one in found] == modes * (2 if in_rooms else 1)
    assert [one.in_room for one in found] == [False] * 3 + [True] * 3 * in_rooms
    for plain, other in zip(found[:3], found[3:], strict=False):
        assert plain.probabilities.shape == other.probabilities.shape
        assert np.abs(plain.probabilities - other.probabilities).max() > 0.05
