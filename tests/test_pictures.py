"""The piano roll: a note, and what the network thought of it, are where they should be."""

import numpy as np
import pytest

from hppnet.model.notes import Note, Press
from hppnet.model.timebase import KEYS
from hppnet.offline import pictures
from hppnet.offline.pictures import draw_piano_roll


def pixels(path):
    from matplotlib.image import imread

    image = imread(path)  # PNG: [height, width, 4], 0 to 1
    return np.round(image[..., :3] * 255).astype(int)


def draw(path, notes, probabilities=None, duration_s=10.0, title="take.wav"):
    draw_piano_roll(path, notes, probabilities, duration_s, title)
    return pixels(path)


def coloured(image):
    """Where something more colourful than ink, paper and keys is, left of the velocity scale."""
    spread = image.max(axis=2) - image.min(axis=2)
    return (spread > 60)[:, : int(image.shape[1] * 0.93)]


def test_a_note_lies_at_its_time_and_pitch(tmp_path):
    """High and late is at the upper right, low and early at the lower left."""
    image = draw(tmp_path / "a.png", [Note(0.0, 2.0, 36, 100), Note(8.0, 10.0, 84, 100)])
    rows, columns = np.nonzero(coloured(image))
    height, width = image.shape[:2]
    early = columns < width * 0.3
    late = columns > width * 0.6
    assert early.sum() > 100 and late.sum() > 100
    assert (early | late).all()
    assert rows[early].mean() > height * 0.6 and rows[late].mean() < height * 0.4


def test_velocity_shows(tmp_path):
    soft, loud = (draw(tmp_path / "a.png", [Note(1.0, 9.0, 60, velocity)]) for velocity in (20, 120))
    where = coloured(soft) & coloured(loud)
    assert where.sum() > 1000
    assert np.abs(soft[:, : where.shape[1]][where] - loud[:, : where.shape[1]][where]).mean() > 40


@pytest.mark.parametrize("head", [0, 1])
def test_onset_and_frame_probabilities_show(tmp_path, head):
    probabilities = np.zeros((500, KEYS, 4), np.float32)
    blank = draw(tmp_path / "a.png", [], probabilities)
    probabilities[200:250, 60 - 21, head] = 1.0
    changed = np.any(draw(tmp_path / "b.png", [], probabilities) != blank, axis=2)
    columns = np.nonzero(changed)[1] / blank.shape[1]
    assert changed.sum() > 100
    assert columns.min() > 0.3 and columns.max() < 0.6


def test_long_recordings_go_on_in_rows_and_are_capped(tmp_path, monkeypatch):
    rows = [draw(tmp_path / "a.png", [], None, seconds).shape[0] for seconds in (20, 70)]
    assert 2 * rows[0] < rows[1] < 3.2 * rows[0]
    monkeypatch.setattr(pictures, "PICTURE_S", 60.0)
    assert draw(tmp_path / "a.png", [Note(1, 2, 60, 60)], None, 4000.0).shape[0] < rows[1]


@pytest.mark.parametrize("duration_s", [0.0, 0.02, 29.99, 30.0, 30.01])
def test_any_length_with_nothing_in_it(tmp_path, duration_s):
    assert draw(
        tmp_path / "a.png", [], np.zeros((0, KEYS, 4), np.float32), duration_s, "a $5 _take_.wav"
    ).size


def test_a_note_across_rows_is_in_both(tmp_path):
    across = coloured(draw(tmp_path / "a.png", [Note(25.0, 35.0, 60, 90)], None, 60.0))
    half = across.shape[0] // 2
    assert across[:half].sum() > 100 and across[half:].sum() > 100


@pytest.mark.parametrize("pitches", [[21], [108], [21, 108], [60, 61], []])
def test_the_keys_drawn_hold_every_note(pitches):
    low, high = pictures._pitch_range([Note(0.0, 1.0, pitch, 64) for pitch in pitches], 10.0)
    assert 21 <= low < high <= 108 and high - low >= 24
    assert all(low <= pitch <= high for pitch in pitches)


def test_the_pedal_is_below_the_keys_and_changes_nothing_else(tmp_path):
    notes = [Note(0.5, 1.0, 60, 64)]
    for name, pedal in (("up", []), ("down", [Press(0.0, 4.0)])):
        draw_piano_roll(tmp_path / f"{name}.png", notes, None, 4.0, "take", pedal)
    up, down = pixels(tmp_path / "up.png"), pixels(tmp_path / "down.png")
    rows, columns = np.nonzero(np.abs(up - down).max(axis=2) > 12)
    assert len(rows) > 1000 and rows.min() > 0.7 * len(up)
    assert columns.max() < 0.95 * up.shape[1]  # the velocities' scale stays as it was
