"""Settings files, schedules and phases."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from hppnet.model.config import CONFIGS
from hppnet.training import recipe
from hppnet.training.launch import fabric_for, started_by
from hppnet.training.losses import Losses
from hppnet.training.schedule import Schedule
from hppnet.training.settings import DataSource, TrainingSettings

HEAD = 'folder = "x"\ncache = "y"\n'
SOURCE = '[[sources]]\nfolder = "z"\n'


def read(tmp_path: Path, text: str) -> TrainingSettings:
    (tmp_path / "a.toml").write_text(text)
    return recipe.read(tmp_path / "a.toml")


def test_a_file_of_two_lines_has_the_defaults(tmp_path: Path) -> None:
    assert replace(read(tmp_path, HEAD + SOURCE), text="") == TrainingSettings((DataSource("z"),), "x", "y")


def test_a_file_of_the_first_version_is_read(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        HEAD
        + "batch = 4\nchunk = 4\nlook_ahead = [0, 6]\nfull_context = 0.25\nseed = 2\nsave_every = 200\n"
        + '[[sources]]\nfolder = "maps"\nweight = 0.45\n[[sources]]\nfolder = "rendered"\nweight = 0.55\n'
        + "[schedule]\nsteps = 9000\ndecay = 2500\nwarm_up = 100\nema = 0.999\n"
        + '[augmentation]\nkeys = 4\nrooms = "rooms"\nnoises = "noise"\n',
    )
    assert found.look_ahead == (0, 6) and found.sources[1] == DataSource("rendered", 0.55)
    assert found.schedule.ema == 0.999 and found.augmentation.keys == 4 and found.losses == Losses()
    assert found.precision == "auto" and found.rate(5000) == 3e-3


def test_phases_say_what_differs(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        HEAD
        + '[losses]\nonset_kind = "focal"\noffset = 0.5\n[[phases]]\nsteps = 100\n'
        + "losses = { frame = 0, offset = 0 }\n"
        + "[[phases]]\nsteps = 0.01\nlearning_rate = 1e-4\n"
        + SOURCE,
    )
    run = Losses(onset_kind="focal", offset=0.5)
    assert found.at(99).losses == Losses(onset_kind="focal", frame=0, offset=0)
    assert found.at(100).losses == found.at(500).losses == run
    assert found.rate(150) == pytest.approx(1e-4 * 151 / 200) and found.rate(300) == 3e-3


def test_a_network_of_other_sizes(tmp_path: Path) -> None:
    text = 'config = "hppnet-tiny"\n[network]\nlstm_units = 8\nblock_kernels = [[3, 1]]\n'
    sizes = read(tmp_path, HEAD + text + SOURCE).sizes
    assert sizes.lstm_units == 8 and sizes.block_kernels == ((3, 1),)
    assert sizes.body_channels == CONFIGS["hppnet-tiny"].body_channels
    assert read(tmp_path, HEAD + SOURCE).sizes == CONFIGS["default"]


def test_what_the_manual_shows_is_read(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[1] / "training" / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"```toml\n(.*?)```", manual, flags=re.DOTALL)
    assert len(shown) >= 2
    for text in shown:
        head = "" if "folder =" in text else HEAD
        read(tmp_path, head + text + ("" if "[[sources]]" in text else SOURCE))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD, "at least one"),
        (HEAD + "speed = 3\n" + SOURCE, r"unknown settings \['speed'\]"),
        (HEAD + SOURCE + "wieght = 3\n", r"\[\[sources\]\]: unknown settings \['wieght'\]"),
        (HEAD + SOURCE + "[schedule]\nstpes = 3\n", r"\[schedule\]: unknown settings \['stpes'\]"),
        (HEAD + SOURCE + "[losses]\nonest = 3\n", r"\[losses\]: unknown settings \['onest'\]"),
        (HEAD + SOURCE + "[[phases]]\nlosses = {}\n", r"\[\[phases\]\]: expected steps"),
        (HEAD + SOURCE + "[[phases]]\nsteps = 9000\n[[phases]]\nsteps = 0.2\n", "phases take 11000 steps"),
        (HEAD + SOURCE + "[[phases]]\nsteps = 9\nframes = 9\n", "frames must be at least"),
        (HEAD + SOURCE + "[[phases]]\nsteps = 9\nweights = { y = 1 }\n", r"no source \['y'\]; known are z"),
        (
            HEAD + SOURCE + "[[phases]]\nsteps = 9\nweights = { z = 0 }\n",
            "at least one above 0, got 0 for all",
        ),
        (HEAD + SOURCE + "[[phases]]\nsteps = 9\nlosses = 3\n", r"a table \[\[phases\]\] losses, got 3"),
        (HEAD + SOURCE + "[[phases]]\nsteps = 9\naugmentation = 3\n", r"\[\[phases\]\] augmentation, got 3"),
        (HEAD + "network = 3\n" + SOURCE, r"expected a table \[network\], got 3"),
        (HEAD + "initial_share = 0.5\n" + SOURCE, "needs initialize_from, got 0.5 and ''"),
        (HEAD + 'initialize_from = "z"\ninitial_share = 1\n' + SOURCE, "below 1"),
        (HEAD + 'teacher = "z"\n' + SOURCE + 'name = "teacher"\n', "another name than teacher"),
        (HEAD + SOURCE + SOURCE, "sources of different names"),
        (HEAD + SOURCE + "[sources.render]\npianos = { }\n", "render: expected pianos"),
        (HEAD + SOURCE + "[sources.render]\npianos = { a = 1 }\nfirst = 0\n", "first and every must be"),
        (
            HEAD + SOURCE + "[sources.render]\npianos = { a = 1 }\nvelocity_spread = [2.0, 1.0]\n",
            "velocity_spread must be two positive numbers in order, got 2.0, 1.0",
        ),
        (
            HEAD + SOURCE + "[sources.render]\npianos = { a = 1 }\npedal_threshold = [40, 128]\n",
            "pedal_threshold must be two numbers from 1 to 127",
        ),
        (HEAD + SOURCE + "[network]\nunits = 3\n", r"\[network\]: unknown settings \['units'\]"),
        (HEAD + 'config = "huge"\n' + SOURCE, "config must be one of default"),
        (HEAD + 'precision = "int8"\n' + SOURCE, "precision must be one of auto"),
        (HEAD + 'batch = "four"\n' + SOURCE, "batch: expected int, got 'four'"),
        (HEAD + "batch = true\n" + SOURCE, "batch: expected int, got True"),
        (HEAD + "batch = 0\n" + SOURCE, "batch must be at least 1"),
        (HEAD + "look_ahead = [4]\n" + SOURCE, "look_ahead"),
        (HEAD + "look_ahead = [5, 4]\n" + SOURCE, "look_ahead must be two numbers"),
        (HEAD + "frames = 10\n" + SOURCE, "frames must be at least"),
        (HEAD + "sources = 3\n", r"expected \[\[sources\]\] tables"),
        (HEAD + SOURCE + "weight = 0\n", "weight must be above 0"),
        (HEAD + SOURCE + "[schedule]\nsteps = 10\ndecay = 20\n", "must be at most steps"),
        (HEAD + SOURCE + '[schedule]\nshape = "step"\n', "shape must be one of"),
        ("not toml", r"a\.toml"),
    ],
)
def test_settings_name_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as told:
        read(tmp_path, text)
    assert "\n" not in str(told.value) and "a.toml" in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.toml"):
        recipe.read(tmp_path / "none.toml")


def test_the_rate_warms_up_and_decays() -> None:
    schedule = Schedule(steps=100, warm_up=10, decay=20, learning_rate=1.0)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(50) == 1.0
    assert schedule.rate(90) == pytest.approx(0.5)


def test_a_cosine_falls_from_the_warm_up_on() -> None:
    schedule = Schedule(steps=110, warm_up=10, shape="cosine", learning_rate=1.0)
    assert schedule.rate(4) == pytest.approx(0.5, abs=0.01)
    assert schedule.rate(10) == 1.0
    assert schedule.rate(35) == pytest.approx((1 + 2**-0.5) / 2)
    assert schedule.rate(60) == pytest.approx(0.5)
    assert 0 < schedule.rate(109) < 1e-3


TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}
SLURM = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (TORCHRUN, (4, 2)),
        (SLURM, (4, 2)),
        ({**SLURM, "SLURM_NTASKS_PER_NODE": "4"}, (4, 2)),
        ({**SLURM, "SLURM_JOB_NAME": "bash"}, None),  # a shell on a machine of the cluster
        ({**SLURM, **TORCHRUN, "WORLD_SIZE": "4"}, (4, 1)),  # torchrun within a job
    ],
)
def test_launchers_are_noticed(environment: dict[str, str], expected: tuple[int, int] | None) -> None:
    assert started_by(environment) == expected


def test_a_plain_mean_stays_one_however_short_the_run() -> None:
    for schedule in (Schedule(mean_from=300).over(20), Schedule(20, 0, decay=0, mean_from=0.01)):
        assert schedule.keeps(20) == pytest.approx(1 - 1 / (1 / (1 - 2 / 11) + 19))  # from the first step on
    never = Schedule().over(20)
    assert never.mean_from == 0 and never.keeps(20) == pytest.approx(21 / 30)


def test_devices_that_are_not_there_are_named() -> None:
    import torch

    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="this machine, it has no cuda"):
            fabric_for("bf16", "cuda")
    assert fabric_for("bf16", "cpu").world_size == 1
    assert fabric_for("bf16", "cpu", 2).world_size == 2
