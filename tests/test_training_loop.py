"""The training loop: resumed, shared, accumulated, in every precision; and that it learns."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hppnet.training import launch as launch_module
from hppnet.training import loop
from hppnet.training.data.sources import gather
from hppnet.training.launch import fabric_for, launch, precision_plugin
from hppnet.training.logs import Watch
from hppnet.training.losses import Losses
from hppnet.training.schedule import Phase, Schedule
from hppnet.training.settings import DataSource
from hppnet.training.step import draw_look_ahead, taught_frames
from hppnet.training.stopping import Interrupted

from .training_runs import (
    PLAIN,
    TINY,
    Notebook,
    assert_same_curve,
    fabric_of,
    in_toml,
    make_music,
    short_run,
    trained,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by all tests here; each writes to a run folder of its own."""
    return make_music(tmp_path_factory.mktemp("training"))


def assert_same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def without_time(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name != "s"}


class PullThePlug(Watch):
    """Stops a run, without warning or by a signal, after a step."""

    def __init__(self, at: int, signal_number: int | None = None) -> None:
        self._at, self._signal_number = at, signal_number

    def step(self, step: int, values: dict[str, float]) -> None:
        if step == self._at:
            if self._signal_number is None:
                raise SystemError("no power")
            signal.raise_signal(self._signal_number)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_interrupted_and_resumed_equals_uninterrupted(folder: Path, precision: str) -> None:
    balanced = Losses(balance="uncertainty")
    whole = Notebook()
    kept = trained(short_run(folder, f"whole-{precision}", precision=precision, losses=balanced), whole)
    broken = short_run(folder, f"broken-{precision}", precision=precision, losses=balanced)
    with pytest.raises(SystemError):  # one step after the save at 3: that step is lost and taken again
        loop.train(fabric_of(broken), broken, PullThePlug(4))
    resumed = Notebook()
    again = trained(broken, resumed)
    for part in ("network", "average"):
        assert_same_weights(kept[part], again[part])
    assert list(resumed.steps) == [4, 5, 6]
    for step, values in resumed.steps.items():
        assert math.isfinite(values["norm"]) and without_time(values) == without_time(whole.steps[step])
    assert again["scaler"] == kept["scaler"] and bool(kept["scaler"]) == (precision == "fp16")
    assert again["balance"] == kept["balance"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_step_it_came_in(folder: Path, number: signal.Signals) -> None:
    wanted = short_run(folder, f"asked-{number.name}", save_every=100)
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as told:
        loop.train(fabric_of(wanted), wanted, PullThePlug(2, number))
    assert told.value.signal_number == number and signal.getsignal(number) is before
    state = torch.load(Path(wanted.folder) / "run.pt", weights_only=True)
    assert state["step"] == 2


def test_a_batch_in_turns_takes_the_steps_of_one_at_once(folder: Path) -> None:
    at_once, in_turns = Notebook(), Notebook()
    how = Losses(onset_kind="focal", frame_kind="combo")
    changes = {"batch": 4, "losses": how}
    trained(short_run(folder, "at-once", **changes), at_once)
    trained(short_run(folder, "in-turns", accumulate=3, **changes), in_turns)
    assert_same_curve(at_once, in_turns)


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(folder: Path) -> None:
    """Gloo, the same global batch, focal and Dice losses, and a signal that only one of them gets."""
    alone = Notebook()
    changes = {"batch": 4, "losses": Losses(onset_kind="focal", frame_kind="combo")}
    trained(short_run(folder, "alone", **changes), alone)
    script = folder / "two.py"
    script.write_text(_TWO)
    (folder / "two.toml").write_text(
        in_toml(short_run(folder, "shared"), batch=4)
        + '[losses]\nonset_kind = "focal"\nframe_kind = "combo"\n'
    )
    done = subprocess.run(
        [sys.executable, script, folder / "two.toml"], cwd=folder, timeout=120, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    curves = [json.loads((folder / f"curve-{rank}.json").read_text()) for rank in range(2)]
    together = Notebook()
    together.steps = {int(step): values for step, values in curves[0]["steps"].items()}
    assert curves[0]["ended"] == curves[1]["ended"] == "signal 15"
    assert list(together.steps) == [1, 2, 3, 4, 5]  # the second process was asked to end in step 5
    del alone.steps[6]
    assert_same_curve(alone, together)
    assert torch.load(folder / "shared" / "run.pt", weights_only=True)["step"] == 5


_TWO = """
import json, signal, sys
from functools import partial
from pathlib import Path
from hppnet.training import loop, recipe, step
from hppnet.training.stopping import Interrupted
from hppnet.training.launch import precision_plugin
from hppnet.training.launch import fabric_for, launch
from hppnet.training.logs import Watch

class Notebook(Watch):
    def __init__(self):
        self.steps = {}

    def step(self, step, values):
        self.steps[step] = values

def work(fabric, wanted):
    notebook, ended = Notebook(), ""
    take = step.Stepper.take

    def take_and_ask(stepper, *batch):
        values = take(stepper, *batch)
        if stepper.run.step == 5 and fabric.global_rank == 1:
            signal.raise_signal(signal.SIGTERM)
        return values

    step.Stepper.take = take_and_ask
    try:
        loop.train(fabric, wanted, notebook)
    except Interrupted as error:
        ended = str(error)
    Path(f"curve-{fabric.global_rank}.json").write_text(json.dumps({"steps": notebook.steps, "ended": ended}))

if __name__ == "__main__":
    wanted = recipe.read(sys.argv[1])
    launch(fabric_for(wanted.precision, "cpu", 2), partial(work, wanted=wanted))
"""


@pytest.mark.parametrize("fails", [False, True])
def test_processes_part_before_they_end(fails: bool) -> None:
    def work(fabric: object) -> bool:
        torch.distributed.init_process_group(
            "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
        )
        if fails:
            raise Interrupted(signal.SIGTERM)
        return torch.distributed.is_initialized()

    try:
        assert launch(fabric_for("fp32", "cpu", 1), work) and not fails
    except Interrupted:
        assert fails
    assert not torch.distributed.is_initialized()


def test_excerpts_drawn_ahead_by_workers_are_the_same(folder: Path) -> None:
    at_hand, ahead = Notebook(), Notebook()
    trained(short_run(folder, "at-hand"), at_hand)
    trained(short_run(folder, "ahead", workers=2), ahead)
    for step, values in at_hand.steps.items():
        assert without_time(values) == without_time(ahead.steps[step])


def test_phases_teach_one_head_after_another(folder: Path) -> None:
    onset_first = Losses(frame=0, offset=0, velocity=0)
    phases = (Phase(2, losses=onset_first), Phase(2, 1e-4, losses=Losses(onset=0, velocity=0)))
    notebook = Notebook()
    schedule = Schedule(steps=6, warm_up=1, decay=0, learning_rate=1e-3)
    trained(short_run(folder, "phases", phases=phases, schedule=schedule), notebook)
    rates = [values["rate"] for values in notebook.steps.values()]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-3, 1e-3])
    for step, heads in (
        (1, {"onset"}),
        (3, {"frame", "offset"}),
        (5, {"onset", "frame", "offset", "velocity"}),
    ):
        values = notebook.steps[step]
        weights = Losses().weights
        assert values["loss"] == pytest.approx(sum(weights[h] * values[h] for h in heads)), step


