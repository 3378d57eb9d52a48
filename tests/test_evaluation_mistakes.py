"""Which notes are missed and invented, and how sure a mean is."""

from __future__ import annotations

import numpy as np
import pytest

from hppnet.model.notes import Note
from hppnet.training.evaluate.mistakes import GROUPS, Mistakes, mistakes_of
from hppnet.training.evaluate.pictures import Point, draw_latencies, draw_mistakes
from hppnet.training.evaluate.runs import interval, intervals
from hppnet.training.evaluate.scores import score

from .evaluation_parts import SCALE, unknown


def groups_of(played: list[Note], heard: list[Note], way: str, column: str) -> list[str]:
    """The groups of one way in which something is counted, one name a note."""
    return [n for n, c in mistakes_of(played, heard).as_dict()[way].items() for _ in range(c[column])]


def note(onset_s: float, pitch: int, velocity: int = 64, length_s: float = 0.2) -> Note:
    return Note(onset_s, onset_s + length_s, pitch, velocity)


def test_every_note_is_counted_once_each_way():
    heard = [*SCALE[2:], note(20, 50, 127), note(1.06, 60)]  # the last is 60 ms late
    found = mistakes_of(SCALE, heard)
    for way, names in GROUPS.items():
        assert found.counts[way].shape == (len(names), 4)
        assert list(found.counts[way].sum(axis=0)) == [10, 2, 10, 2], way
    assert groups_of(SCALE, heard, "key", "missed") == ["60", "61"]
    assert groups_of(SCALE, heard, "key", "invented") == ["50", "60"]


def test_velocities_by_sixteen_and_unknown_ones_left_out():
    played = [note(i, 60, v) for i, v in enumerate((1, 15, 16, 127))]
    assert groups_of(played, [], "velocity", "missed") == ["1-15", "1-15", "16-31", "112-127"]
    assert groups_of([], [note(0, 60, 50)], "velocity", "invented") == ["48-63"]
    assert groups_of(unknown(played), [], "velocity", "missed") == []
    assert len(groups_of(unknown(played), [], "key", "missed")) == 4


@pytest.mark.parametrize(
    ("pitch", "group"),
    [
        *((72, "octave above"), (84, "octave above"), (48, "octave below"), (36, "octave below")),
        *((67, "fifth"), (53, "fifth"), (79, "fifth"), (41, "fifth")),
        *((64, "neither"), (61, "neither"), (96, "neither"), (60, "neither")),
    ],
)
def test_octaves_and_fifths_of_a_note_that_sounds(pitch, group):
    long = note(1.0, 60, length_s=2.0)
    assert groups_of([long], [long, note(2.0, pitch)], "octave", "invented") == [group]
    assert groups_of([long, note(2.0, pitch)], [long], "octave", "missed") == [group]
    assert groups_of([long], [long, note(0.97, pitch)], "octave", "invented")[0] == group  # just before it
    assert groups_of([long], [long, note(3.2, pitch)], "octave", "invented") == ["neither"]  # after its end


def test_octaves_at_the_edges_of_the_keyboard():
    edges = [note(1, 21), note(1, 108), note(1, 33), note(1, 96)]
    groups = groups_of(edges, [], "octave", "missed")
    assert groups == ["octave above"] * 2 + ["octave below"] * 2


def test_repeated_notes_by_the_time_since_the_last_stroke():
    played = [note(t, 60, length_s=0.05) for t in (1.0, 1.1, 1.35, 2.0, 9.0)] + [note(1.05, 61)]
    missed = groups_of(played, [], "repeated", "missed")
    assert missed == ["within 0.15 s", "within 0.3 s", "within 1 s"] + ["later or never"] * 3
    # A stroke heard twice is invented shortly after the true one, heard or not.
    assert groups_of(SCALE, [*SCALE, note(1.08, 60)], "repeated", "invented") == ["within 0.15 s"]


def test_chords_by_how_many_notes_were_struck_together():
    chord = [note(1.0 + 0.01 * i, 60 + i) for i in range(3)]
    played = [*chord, note(2.0, 60), *(note(3.0, 40 + i) for i in range(9))]
    expected = ["1"] + ["3"] * 3 + ["6+"] * 9
    assert groups_of(played, [], "chord", "missed") == expected
    assert groups_of(played, played, "chord", "transcribed") == expected
    assert groups_of(played, [*played, note(2.0, 90)], "chord", "invented") == ["2"]


def test_a_right_note_lies_where_it_was_played():
    """Late by 40 ms, it is neither the repetition of itself nor in a larger chord."""
    late = [note(n.onset_s + 0.04, n.pitch) for n in SCALE]
    for way in GROUPS:
        assert groups_of(SCALE, late, way, "transcribed") == groups_of(SCALE, SCALE, way, "transcribed")


def test_total_and_nothing_at_all():
    one = mistakes_of(SCALE, SCALE[:4])
    total = Mistakes.total([one, one, mistakes_of([], [])])
    assert list(total.counts["chord"].sum(axis=0)) == [20, 12, 8, 0]
    assert list(one.counts["chord"].sum(axis=0)) == [10, 6, 4, 0]


def test_the_interval_is_that_of_the_mean():
    values = list(np.random.default_rng(1).normal(80, 10, 400))
    low, high = interval(values)
    expected = 1.96 * np.std(values) / 20
    assert (np.mean(values) - low, high - np.mean(values)) == pytest.approx((expected, expected), rel=0.1)
    assert interval(values) == (low, high)  # the same every time
    assert interval([50.0, 50.0, 50.0]) == (50, 50)
    assert interval([50.0]) is None and interval([]) is None


def test_intervals_leave_out_what_has_no_score():
    right, half, mute = score(SCALE, SCALE), score(SCALE, SCALE[:5]), score(unknown(SCALE), SCALE)
    found = intervals([right, half, mute])
    low, high = found["onset_50ms"]
    assert 200 / 3 <= low < high <= 100
    assert found["onset_offset_velocity"] == interval([100, half.onset_offset_velocity.f1])
    assert intervals([right])["onset_50ms"] is None


def test_pictures_are_drawn(tmp_path):
    scores = {"onset_50ms": 80.0, "onset_20ms": 60.0}
    known = Point(scores, {"onset_50ms": (70.0, 90.0), "onset_20ms": None, "onset_offset": None})
    draw_latencies(tmp_path / "a.part", {52.0: known, 72.0: known}, known, {"transkun": known}, "$5: a")
    draw_mistakes(tmp_path / "b.part", mistakes_of(SCALE, SCALE[:3]), "a $ and a $")
    draw_mistakes(tmp_path / "c.part", Mistakes(), "nothing")
    for name in "abc":
        assert (tmp_path / f"{name}.part").read_bytes().startswith(b"\x89PNG")
