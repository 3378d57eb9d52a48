"""The recipe of the weights that ship: whole and tiny, killed in each of its phases, changed by --set."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model import checkpoint
from hppnet.training import recipe
from hppnet.training.data.rendering_cache import Renderings, check_piano, make, read
from hppnet.training.data.run_files import find_run_files, split
from hppnet.training.prepare.cache import estimate, render_due, upcoming
from hppnet.training.settings import DataSource
from hppnet.training.stopping import over

from .midi_files import performance
from .sounds import piano_like
from .training_runs import make_music, short_run

FONTS = sorted(Path("/usr/share/sounds").glob("sf*/*.sf[23]"), key=lambda p: p.stat().st_size)
#: The whole recipe in nine steps, three of each phase, by a network of a few hundred weights.
TINY = [
    "schedule.steps=9",
    "phases.0.steps=3",
    "phases.0.batch=2",
    "phases.0.frames=48",
    "phases.1.steps=3",
    "phases.2.steps=3",
    "schedule.warm_up=1",
    "schedule.mean_from=7",
    "batch=2",
    "frames=48",
    "network.stem_channels=2",
    "network.body_channels=2",
    "network.lstm_units=2",
    'sources.1.kept=["ishizaka_two"]',
    'sources.2.kept=["betts_two"]',
    "sources.3.render={first=1, every=2}",
    "sources.4.render={first=1, every=20}",
    "validate_every=5",
    "validate_s=1.5",
    "save_every=1",
    "tensorboard=false",
    "precision=fp32",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny data laid out as training/README.md says."""
    if not shutil.which("fluidsynth") or not FONTS:
        why = "rendering needs fluidsynth and a sound font in /usr/share/sounds"
        if os.environ.get("CI") == "true":
            pytest.fail(f"this test must run here, but {why}", pytrace=False)
        pytest.skip(why)
    root = make_music(tmp_path_factory.mktemp("root"))
    (root / "maps").mkdir()
    (root / "music").rename(root / "maps" / "train")
    (root / "pianos").mkdir()
    for name in ("salamander", "headroom"):
        (root / "pianos" / f"{name}.sf3").symlink_to(FONTS[0])
    (root / "pianos" / "key_releases").mkdir()
    for key in (40, 80):
        knock = np.exp(-np.arange(4000) / 400) * np.random.default_rng(key).standard_normal(4000)
        soundfile.write(root / "pianos" / "key_releases" / f"{key:03d}.flac", 0.1 * knock, 16_000)
    for name in ("ishizaka_one", "ishizaka_two", "betts_one", "betts_two"):
        sound = root / "real" / "train" / f"{name}.flac"
        sound.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(sound, piano_like({0.3: 60, 0.9: 65}, 2.0), 16_000)
        _midi(0).save(sound.with_suffix(".mid"))
    for folder, names in (("train", "abcd"), ("pop_train", "xy")):
        (root / "performances" / folder).mkdir(parents=True)
        for n, name in enumerate(names):
            _midi(n).save(root / "performances" / folder / f"{name}.mid")
    for folder in ("rooms", "noise"):
        (root / folder / "train").mkdir(parents=True)
        sound = np.random.default_rng(0).standard_normal(4000) * np.exp(-np.arange(4000) / 400)
        soundfile.write(root / folder / "train" / "one.flac", 0.1 * sound, 16_000)
    return root


def _midi(transpose: int):
    happenings = [(0.1, ("pedal", 100)), (1.6, ("pedal", 0))]
    for n, at_s in enumerate((0.2, 0.6, 1.0, 1.4)):
        key = 55 + 3 * n + transpose
        happenings += [(at_s, ("on", key, 70)), (at_s + 0.3, ("off", key))]
    return performance(happenings, 2.0)


def command(root: Path, name: str, *more: str) -> list[str]:
    words = ["train", "default", "--data", root, "--folder", root / name, "--cache", root / "cache"]
    return [
        *map(str, words),
        "--device",
        "cpu",
        *(word for change in TINY for word in ("--set", change)),
        *more,
    ]


