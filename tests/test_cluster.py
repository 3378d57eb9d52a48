"""Recordings on the workers of a Dask scheduler; what is killed, and what is left then."""

from __future__ import annotations

import csv
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.config import ModelConfig
from hppnet.model.notes import Note, read_midi
from hppnet.model.transcriber import Transcription
from hppnet.offline.errors import LoadError, MissingExtra
from hppnet.offline.executors import cluster
from hppnet.offline.inputs import find_recordings
from hppnet.offline.plan import Plan
from hppnet.offline.settings import Settings

from . import children, needs

distributed = needs.module("distributed", "cluster")
dask = needs.module("dask", "cluster")
RATE = 16_000
COUNT = 24


class StandIn:
    """In a transcriber's place, slow: as many notes as the recording has tenths of a second."""

    checkpoint_name = f"stand-in {'0' * 12}"
    config = ModelConfig()

    def computed_by(self, latency_ms):
        return "a stand-in"

    loaded = 0

    def transcribe_blocks(self, blocks, sample_rate, **_):
        samples = sum(map(len, blocks))
        time.sleep(0.1)
        if samples / sample_rate > 2:  # one that no process outlives
            os.kill(os.getpid(), signal.SIGKILL)
        count = round(10 * samples / sample_rate)
        return Transcription(
            [Note(s / 10, s / 10 + 0.05, 60, 64) for s in range(count)], samples / sample_rate
        )

    @property
    def device(self):
        return "cpu"


def load(settings):
    assert StandIn.loaded == 0, "a model a worker, loaded once"
    StandIn.loaded += 1
    return StandIn()


def load_another(settings):
    return StandIn()


def load_nothing(settings):
    raise ValueError("there is no such device")


def nothing(*_) -> None:
    pass


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rec")
    for number in range(COUNT):
        soundfile.write(folder / f"{number:02d}.wav", np.zeros(round((0.32 + 0.05 * number) * RATE)), RATE)
    return folder


@pytest.fixture(scope="module")
def scheduler():
    """A cluster that somebody else has started."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=None, dashboard_address=None, silence_logs=50
        ) as started,
    ):
        yield started


def plan(rec: Path, out: Path) -> list:
    return list(Plan(find_recordings([str(rec)], nothing), ["mid"], out))


def run(jobs, address, read=nothing, settings=None, loading=load, **more):
    executor = cluster.Cluster(address, load=loading, **more)
    return executor.run(jobs, settings or Settings(device="cpu"), read)


def check(outcomes, rec: Path, out: Path) -> None:
    """Every recording done, none twice, none half."""
    assert sorted(outcome.source.name for outcome in outcomes) == sorted(path.name for path in rec.iterdir())
    assert not [outcome.error for outcome in outcomes if outcome.error]
    assert sorted(path.name for path in out.iterdir()) == [f"{n:02d}.mid" for n in range(COUNT)]
    for number in range(COUNT):
        assert len(read_midi(out / f"{number:02d}.mid")) == round(10 * (0.32 + 0.05 * number))


def test_another_worker_does_what_a_killed_one_had(rec: Path, tmp_path: Path, scheduler) -> None:
    """Half way: what it had is done by another, and what it had finished is not told twice."""
    outcomes, said, killed = [], [], []
    for outcome in run(plan(rec, tmp_path), scheduler.scheduler_address, say=said.append):
        outcomes.append(outcome)
        if len(outcomes) == COUNT // 2:
            killed.append(next(iter(scheduler.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)
    assert killed
    check(outcomes, rec, tmp_path)
    assert scheduler.scheduler_address in said[0] and "dashboard" in said[0]


def test_a_recording_that_kills_is_given_up(rec: Path, tmp_path: Path, scheduler) -> None:
    deadly = tmp_path / "in" / "deadly.wav"
    deadly.parent.mkdir()
    soundfile.write(deadly, np.zeros(3 * RATE), RATE)
    jobs = [*plan(rec, tmp_path / "out")[:3], *plan(deadly.parent, tmp_path / "out")]
    outcomes = {outcome.source.name: outcome for outcome in run(jobs, scheduler.scheduler_address)}
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["deadly.wav"]
    assert "ended" in outcomes["deadly.wav"].error and len(outcomes) == 4


def test_stopping_leaves_finished_files(rec: Path, tmp_path: Path, scheduler) -> None:
    running = run(plan(rec, tmp_path), scheduler.scheduler_address)
    done = [next(running).source.stem for _ in range(3)]
    running.close()
    time.sleep(1)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert {f"{name}.mid" for name in done} <= set(left) and len(left) < COUNT
    assert not [name for name in left if name.endswith(".part")]


def test_the_driver_holds_few_jobs(rec: Path, tmp_path: Path, scheduler) -> None:
    """However many there are: they are taken as they are needed."""
    jobs = plan(rec, tmp_path)
    taken = 0

    def counted():
        nonlocal taken
        for job in jobs:
            taken += 1
            yield job

    for number, _ in enumerate(run(counted(), scheduler.scheduler_address), 1):
        assert taken - number <= 40
        if number == 1:
            assert taken <= 8  # the first groups are of one
    assert taken == COUNT


def test_workers_without_the_drivers_weights_are_refused(rec: Path, tmp_path: Path, scheduler) -> None:
    address = scheduler.scheduler_address
    with pytest.raises(LoadError, match=f"on {platform.node()}: there is no such device"):
        list(run(plan(rec, tmp_path), address, settings=Settings(device="mps"), loading=load_nothing))
    with pytest.raises(LoadError, match="expected the weights abc, found 000000000000"):
        list(run(plan(rec, tmp_path), address, settings=Settings(), loading=load_another, digest="abc"))
    assert not list(tmp_path.iterdir())


def test_a_wrong_address_says_what_is_expected(rec: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1.0)
    for address in ("tcp://127.0.0.1:1", "nonsense://x"):
        with pytest.raises(LoadError, match=f"--cluster {address}: expected"):
            list(run(plan(rec, tmp_path), address))


def test_without_dask_the_extra_is_named(rec: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"pip install 'hppnet\[cluster\]'"):
        list(run(plan(rec, tmp_path), "local:1"))


def command(rec: Path, out: Path, small: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "hppnet", "transcribe", str(rec), "-o", str(out), "--skip-existing"),
        *("--checkpoint", str(small), "--device", "cpu", *options),
    ]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals as on Unix")
@pytest.mark.parametrize("options", [("--cluster", "local:2"), ("--jobs", "2")])
def test_the_driver_is_killed_and_started_again(rec, tmp_path, small, options) -> None:
    """Every recording is done, none twice, none half."""
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    first = children.start(
        command(rec, out, small, *options),
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    for _ in range(5):
        assert " notes, " in first.stdout.readline()
    first.kill()
    first.communicate()
    assert children.all_gone(first.pid)  # workers too: what they were writing is removed by the next run
    before = done(out)
    assert 5 <= len(before) < COUNT
    second = subprocess.run(command(rec, out, small, *options), capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    after = done(out)
    assert sorted(after) == sorted(f"{n:02d}.mid" for n in range(COUNT))  # once each
    assert after[: len(before)] == before
    assert sorted(path.name for path in out.iterdir()) == [*sorted(after), "manifest.csv"]
    for name in after:
        read_midi(out / name)


def done(out: Path) -> list[str]:
    with open(out / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert not [row["error"] for row in rows if row["error"]]
    return [row["output"] for row in rows]
