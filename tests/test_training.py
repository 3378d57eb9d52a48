"""Training: targets, losses, kernels, excerpts, and a loop that can be interrupted."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from lightning.fabric import Fabric

from hppnet.model.config import CONFIGS, NetworkConfig
from hppnet.model.decoder import Decoder
from hppnet.model.network import HPPNet
from hppnet.model.notes import notes_from
from hppnet.training import loop, settings
from hppnet.training.augmentation import Augmentation, mixed, vary_sound
from hppnet.training.dataset import Excerpts, open_folder
from hppnet.training.kernels import accelerate
from hppnet.training.labels import targets
from hppnet.training.losses import LossWeights, losses
from hppnet.training.settings import Schedule, Settings, Source
from hppnet.training.thresholds import finish

from .sounds import piano_like

PLAIN = Augmentation(
    keys=0, cents=0, gain_db=(0, 0), eq_db=0, band_limit=0, room=0, noise=0, clip=0, no_piano=0
)
NOTES = {0.3: 60, 0.7: 64, 1.1: 67, 1.5: 72, 1.9: 55}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of three seconds with labels."""
    (tmp_path / "music").mkdir()
    for name, transpose in (("one", 0), ("two", 5)):
        strokes = {at: pitch + transpose for at, pitch in NOTES.items()}
        soundfile.write(tmp_path / "music" / f"{name}.flac", piano_like(strokes, 3.0), 16_000)
        lines = [f"{at}\t{at + 0.4}\t{pitch}\t{70}" for at, pitch in strokes.items()]
        (tmp_path / "music" / f"{name}.tsv").write_text("\n".join(["onset\toffset\tnote\tvelocity", *lines]))
    return tmp_path


def short_run(folder: Path, name: str, **changes: object) -> Settings:
    base = Settings(
        sources=(Source(str(folder / "music")),),
        folder=str(folder / name),
        cache=str(folder / "cache"),
        batch=2,
        frames=64,
        held_out=0,
        save_every=3,
        schedule=Schedule(steps=6, warm_up=1, decay=2),
        augmentation=replace(PLAIN, keys=2, noise=0.5),
    )
    return replace(base, **changes)


def trained(wanted: Settings) -> dict[str, torch.Tensor]:
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    loop.train(fabric, wanted)
    return torch.load(Path(wanted.folder) / "run.pt", weights_only=True)["network"]


def test_targets_decode_to_the_notes_they_were_made_from() -> None:
    notes = np.array([[0.31, 0.82, 60, 64], [0.5, 0.62, 64, 100], [0.82, 1.2, 60, 30]])
    decoder = Decoder()
    roll = targets(notes, 80).stacked()
    found = notes_from(decoder.feed(roll) + decoder.flush())
    assert [(n.pitch, n.velocity) for n in found] == [(60, 64), (64, 100), (60, 30)]
    for note, (on, off, _, _) in zip(found, notes, strict=True):
        assert note.onset_s == pytest.approx(on, abs=1e-3)
        assert note.offset_s == pytest.approx(off, abs=1e-3)


def test_targets_of_an_excerpt_are_those_of_the_whole() -> None:
    notes = np.array([[0.31, 0.82, 60, 64], [0.507, 0.63, 64, 100], [0.9, 1.2, 21, 30]])
    whole, part = targets(notes, 80).stacked(), targets(notes - [0.4, 0.4, 0, 0], 40).stacked()
    np.testing.assert_allclose(part, whole[20:60], atol=1e-5)
    assert targets(notes, 80, transpose=-1).frame[:, 0].sum() == 0  # left the keyboard


def test_losses_are_least_for_the_truth_and_ignore_unknown_velocities() -> None:
    wanted = torch.from_numpy(targets(np.array([[0.3, 0.8, 60, 64]]), 50).stacked())[None]
    truth = torch.logit(wanted.clamp(1e-4, 1 - 1e-4))
    at_truth, _ = losses(truth, wanted, LossWeights())
    for head in range(4):
        off = truth.clone()
        off[..., head] += 0.5
        assert losses(off, wanted, LossWeights())[0] > at_truth
    unknown = wanted.clone()
    unknown[..., 3] = 0
    assert losses(truth + 1, unknown, LossWeights())[1]["velocity"] == 0