def test_every_look_ahead_is_drawn_alike_in_all_processes() -> None:
    wanted = short_run(Path(), "x", look_ahead=(1, 3), full_context=0.3)
    drawn = [draw_look_ahead(wanted, step) for step in range(200)]
    assert {1, 2, 3, None} == set(drawn) and 30 < drawn.count(None) < 90
    assert drawn == [draw_look_ahead(wanted, step) for step in range(200)]


@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_spectra_come_to_the_network_unrounded(precision: str) -> None:
    levels = torch.tensor([-70.2])  # in half precision there is only -70 and -70.5
    assert torch.equal(precision_plugin(precision, "cpu").convert_input(levels), levels)


@pytest.mark.parametrize("native", [True, False])
def test_convolutions_take_bf16_where_the_device_has_it(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_module, "computes_bf16", lambda device: native)
    expected = precision_plugin("bf16" if native else "fp32", "cpu")
    assert type(precision_plugin("auto", "cpu")) is type(expected)


@pytest.mark.parametrize("look_ahead", [None, 0, 3, 8])
def test_taught_frames_are_those_the_network_judges(look_ahead: int | None) -> None:
    from hppnet.model.network import HPPNet

    wanted = short_run(Path(), "x", chunk=5)
    judged = HPPNet(TINY)(torch.zeros(1, wanted.frames, 352), look_ahead, wanted.chunk)
    assert judged.notes.shape[1] == taught_frames(wanted, look_ahead)