@pytest.mark.slow
@pytest.mark.needs("compiler")  # as in the process that is killed
def test_the_whole_recipe_killed_in_each_phase_takes_the_same_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it leaves transcribes, and says where it comes from."""
    monkeypatch.setattr("hppnet.processes.cores", lambda: 1)  # so little is faster without more processes
    done = CliRunner().invoke(app, command(root, "whole"))
    assert done.exit_code == 0, done.output
    for at in (2, 5, 8):  # in the first, second and third phase, each after its save
        assert _killed_at(root, at).returncode == -signal.SIGKILL
    killed = torch.load(root / "killed" / "run.pt", weights_only=True)
    assert killed["step"] == 8
    done = CliRunner().invoke(app, command(root, "killed"))
    assert done.exit_code == 0, done.output
    whole, again = (torch.load(root / name / "run.pt", weights_only=True) for name in ("whole", "killed"))
    assert whole["step"] == again["step"] == 9
    for part in ("network", "average"):
        for name, weights in whole[part].items():
            assert torch.equal(weights, again[part][name]), (part, name)
    curves = [json.loads(line) for line in (root / "curve.jsonl").read_text().splitlines()]
    assert [step for step, _ in curves] == [1, 2, 3, 4, 5, 6, 7, 8], "no step is taken twice"
    _assert_it_transcribes(root)


def _killed_at(root: Path, step: int) -> subprocess.CompletedProcess[bytes]:
    """The command in a process that is killed without warning right after a step is saved."""
    words = [sys.executable, "-c", _KILLED, str(step), str(root / "curve.jsonl"), *command(root, "killed")]
    return subprocess.run(words, capture_output=True, timeout=120)


_KILLED = """
import json, os, signal, sys
from hppnet.training import loop
at, curve = int(sys.argv[1]), sys.argv[2]
save, step = loop.save, loop.Stepper.take

def take(stepper, batch):
    values = step(stepper, batch)
    with open(curve, "a") as file:
        print(json.dumps([stepper.run.step, values["loss"]]), file=file)
    return values

def save_and_die(run, *rest):
    save(run, *rest)
    if run.step == at:
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    loop.Stepper.take, loop.save = take, save_and_die
    from hppnet.cli import app
    app(sys.argv[3:])