@pytest.mark.parametrize("look_ahead", [None, 3])
def test_compiled_kernels_give_what_pytorch_gives(look_ahead: int | None) -> None:
    torch.manual_seed(0)
    network = HPPNet(NetworkConfig(stem_channels=8, body_channels=16, lstm_units=24))
    spectrum = torch.randn(2, 21, 352) * 15 - 60

    def gradients() -> tuple[torch.Tensor, list[torch.Tensor]]:
        network.zero_grad()
        out = network(spectrum, look_ahead, 5)
        out.square().sum().backward()
        return out.detach(), [p.grad.clone() for p in network.parameters()]

    plain, plain_grads = gradients()
    if not accelerate(network):
        pytest.skip("no C++ compiler here: PyTorch is all there is")
    fast, fast_grads = gradients()
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)
    largest = max(float(g.abs().max()) for g in plain_grads)
    for one, other in zip(fast_grads, plain_grads, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5 * largest, rtol=2e-3)


def test_excerpts_depend_on_seed_step_and_place_alone(folder: Path) -> None:
    pieces = open_folder(folder / "music", folder / "cache")
    draws = [Excerpts([pieces], [1.0], 64, replace(PLAIN, keys=3, noise=1.0)) for _ in range(2)]
    both = draws[0].batch(0, 5, range(0, 4))
    parts = [draws[1].batch(0, 5, places) for places in (range(0, 2), range(2, 4))]
    for k in range(2):
        assert torch.equal(both[k], torch.cat([part[k] for part in parts]))
    assert not torch.equal(both[0], draws[0].batch(0, 6, range(0, 4))[0])


def test_noise_alone_has_no_notes(folder: Path) -> None:
    pieces = open_folder(folder / "music", folder / "cache")
    spectrum, wanted = Excerpts([pieces], [1.0], 64, replace(PLAIN, no_piano=1.0)).batch(0, 0, range(2))
    assert wanted.abs().max() == 0 and spectrum.max() > -80


def test_two_excerpts_at_once_have_the_notes_of_both() -> None:
    sound = np.full(1000, 0.1, np.float32)
    one = sound, np.array([[0.1, 0.5, 60, 64], [0.4, 0.6, 62, 64]])
    other = 3 * sound, np.array([[-0.05, 0.7, 64, 30], [0.3, 0.9, 60, 90]])
    samples, notes = mixed(one, other, np.random.default_rng(0))
    assert notes.tolist() == [[-0.05, 0.7, 64, 0], [0.1, 0.3, 60, 0], [0.3, 0.9, 60, 0], [0.4, 0.6, 62, 0]]
    added = samples / sound - 1
    assert 10 ** (-12 / 20) <= added.min() == added.max() <= 1  # never louder than the first


def test_noise_and_rooms_leave_the_timing(tmp_path: Path) -> None:
    room = np.zeros(4000, np.float32)
    room[16:] = 0.9 * np.exp(-np.arange(3984) / 300)
    soundfile.write(tmp_path / "room.flac", room, 16_000)
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.5
    how = replace(PLAIN, room=1.0, rooms=str(tmp_path))
    wet = vary_sound(click, how, np.random.default_rng(0))
    assert int(np.abs(wet).argmax()) == 8000 and np.abs(wet[8100:8200]).max() > 0


def test_interrupted_and_resumed_equals_uninterrupted(folder: Path) -> None:
    whole = trained(short_run(folder, "whole"))
    broken = short_run(folder, "broken")

    class Stop(Exception):
        pass

    def pull_the_plug(step: int, _: dict[str, float]) -> None:
        if step == 4:  # one step after the save at 3: that step is lost and taken again
            raise Stop

    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    with pytest.raises(Stop):
        loop.train(fabric, broken, pull_the_plug)
    resumed = trained(broken)
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor), name


