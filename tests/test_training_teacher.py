"""Training beside a teacher that hears each excerpt as it was before the room and the noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.model.checkpoint import identity
from hppnet.model.config import ModelConfig
from hppnet.model.network import HPPNet
from hppnet.training import loop
from hppnet.training.data.run_files import find_run_files
from hppnet.training.data.sources import gather
from hppnet.training.losses import Losses
from hppnet.training.run import check_saved
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource, TrainingSettings
from hppnet.training.thresholds import finish

from .training_runs import (
    PLAIN,
    TINY,
    Notebook,
    assert_same_curve,
    fabric_of,
    make_music,
    short_run,
    trained,
)

NOISY = replace(PLAIN, noise=1.0, snr_db=(0.0, 5.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of music, and in ``first`` a run of six steps on it."""
    folder = make_music(tmp_path_factory.mktemp("teacher"))
    trained(short_run(folder, "first"))
    return folder


def taught(folder: Path, name: str, **changes: object) -> TrainingSettings:
    """A run that begins with the first one's weights, and has them for a teacher."""
    first = str(folder / "first" / "last.safetensors")
    return short_run(
        folder, name, **{"initialize_from": first, "teacher": first, "augmentation": NOISY, **changes}
    )


def first_loss(folder: Path, name: str, **changes: object) -> float:
    notebook = Notebook()
    trained(taught(folder, name, schedule=Schedule(steps=1, warm_up=0, decay=0), **changes), notebook)
    return notebook.steps[1]["features"]


def test_what_it_hears_alike_it_makes_alike(folder: Path) -> None:
    assert first_loss(folder, "plain", augmentation=PLAIN) < 1e-9
    assert first_loss(folder, "louder", augmentation=replace(PLAIN, gain_db=(6, 6), eq_db=3)) < 1e-9
    assert first_loss(folder, "noisy") > 0.01
    assert first_loss(folder, "in-a-room", augmentation=replace(PLAIN, room=1.0)) > 0.01
    assert first_loss(folder, "alone", augmentation=replace(NOISY, no_piano=1.0)) > 1e-4


@pytest.mark.slow
def test_features_come_nearer_and_the_teacher_stays(folder: Path) -> None:
    notebook = Notebook()
    little = Losses(onset=1e-6, frame=0, offset=0, velocity=0, features=1.0)
    wanted = taught(folder, "nearer", losses=little, schedule=Schedule(100, 1, decay=0, learning_rate=1e-2))
    stepper = loop.set_up(fabric_of(wanted), wanted)
    assert stepper.teacher is not None
    before = [weights.clone() for weights in stepper.teacher.parameters()]
    for batch in loop.batches(wanted, 0):
        notebook.step(stepper.run.step, stepper.take(batch))
    far = [values["features"] for values in notebook.steps.values()]
    assert max(far[-10:]) < 0.8 * far[0]
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.teacher.parameters(), strict=True))


def test_parts_of_a_batch_add_up(folder: Path) -> None:
    at_once, in_turns = Notebook(), Notebook()
    trained(taught(folder, "at-once", batch=4), at_once)
    trained(taught(folder, "in-turns", batch=4, accumulate=3), in_turns)
    assert_same_curve(at_once, in_turns, ("features", "loss"))


def test_without_a_teacher_nothing_is_heard_twice(folder: Path) -> None:
    notebook = Notebook()
    wanted = short_run(folder, "without")
    trained(wanted, notebook)
    assert "features" not in notebook.steps[1]
    assert next(iter(loop.batches(wanted, 0))).plain.shape == (2, 0)


def test_teachers_that_do_not_fit_are_named(folder: Path) -> None:
    wide = taught(folder, "wide", initialize_from="", network=replace(TINY, body_channels=4))
    with pytest.raises(ValueError, match=r"expected a teacher of 4 body_channels .*, got one of 2"):
        trained(wide)
    with pytest.raises(ValueError, match="teacher expects a checkpoint"):
        trained(taught(folder, "no-teacher", teacher=str(folder / "music" / "one.tsv")))


def test_a_run_says_whose_weights_it_began_with_and_learned_from(folder: Path) -> None:
    wanted = taught(folder, "says", schedule=Schedule(steps=1, warm_up=0, decay=0), teacher="default")
    assert find_run_files(wanted).digests["teacher"] == identity()
    first = folder / "first" / "last.safetensors"
    trained(replace(wanted, teacher=str(first)))
    told = CliRunner().invoke(app, ["info", str(folder / "says" / "last.safetensors")]).output
    assert f"initialize from: {identity(first)}" in told and f"teacher: {identity(first)}" in told
    assert not {"initialize_from", "teacher"} & set(find_run_files(short_run(folder, "alone")).digests)


def test_the_final_weights_keep_a_share_of_the_initial_ones(folder: Path) -> None:
    wanted = taught(folder, "kept", initial_share=0.25, held_out=0)
    trained(wanted)
    before, newest, final = (
        np.concatenate([one.detach().flatten().numpy() for one in checkpoint.load(path)[0].parameters()])
        for path in (wanted.initialize_from, Path(wanted.folder) / "last.safetensors", finish(wanted)[0])
    )
    assert np.abs(newest - before).max() > 1e-4
    np.testing.assert_allclose(final, 0.25 * before + 0.75 * newest, atol=1e-6)


@pytest.mark.parametrize("setting", ["initialize_from", "teacher"])
def test_a_run_does_not_go_on_with_other_weights(folder: Path, setting: str) -> None:
    path = folder / f"{setting}.safetensors"
    network, config, _ = checkpoint.load(folder / "first" / "last.safetensors")
    checkpoint.save(path, network, config)
    wanted = taught(folder, f"other-{setting}", **{setting: str(path)})
    trained(wanted)
    checkpoint.save(path, network, config, {"steps": 7})  # the same weights
    assert check_saved(wanted, find_run_files(wanted).digests) is not None
    checkpoint.save(path, HPPNet(TINY), ModelConfig(TINY))
    with pytest.raises(ValueError, match=f"other settings: data.{setting} was .*, now it is"):
        check_saved(wanted, find_run_files(wanted).digests)


@pytest.mark.parametrize("setting", ["initialize_from", "teacher"])
def test_what_is_no_checkpoint_is_named(folder: Path, setting: str) -> None:
    for path, found in (
        (folder / "none.safetensors", "no such file"),
        (folder / "music" / "one.tsv", "read"),
    ):
        with pytest.raises(
            ValueError, match=rf"{path}: expected .*{found}.*; {setting} expects a checkpoint"
        ):
            find_run_files(taught(folder, "none", **{setting: str(path)}))


def test_weights_of_other_sizes_are_named(folder: Path) -> None:
    wider = taught(folder, "wider", teacher="", network=replace(TINY, body_channels=4))
    with pytest.raises(
        ValueError, match=r"a network of the recipe's sizes, got body_channels = 2 instead of 4"
    ):
        trained(wider)


def test_labels_of_a_source_follow_its_sound(folder: Path) -> None:
    late = replace(short_run(folder, "late"), sources=(DataSource(str(folder / "music"), delay_ms=2.0),))
    before, after = gather(short_run(folder, "in-time")).trained[0], gather(late).trained[0]
    for one, other in zip(before, after, strict=True):
        assert other.notes - one.notes == pytest.approx(
            torch.tensor([[0.002, 0.002, 0, 0]]).expand(len(one.notes), 4).numpy(), abs=1e-9
        )