def test_the_gradient_is_clipped_before_the_step(folder: Path) -> None:
    """With a tiny limit and plain steps the weights cannot move further than rate times limit."""
    wanted = short_run(folder, "clipped", schedule=Schedule(steps=1, warm_up=0, decay=0, clip=0.1))
    stepper = loop.set_up(fabric_of(wanted), wanted)
    before = [p.detach().clone() for p in stepper.run.network.parameters()]
    plain = torch.optim.SGD(stepper.run.network.parameters(), lr=1.0)
    stepper.optimiser = stepper.fabric.setup_optimizers(plain)
    values = stepper.take(next(iter(loop.batches(wanted, 0))))
    moved = [p.detach() - q for p, q in zip(stepper.run.network.parameters(), before, strict=True)]
    assert values["norm"] > 1
    length = float(torch.cat([m.flatten() for m in moved]).norm())
    assert length == pytest.approx(0.1 * values["rate"], rel=0.01)


def test_a_broken_excerpt_does_not_cost_the_run(folder: Path) -> None:
    wanted = short_run(folder, "broken-excerpt")
    stepper = loop.set_up(fabric_of(wanted), wanted)
    before = {name: t.clone() for name, t in stepper.run.network.state_dict().items()}
    batch = next(iter(loop.batches(wanted, 0)))
    stepper.take(batch._replace(spectra=torch.full_like(batch.spectra, float("nan"))))
    assert_same_weights(before, stepper.run.network.state_dict())
    assert stepper.run.step == 1


def test_folders_of_one_name_do_not_share_their_cache(folder: Path, tmp_path: Path) -> None:
    make_music(tmp_path)
    soundfile.write(tmp_path / "music" / "one.flac", np.zeros(16_000), 16_000)
    (tmp_path / "music" / "one.tsv").write_text("onset\toffset\tnote\tvelocity\n0.1\t0.2\t60\t1\n")
    first, second = DataSource(str(folder / "music")), DataSource(str(tmp_path / "music"))
    for _ in range(2):  # the second time from the cache
        gather.cache_clear()
        found = gather(short_run(folder, "x", sources=(first, second), cache=str(tmp_path / "cache")))
        assert [len(pieces[0].samples) for pieces in found.trained] == [48_000, 16_000]


def test_the_convolutions_can_be_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled is called, and the checkpoint's names do not change."""
    asked: list[object] = []
    monkeypatch.setattr(torch, "compile", lambda function: asked.append(function) or function)
    state = trained(short_run(folder, "compiled", compile=True))
    assert len(asked) == 1
    assert_same_weights(trained(short_run(folder, "plain"))["network"], state["network"])


def test_augmentation_settings_reach_the_excerpts(folder: Path) -> None:
    plain, varied = Notebook(), Notebook()
    trained(short_run(folder, "plain-sound", augmentation=PLAIN), plain)
    trained(short_run(folder, "loud-sound", augmentation=replace(PLAIN, gain_db=(6, 6))), varied)
    assert plain.steps[1]["onset"] != varied.steps[1]["onset"]