def test_two_processes_take_the_steps_of_one(folder: Path) -> None:
    alone = trained(short_run(folder, "alone"))
    shared = short_run(folder, "shared")
    script = folder / "two.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom lightning.fabric import Fabric\n"
        "from hppnet.training import loop, settings\n"
        "if __name__ == '__main__':\n"
        "    fabric = Fabric(accelerator='cpu', devices=2, strategy='ddp')\n"
        "    fabric.launch()\n"
        "    loop.train(fabric, settings.read(Path(sys.argv[1])))\n"
    )
    how = shared.augmentation
    (folder / "two.toml").write_text(
        f'folder = "{shared.folder}"\ncache = "{shared.cache}"\nbatch = 2\nframes = 64\nheld_out = 0\n'
        f'save_every = 3\n[[sources]]\nfolder = "{shared.sources[0].folder}"\n'
        "[schedule]\nsteps = 6\nwarm_up = 1\ndecay = 2\n"
        f"[augmentation]\nkeys = {how.keys}\ncents = 0\ngain_db = [0, 0]\neq_db = 0\nband_limit = 0\n"
        f"room = 0\nnoise = {how.noise}\nclip = 0\nno_piano = 0\n"
    )
    subprocess.run([sys.executable, script, folder / "two.toml"], check=True, cwd=folder, timeout=120)
    together = torch.load(Path(shared.folder) / "run.pt", weights_only=True)
    assert together["step"] == 6
    torch.manual_seed(shared.seed)
    start = HPPNet(CONFIGS[shared.config]).state_dict()

    def apart(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return float(torch.cat([(one[name] - other[name]).flatten() for name in start]).norm())

    # Adam makes rounding visible in weights of little use; other data or other gradients go elsewhere.
    assert apart(together["network"], alone) < 0.15 * apart(alone, start)


def test_it_learns_two_pieces_by_heart(folder: Path) -> None:
    """The whole chain from sound to notes: after a hundred steps nearly all strokes are found."""
    wanted = short_run(
        folder,
        "learnt",
        frames=150,
        save_every=120,
        look_ahead=(2, 4),
        schedule=Schedule(steps=120, warm_up=5, decay=40, learning_rate=1e-2, ema=0.9),
        augmentation=PLAIN,
        held_out=2,
        sources=(Source(str(folder / "music")),),
    )
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    loop.train(fabric, wanted)
    path, decoder = finish(wanted)
    from hppnet.model.transcriber import Transcriber

    notes = Transcriber.load(path, precision="fp32").transcribe(piano_like(NOTES, 3.0), 16_000)
    found = {(n.pitch, round(n.onset_s, 1)) for n in notes}
    assert len(found & {(pitch, at) for at, pitch in NOTES.items()}) >= 4 and len(notes) <= 8
    assert 0 < decoder.onset < 1


def test_settings_name_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    head = 'folder = "x"\ncache = "y"\n'
    source = '[[sources]]\nfolder = "z"\n'
    for text, words in (
        (head, "at least one"),
        (head + "speed = 3\n" + source, "unknown settings \\['speed'\\]"),
        (head + 'config = "huge"\n' + source, "config must be one of default"),
        (head + source + "[schedule]\nsteps = 10\ndecay = 20\n", "must be at most steps"),
        ("not toml", "a.toml"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=words):
            settings.read(file)
    with pytest.raises(ValueError, match=r"none\.toml"):
        settings.read(tmp_path / "none.toml")


def test_the_rate_warms_up_and_decays() -> None:
    schedule = Schedule(steps=100, warm_up=10, decay=20, learning_rate=1.0)
    assert schedule.rate(0) == pytest.approx(0.1)
    assert schedule.rate(50) == 1.0
    assert schedule.rate(90) == pytest.approx(0.5)