"""


def _assert_it_transcribes(root: Path) -> None:
    final = root / "whole" / "final.safetensors"
    about = checkpoint.load(final)[2]
    assert about["steps"] == 9 and about["hours"] == pytest.approx(9 * 2 * 48 * 0.02 / 3600, abs=1e-3)
    assert "# --set schedule.steps=9" in about["recipe"] and len(about["recipe_digest"]) == 64
    assert set(about["data"]) == {
        *("maps", "ishizaka", "players", "classical", "pop", "augmentation.rooms", "augmentation.noises")
    }
    assert set(about["figures"]) >= {"offline_onset", "streaming_note"}
    assert set(about["kept"]) >= {"ishizaka_two", "betts_two"}
    out = root / "out"
    words = ["transcribe", root / "maps" / "train" / "one.flac", "--checkpoint", final, "-o", out]
    done = CliRunner().invoke(app, [*map(str, words), "--device", "cpu"])
    assert done.exit_code == 0, done.output


def test_the_pedal_is_not_taught_where_noise_alone_knows_it(root: Path) -> None:
    settings = recipe.read("default", data=root, cache=root / "cache")
    first = settings.at(0)
    assert [source.title for source in first.sources] == ["maps"] and first.losses.pedal == 0
    assert first.losses.velocity == settings.losses.velocity
    assert settings.at(settings.schedule.steps - 1).losses.pedal > 0


def test_a_step_draws_from_the_same_performances_however_fast_they_are_rendered(root: Path) -> None:
    settings = recipe.read("default", data=root, cache=root / "cache", sets=TINY)
    found = next(one for one in find_run_files(settings).trained if isinstance(one, Renderings))
    assert [found.count(step) for step in (0, 1, 2, 4, 100)] == [1, 1, 2, 3, 3]
    assert [step for step, _ in found.due(100)] == [0, 2, 4]
    again = next(one for one in find_run_files(settings).trained if isinstance(one, Renderings))
    assert [one.name for one in found.order] == [one.name for one in again.order]
    assert [piece.name for piece in found.at(2)] == [one.name for one in found.order[:2]]
    notes = found.at(2)[0].notes
    assert len(notes) >= 4 and found.at(2)[0].pedal is not None


def test_all_that_the_next_step_draws_from_is_rendered_before_it(root: Path, tmp_path: Path) -> None:
    settings = recipe.read("default", data=root, cache=tmp_path, sets=TINY)
    files = find_run_files(settings)
    found = next(one for one in files.trained if isinstance(one, Renderings))
    for step, there in ((0, 1), (2, 2), (4, 3)):
        render_due(settings, files, step, jobs=2)
        assert [one.folder.exists() for one in found.order] == [n < there for n in range(len(found.order))]


@pytest.mark.parametrize(
    "change",
    [
        "velocity_shift=[1.0, 2.0]",
        "velocity_spread=[0.8, 1.2]",
        "pedal_threshold=[50, 60]",
        'key_releases=""',
        "key_release_chance=1.0",
    ],
)
def test_renderings_that_would_sound_otherwise_have_another_place(root: Path, change: str) -> None:
    def place(*sets: str) -> Path:
        settings = recipe.read("default", data=root, cache=root / "cache", sets=[*TINY, *sets])
        found = next(one for one in find_run_files(settings).trained if isinstance(one, Renderings))
        return found.order[0].folder

    assert place() == place("sources.3.render.first=2") != place(f"sources.3.render.{change}")


def test_a_key_release_that_cannot_be_used_is_named_before_anything_is_rendered(root: Path) -> None:
    settings = recipe.read("default", data=root, sets=[*TINY, "sources.3.render.key_releases=rooms/train"])
    with pytest.raises(ValueError, match=r"one\.flac: expected a MIDI key as the name, such as 060"):
        find_run_files(settings)


def test_a_performance_that_cannot_be_rendered_is_left_out(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "performances", tmp_path / "performances")
    for path in (tmp_path / "performances" / "train").iterdir():
        path.write_bytes(b"MThd")
    settings = recipe.read("default", data=root, cache=tmp_path, sets=TINY)
    source = DataSource(str(tmp_path / "performances" / "train"), render=settings.sources[3].render)
    from dataclasses import replace

    from hppnet.training.data.rendering_cache import renderings

    (one, *_), _ = renderings(source, replace(settings, sources=(source,), phases=()), "keys")
    make(one, "keys")
    assert read(one) is None and "expected a MIDI file" in (one.folder / "why.txt").read_text()


def test_the_piano_of_the_evaluation_is_refused_under_any_name(tmp_path: Path) -> None:
    disguised = tmp_path / "grand.sf2"
    disguised.write_bytes(b"RIFF....sfbkLIST" + b"\0" * 100 + b"Splendid Grand\0")
    with pytest.raises(ValueError, match="Splendid Grand, which is reserved for evaluation"):
        check_piano(disguised)


def test_recipes_name_no_machine_and_nothing_to_evaluate_on() -> None:
    for name in ("default", "further", "maestro", "paper"):
        settings = recipe.read(name)
        folders = [source.folder for source in (*settings.sources, *settings.validation)]
        assert not any(Path(folder).is_absolute() or "dev" in Path(folder).parts for folder in folders)
        assert settings.folder == str(Path("runs", name))
    default = recipe.read("default")
    taught = [source for source in default.sources if source.folder == "real/train"]
    real = [source.weight for source in taught]
    assert 0.1 <= sum(real) / sum(source.weight for source in default.sources) <= 0.2
    assert real[0] <= real[1], "one player has at most half"
    assert [source.kept for source in taught] == [("ishizaka_BWV988_var12",), ("betts_Op15_07_traumerei",)]
    assert all(0 < source.pedalled_weight < source.offset_weight < 1 for source in taught)
    assert default.phase_ends[-1] == default.schedule.steps


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("schedule.steps=30", lambda s: s.schedule.steps == 30),
        ("phases.0.steps = 0.1", lambda s: s.phases[0].steps == 0.1),
        ("sources.3.render.first=2", lambda s: s.sources[3].render.first == 2),
        (
            'sources.3.render.pianos."pianos/salamander.sf3"=9',
            lambda s: s.sources[3].render.pianos[0][1] == 9,
        ),
        ("phases.1.weights.maps=0", lambda s: len(s.at(5000).sources) == 4),
        ("initialize_from=best.safetensors", lambda s: s.initialize_from == "best.safetensors"),
        ("look_ahead=[0, 4]", lambda s: s.look_ahead == (0, 4)),
    ],
)
def test_anything_can_be_set(change: str, found) -> None:
    assert found(recipe.read("default", sets=[change]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("schedule.stpes=30", r"unknown settings \['stpes'\]; known are .*'steps'"),
        ("speed=3", r"unknown settings \['speed'\]"),
        ("sources.9.weight=1", "sources.9 expects a number below 5"),
        ("phases.x.steps=1", "phases.x expects a number below 3"),
        ("batch.size=1", "batch: expected int, got {'size': 1}"),
        ("batch", "expected NAME=VALUE in TOML"),
        ("batch=", "expected NAME=VALUE in TOML"),
        ("look_ahead=[0,", "expected NAME=VALUE in TOML"),
        ("batch=many", "batch: expected int, got 'many'"),
    ],
)
def test_what_cannot_be_set_is_named(change: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe.read("default", sets=[change])


def test_an_unknown_recipe_names_those_there_are() -> None:
    done = CliRunner().invoke(app, ["train", "defualt"])
    names = ", ".join(sorted(path.stem for path in recipe.SHIPPED.glob("*.toml")))
    assert done.exit_code == 2 and f"a file, or one of {names}" in done.stderr
    assert f"or a name: {names}." in " ".join(CliRunner().invoke(app, ["train", "--help"]).stdout.split())


def test_at_least_one_recording_of_a_source_is_kept_back() -> None:
    settings = short_run(Path(), "x", held_out=20, held_out_most=2)
    trained, held = split([str(n) for n in range(45)], DataSource("a"), settings)
    assert [n for n in range(45) if not trained[n]] == [19, 39] == [n for n in range(45) if held[n]]
    trained, held = split(list("abc"), DataSource("a"), settings)
    assert trained == [True, True, False] and held == [False, False, True]
    trained, held = split([str(n) for n in range(100)], DataSource("a"), settings)
    assert trained.count(False) == 5 and held.count(True) == 2, "never trained on, and not all listened to"
    trained, _ = split(list("abc"), DataSource("a", kept=("a",)), settings)
    assert trained == [False, True, True]
    with pytest.raises(ValueError, match="recordings of the names in kept, found no z"):
        split(list("abc"), DataSource("a", kept=("z",)), settings)


def test_only_the_performances_that_steps_draw_from_are_rendered_and_counted(
    root: Path, tmp_path: Path
) -> None:
    """Two sources, of three and two recordings to train on and one kept back each. All are 2 s long."""
    settings = recipe.read("default", data=root, cache=tmp_path, sets=TINY)
    for steps, minutes, drawn in ((2, 0.0, 1 + 1), (3, 0.0, 2 + 1), (9, 0.0, 3 + 1), (2, 5.0, 3 + 1)):
        how = replace(over(settings, steps), minutes=minutes)
        layout = find_run_files(how)
        every = [one for one in layout.trained if isinstance(one, Renderings)]
        kept = sum(len(one.held) for one in every)
        assert len(upcoming(every, how)) == drawn + kept
        found = estimate(how, layout)
        assert found.first_s == pytest.approx(2.0 * 2, rel=0.1)
        assert found.later_s == pytest.approx(2.0 * (drawn + kept - 2), rel=0.1)
    resumed = estimate(how, layout, step=2)
    assert resumed.first_s == pytest.approx(2.0 * 3, rel=0.1)
