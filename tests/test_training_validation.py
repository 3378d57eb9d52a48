"""That a run learns, and what validation hears, shows and writes down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hppnet.model import checkpoint
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.notes import Note
from hppnet.training.data.sources import gather
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource
from hppnet.training.thresholds import finish
from hppnet.training.validation import beginning, picture, validate

from .training_runs import PLAIN, TINY, Notebook, make_music, short_run, trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by all tests here; each writes to a run folder of its own."""
    return make_music(tmp_path_factory.mktemp("training"))


@pytest.mark.slow
def test_it_learns_two_pieces_by_heart(folder: Path) -> None:
    """The whole chain, from sound to notes, offline and live: every note is found, and no other."""
    wanted = short_run(
        folder,
        "learnt",
        network=NetworkConfig(stem_channels=8, body_channels=16, lstm_units=24),
        frames=150,
        look_ahead=(4, 4),
        full_context=0.5,
        schedule=Schedule(steps=70, warm_up=5, shape="cosine", learning_rate=1e-2, ema=0.9),
        augmentation=PLAIN,
        validation=(DataSource(str(folder / "music")),),
        validate_every=35,
        validate_s=3.0,
    )
    notebook = Notebook()
    trained(wanted, notebook)
    path, decoder = finish(wanted)
    network, config, about = checkpoint.load(path)
    found = validate(network, config, gather(wanted).kept, 3.0)
    assert (
        min(
            found.values[f"{mode}_{score}"]
            for mode in ("offline", "streaming")
            for score in ("onset", "note")
        )
        > 99
    )
    assert decoder == config.decoder and about["kept"] == ["one", "two"]
    assert list(notebook.validations) == [35, 70]
    best = checkpoint.load(Path(wanted.folder) / "best.safetensors")[2]
    means = {
        step: (values["offline_onset"] + values["streaming_onset"]) / 2
        for step, values in notebook.validations.items()
    }
    assert best["steps"] == max(means, key=lambda step: (means[step], -step))


def test_validation_without_recordings_kept_back_is_left_out(folder: Path) -> None:
    notebook = Notebook()
    trained(short_run(folder, "nothing-kept", validate_every=2), notebook)
    assert not notebook.validations and not (folder / "nothing-kept" / "best.safetensors").exists()


def test_validation_hears_the_beginning_only(folder: Path) -> None:
    piece = gather(short_run(folder, "x")).trained[0][0]
    samples, played = beginning(piece, 1.0)
    assert len(samples) == 16_000
    assert played == [Note(0.3, 0.7, 60, 70), Note(0.7, 1.0, 64, 70)]


def test_pictures_tell_missed_from_made_up() -> None:
    heard = np.zeros((100, 88, 4))
    notes = np.array([[0.5, 1.0, 60, 64]])
    image = picture(notes, heard)
    colours = {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
    assert (255, 128, 0) in colours and (0, 128, 255) not in colours  # missed, nothing made up
    heard[30:40, 20, 1] = 1.0
    image = picture(notes[:0], heard)
    where = np.argwhere((image == (0, 128, 255)).all(-1))
    # Below the onsets and a line, key 20 counted from the bottom.
    assert set(where[:, 0] // 3) == {89 + 87 - 20} and set(where[:, 1] // 3) == set(range(30, 40))


def test_checkpoints_say_where_notes_end(folder: Path, tmp_path: Path) -> None:
    make_music(tmp_path)
    (tmp_path / "prepared.json").write_text(json.dumps({"note_ends": "sounding"}))
    wanted = replace(short_run(tmp_path, "ends"), schedule=Schedule(steps=1, warm_up=0, decay=0))
    trained(wanted)
    config: ModelConfig = checkpoint.load(tmp_path / "ends" / "last.safetensors")[1]
    assert config.note_ends == "sounding" and config.network == TINY
    both = replace(wanted, sources=(*wanted.sources, DataSource(str(folder / "music"))))
    with pytest.raises(ValueError, match="the same note ends in all folders"):
        gather(both)
