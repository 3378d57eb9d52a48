"""Scores of hand-made notes, and that they are mir_eval's."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest

from hppnet.model.notes import Note
from hppnet.training.evaluate.scores import PRF, NoteArrays, doubled_percent, mean, score

from .evaluation_parts import ONSETS, SCALE, shifted, unknown

PERFECT = PRF(100.0, 100.0, 100.0)
NOTHING = PRF(0.0, 0.0, 0.0)


def test_perfect():
    s = score(SCALE, SCALE)
    for name in (*ONSETS, "onset_offset", "onset_offset_velocity", "frame"):
        assert getattr(s, name) == PERFECT, name
    assert s.velocity_mae == 0 and s.doubled_percent == 0


def test_shifted_by_30_ms_is_right_from_30_ms_on():
    s = score(SCALE, shifted(SCALE, 0.03))
    assert s.onset_10ms == NOTHING and s.onset_20ms == NOTHING
    assert s.onset_30ms == PERFECT and s.onset_50ms == PERFECT and s.onset_offset == PERFECT
    # 3 of each note's 50 instants are missed at its begin, 3 too many follow its end.
    assert s.frame == PRF(pytest.approx(94), pytest.approx(94), pytest.approx(94))


def test_a_late_release_costs_the_offset_only():
    # The tolerance is 20 % of 0.5 s.
    for late, expected in ((0.09, PERFECT), (0.11, NOTHING)):
        s = score(SCALE, [Note(n.onset_s, n.offset_s + late, n.pitch, n.velocity) for n in SCALE])
        assert s.onset_offset == expected and s.onset_10ms == PERFECT


def test_missing_notes_cost_recall_and_extra_notes_precision():
    s = score(SCALE, SCALE[:6])
    assert s.onset_50ms == PRF(100.0, 60.0, pytest.approx(75.0))
    assert s.frame == PRF(100.0, 60.0, pytest.approx(75.0))
    s = score(SCALE[:6], SCALE)
    assert s.onset_50ms == PRF(60.0, 100.0, pytest.approx(75.0))


def test_a_semitone_off_is_wrong():
    s = score(SCALE, [Note(n.onset_s, n.offset_s, n.pitch + 20, n.velocity) for n in SCALE])
    assert s.onset_50ms == NOTHING and s.frame == NOTHING and s.velocity_mae is None


def test_velocities_are_right_up_to_a_straight_line():
    s = score(SCALE, shifted(SCALE, 0, velocity=12))
    assert s.onset_offset_velocity == PERFECT  # a louder microphone is no mistake
    assert s.velocity_mae == pytest.approx(12)
    wild = [Note(n.onset_s, n.offset_s, n.pitch, 20 if i == 5 else n.velocity) for i, n in enumerate(SCALE)]
    s = score(SCALE, wild)
    assert s.velocity_mae == pytest.approx(5) and s.onset_offset == PERFECT
    assert s.onset_offset_velocity.f1 < 95


def test_unknown_velocities_are_left_out():
    s = score(unknown(SCALE), SCALE)
    assert s.onset_offset_velocity is None and s.velocity_mae is None
    assert s.onset_50ms == PERFECT
    # The unknown half neither helps nor harms: heard or not, the known half is judged alone.
    half = SCALE[:5] + unknown(SCALE[5:])
    assert score(half, SCALE).onset_offset_velocity == PERFECT
    assert score(half, SCALE[:5]).onset_offset_velocity == PERFECT
    assert score(half, SCALE[5:]).onset_offset_velocity == NOTHING
    assert score(half, shifted(SCALE, 0, velocity=7)).velocity_mae == pytest.approx(7)


def test_nothing_played_and_nothing_heard():
    for played, heard in ((SCALE, []), ([], SCALE)):
        s = score(played, heard)
        assert s.onset_50ms == NOTHING and s.onset_offset == NOTHING and s.frame == NOTHING
        assert s.velocity_mae is None and s.doubled_percent == 0
    s = score([], [])
    assert s.onset_50ms is None and s.frame is None and s.onset_offset_velocity is None
    assert mean([s, score(SCALE, SCALE)]).onset_50ms == PERFECT


def test_notes_of_no_length_and_before_time_zero_are_scored():
    short = [Note(n.onset_s, n.onset_s, n.pitch, n.velocity) for n in SCALE]
    assert score(short, short).onset_offset == PERFECT
    early, at_zero = [Note(-0.004, 0.5, 60, 50)], [Note(0.0, 0.5, 60, 50)]
    assert score(early, at_zero).onset_offset == score(at_zero, early).onset_offset == PERFECT


def test_each_played_note_is_used_once():
    twice = sorted(SCALE + shifted(SCALE, 0.04), key=lambda n: n.onset_s)
    s = score(SCALE, twice)
    assert s.onset_50ms == PRF(50.0, 100.0, pytest.approx(200 / 3))
    assert s.doubled_percent == 50


def test_doubled_means_one_stroke_heard_twice():
    def notes(*onsets: float) -> list[Note]:
        return [Note(t, t + 0.02, 60, 64) for t in onsets]

    assert doubled_percent(notes(1.0), notes(1.0, 1.045)) == 50
    assert doubled_percent(notes(1.0), notes(1.0, 1.055)) == 0  # too far apart
    assert doubled_percent(notes(1.0, 1.045), notes(1.005, 1.04)) == 0  # a trill, heard as played
    assert doubled_percent(notes(1.0), notes(1.0, 1.04, 1.08)) == pytest.approx(200 / 3)
    assert doubled_percent([], notes(1.0, 1.04)) == 50
    assert doubled_percent(notes(1.0), [Note(1.0, 1.1, 60, 64), Note(1.05, 1.1, 72, 64)]) == 0


def test_mean_is_over_files_and_skips_what_is_unknown():
    m = mean([score(SCALE, SCALE), score(unknown(SCALE), SCALE[:6])])
    assert m.onset_50ms == PRF(100.0, 80.0, pytest.approx(87.5))
    assert m.onset_offset_velocity == PERFECT and m.velocity_mae == 0
    assert mean([score(unknown(SCALE), SCALE)]).velocity_mae is None
    with pytest.raises(ValueError, match="at least one"):
        mean([])


def busy(rng: np.random.Generator, n: int) -> tuple[list[Note], list[Note]]:
    """Crowded notes and a poor transcription of them, with many ambiguous matches."""
    onsets = np.sort(rng.uniform(0, n / 40, n))
    offsets = onsets + rng.uniform(0.02, 0.6, n)
    keys = zip(rng.integers(60, 66, n), rng.integers(1, 128, n), strict=True)
    played = [
        Note(float(a), float(b), int(pitch), int(velocity))
        for a, b, (pitch, velocity) in zip(onsets, offsets, keys, strict=True)
    ]
    heard = [
        Note(
            max(0.0, note.onset_s + float(rng.normal(0, 0.02))),
            note.offset_s + float(rng.uniform(0.05, 0.2)),
            note.pitch,
            int(np.clip(note.velocity + rng.normal(0, 12), 1, 127)),
        )
        for note in played
        if rng.uniform() < 0.9
    ]
    return played, heard + played[::7]


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_mir_eval_on_everything_at_once(seed):
    played, heard = busy(np.random.default_rng(seed), 300)
    s, a, b = score(played, heard), NoteArrays.of(played), NoteArrays.of(heard)

    def percent(values):
        return pytest.approx([100 * v for v in values[:3]])

    for ms in (10, 20, 30, 50):
        theirs = mir_eval.transcription.precision_recall_f1_overlap(
            a.times_s, a.hz, b.times_s, b.hz, onset_tolerance=ms / 1000, offset_ratio=None
        )
        ours = getattr(s, f"onset_{ms}ms")
        assert [ours.p, ours.r, ours.f1] == percent(theirs), ms
    theirs = mir_eval.transcription.precision_recall_f1_overlap(a.times_s, a.hz, b.times_s, b.hz)
    assert [s.onset_offset.p, s.onset_offset.r, s.onset_offset.f1] == percent(theirs)
    theirs = mir_eval.transcription_velocity.precision_recall_f1_overlap(
        a.times_s, a.hz, a.velocities, b.times_s, b.hz, b.velocities
    )
    ours = s.onset_offset_velocity
    assert [ours.p, ours.r, ours.f1] == percent(theirs)
    assert 0 < ours.f1 < s.onset_offset.f1 < s.onset_50ms.f1 < 100  # the lists do tell the scores apart


def test_frames_equal_mir_evals_multipitch():
    played, heard = busy(np.random.default_rng(1), 80)
    times = np.arange(0, 5, 0.01)

    def sounding(notes):
        at = ({n.pitch for n in notes if n.onset_s <= t < n.offset_s} for t in times)
        return [440.0 * 2.0 ** ((np.array(sorted(pitches)) - 69) / 12) for pitches in at]

    p, r, *_ = mir_eval.multipitch.metrics(times, sounding(played), times, sounding(heard))
    frame = score(played, heard).frame
    assert (frame.p, frame.r) == (pytest.approx(100 * p), pytest.approx(100 * r))
