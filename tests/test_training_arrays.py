"""Sources of arrays, as ``hppnet prepare --arrays`` leaves them, and the recipe that trains on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.model.frontend import FLOOR_DB
from hppnet.model.network import Logits
from hppnet.model.spectrum import FrontEnd
from hppnet.training.data.arrays import ArrayExcerpts, open_arrays
from hppnet.training.data.augmentation import Augmentation
from hppnet.training.data.dataset import read_notes
from hppnet.training.data.labels import targets
from hppnet.training.losses import Losses, head_losses
from hppnet.training.settings import DataSource, Rendering, TrainingSettings

from .data_sets import maestro_in, prepare

ARRAYS = (DataSource("train", arrays=True),)
FRAMES = 75  #: of each recording


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MAESTRO in small: two recordings to train on."""
    folder = tmp_path_factory.mktemp("maestro")
    done = prepare("maestro", maestro_in(folder), folder / "out", "--arrays")
    assert done.exit_code == 0, done.output
    return folder / "out"


@pytest.fixture
def spoilt(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the folder to train on, to spoil."""
    for path in (prepared / "train").rglob("*.*"):
        copy = tmp_path / "train" / path.relative_to(prepared / "train")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return tmp_path / "train"


def every(name: str) -> bool:
    return True


def test_an_excerpt_is_what_the_front_end_and_the_labels_give(prepared: Path) -> None:
    (piece,) = open_arrays(prepared / "train", lambda name: name == "p1")
    spectra, wanted, pedal, plain, ends = ArrayExcerpts([[piece]], [1.0], 96, False).draw(
        np.random.default_rng(0)
    )
    samples, _ = soundfile.read(prepared / "train" / "p1.flac", dtype="float32")
    whole = FrontEnd().whole(torch.from_numpy(samples)[None])[0]
    assert torch.allclose(spectra[:FRAMES], whole, atol=0.04)  # half of float16's step at -110
    assert torch.equal(spectra[FRAMES:], torch.full((96 - FRAMES, 352), FLOOR_DB))
    told = targets(read_notes(prepared / "train" / "p1.tsv"), FRAMES).stacked()
    found = wanted[:FRAMES].numpy()
    for array in (found, told):  # a velocity counts where there is an onset
        array[..., 3] *= told[..., 0] > 0
    np.testing.assert_allclose(found, told, atol=2**-11)  # half of float16's step below 1
    assert not wanted[FRAMES:].any() and not len(plain) and ends.tolist() == [1.0] * 96
    assert set(pedal.tolist()) == {0.0, 1.0}  # the MIDI files have a pedal


def test_excerpts_depend_on_the_step_and_the_place_alone(prepared: Path) -> None:
    pieces = open_arrays(prepared / "train", every)
    excerpts = ArrayExcerpts([pieces], [1.0], 16, True)
    whole = excerpts.batch(0, 5, range(4))
    parts = [excerpts.batch(0, 5, range(0, 2)), excerpts.batch(0, 5, range(2, 4))]
    for one, *others in zip(whole, *parts, strict=True):
        assert torch.equal(one, torch.cat(others))
    assert not torch.equal(whole.spectra, excerpts.batch(0, 6, range(4)).spectra)
    assert torch.equal(whole.plain, whole.spectra)


def test_a_name_with_a_dot_has_its_own_pedal(spoilt: Path) -> None:
    for path in spoilt.rglob("p1.*"):
        path.rename(path.with_name(path.name.replace("p1", "Op. 1")))
    (piece,) = open_arrays(spoilt, lambda name: name == "Op. 1")
    assert piece.pedal is not None and len(piece.pedal)


def other_front_end(folder: Path) -> None:
    path = folder / "inputs_hcqt" / "front_end.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "look_ahead": 2048}))


def shorter(folder: Path) -> None:
    np.save(folder / "targets_frame" / "p0.npy", np.zeros((FRAMES - 1, 88), dtype=np.uint8))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_front_end, "made with look_ahead = 2048, this version's front end has 512"),
        (
            lambda folder: (folder / "inputs_hcqt" / "front_end.json").unlink(),
            "description of the front end that made",
        ),
        (lambda folder: (folder / "targets_onset" / "p0.npy").unlink(), "p0.npy: expected an array"),
        (lambda folder: (folder / "targets_onset" / "p0.npy").write_bytes(b"x"), "p0.npy: expected an array"),
        (shorter, f"expected {FRAMES} frames"),
        (lambda folder: (folder / "inputs_hcqt").rename(folder / "other"), "prepare with --arrays"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(
    spoilt: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(spoilt)
    with pytest.raises(ValueError, match=words):
        open_arrays(spoilt, every)


def test_prepare_adds_no_arrays_to_those_of_another_front_end(tmp_path: Path) -> None:
    folder = maestro_in(tmp_path)
    prepare("maestro", folder, tmp_path / "out", "--arrays", "--only", "p0")
    other_front_end(tmp_path / "out" / "train")
    done = prepare("maestro", folder, tmp_path / "out", "--arrays", "--only", "p1")
    assert done.exit_code == 1 and "skipped p1: " in done.stderr and "look_ahead = 2048" in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": (*ARRAYS, DataSource("b"))}, "for all .* or for none"),
        ({"augmentation": Augmentation(keys=0)}, "no sound to vary"),
        ({"held_out": 20}, "hold out nothing to validate on"),
        ({"validation": ARRAYS}, "transcribed whole"),
    ],
)
def test_what_cannot_be_done_to_arrays_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainingSettings(**{"sources": ARRAYS, "held_out": 0, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [{"delay_ms": 2.0}, {"render": Rendering((("a.sf2", 1.0),))}])
def test_a_source_of_arrays_has_no_settings_of_sound(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"leave {next(iter(setting))} out"):
        DataSource("train", arrays=True, **setting)  # type: ignore[arg-type]


def test_onsets_that_are_there_may_count_more() -> None:
    wanted = torch.zeros(1, 8, 88, 4)
    logits = Logits(torch.zeros(1, 8, 88, 3), torch.zeros(1, 8, 88), None, torch.zeros(0))
    wanted[0, 2, 5] = 1.0
    once, twice = (
        head_losses(logits, wanted, Losses(onset_positive=positive), torch.tensor(1.0))
        for positive in (0.0, 2.0)
    )
    assert float(twice["onset"] - once["onset"]) == pytest.approx(np.log(2), rel=1e-3)
    assert twice["frame"] == once["frame"] and twice["offset"] == once["offset"]


def test_the_papers_recipe_trains_on_arrays(prepared: Path, tmp_path: Path) -> None:
    sets = ("schedule.steps=3", "batch=2", "frames=48", "workers=0", "validate_every=3", "validate_s=1")
    sizes = ("network.stem_channels=2", "network.body_channels=2", "network.lstm_units=2")
    command = ["train", "paper", "--data", prepared, "--folder", tmp_path / "run", "--device", "cpu"]
    command += ["--cache", tmp_path / "cache", *(word for one in (*sets, *sizes) for word in ("--set", one))]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    _, config, _ = checkpoint.load(tmp_path / "run" / "final.safetensors")
    assert config.network.block_kernels == ((5, 1),) * 3 and config.note_ends == "sounding"
    assert not (tmp_path / "cache" / "train").exists()  # nothing was decoded to train on
