"""Recordings transcribed in batches, with reading and writing in other processes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from hppnet.model.checkpoint import load as load_network
from hppnet.model.checkpoint import save
from hppnet.model.engine.onnx_engine import OnnxWindows
from hppnet.offline.errors import LoadError
from hppnet.offline.executors.batched_worker import BatchedWorker, Batcher, uses_batches
from hppnet.offline.executors.executor import OneProcess
from hppnet.offline.executors.pipeline import Pipeline
from hppnet.offline.inputs import find_recordings
from hppnet.offline.plan import Plan
from hppnet.offline.settings import Settings, load_transcriber

RATE = 16_000


@pytest.fixture(scope="module")
def weights(small: Path, tmp_path_factory) -> Path:
    """Talkative, though it has learned nothing."""
    network, config, _ = load_network(small)
    network.bias[:] = torch.tensor([-0.3, 2.0, -2.0])
    path = tmp_path_factory.mktemp("weights") / "talkative.safetensors"
    save(path, network, config)
    return path


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    """Good recordings of several lengths, a silent one, and one that is none."""
    folder = tmp_path_factory.mktemp("rec")
    rng = np.random.default_rng(0)
    for number, seconds in enumerate((1, 27, 3, 1, 46, 0.5)):
        soundfile.write(folder / f"{number}.wav", 0.1 * rng.standard_normal(int(seconds * RATE)), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(2 * RATE), RATE)
    (folder / "bad.wav").write_text("no sound")
    return folder


def jobs(rec: Path, out: Path, kinds=("json",)) -> list:
    return list(Plan(find_recordings([str(rec)], print), kinds, out))


def nothing(*_: object) -> None:
    pass


def notes(out: Path) -> dict[str, list]:
    return {path.stem: json.loads(path.read_text())["notes"] for path in out.glob("*.json")}


@pytest.fixture(scope="module")
def alone(rec: Path, weights: Path, tmp_path_factory) -> dict[str, list]:
    """What each recording gives by itself."""
    out = tmp_path_factory.mktemp("alone")
    list(OneProcess().run(jobs(rec, out), Settings(str(weights), "cpu"), nothing))
    got = notes(out)
    assert len(got) == 7 and sum(map(len, got.values())) > 500 and got["silent"] is not None
    return got


def same(got: dict[str, list], expected: dict[str, list]) -> None:
    """The same notes: no more than 1 in 1000 differ by more than what rounding does to an onset."""
    assert set(got) == set(expected)
    for name in set(expected) - {"silent"}:  # there nothing but rounding makes the peaks of this network
        ours, theirs = (sorted((n["pitch"], n["onset_s"]) for n in of[name]) for of in (got, expected))
        assert [pitch for pitch, _ in ours] == [pitch for pitch, _ in theirs], name
        apart = np.abs(np.array(ours)[:, 1] - np.array(theirs)[:, 1]) if ours else np.zeros(1)
        assert np.mean(apart > 0.005) <= 0.001, name


def test_batches_change_no_notes(rec: Path, weights: Path, alone, tmp_path: Path) -> None:
    read: dict[str, float] = {}
    settings = Settings(str(weights), "cpu", batch=3)
    running = Pipeline(2).run(
        jobs(rec, tmp_path), settings, lambda job, seconds: read.update({job.source.name: seconds})
    )
    outcomes = {outcome.source.name: outcome for outcome in running}
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["bad.wav"]
    assert "bad.wav" in outcomes["bad.wav"].error
    assert outcomes["4.wav"].duration_s == read["4.wav"] == pytest.approx(46)
    same(notes(tmp_path), alone)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 7


@pytest.mark.slow
def test_a_batched_worker_changes_no_notes(rec: Path, weights: Path, alone, tmp_path: Path) -> None:
    settings = Settings(str(weights), "cpu", batch=3)
    model = BatchedWorker(load_transcriber(settings), settings.batch)
    outcomes = list(model.run(jobs(rec, tmp_path), settings, nothing))
    assert len(outcomes) == 8 and [o.source.name for o in outcomes if o.error] == ["bad.wav"]
    same(notes(tmp_path), alone)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, fits: int) -> list[int]:
    """Lets no more than so many rows into a batch; returns the sizes that were tried."""
    tried: list[int] = []
    judge = OnnxWindows.predict

    def refusing(self, rows):
        tried.append(len(rows))
        if len(rows) > fits:
            raise MemoryError("the device has too little memory")
        return judge(self, rows)

    monkeypatch.setattr(OnnxWindows, "predict", refusing)
    return tried


@pytest.mark.parametrize("way", ["pipeline", pytest.param("one process", marks=pytest.mark.slow)])
def test_short_of_memory_the_batch_is_halved(rec, weights, alone, tmp_path, monkeypatch, way: str) -> None:
    tried = short_of_memory(monkeypatch, fits=2)
    settings = Settings(str(weights), "cpu", batch=6)
    if way == "pipeline":
        outcomes = list(Pipeline(1).run(jobs(rec, tmp_path), settings, nothing))
    else:
        model = BatchedWorker(load_transcriber(settings), settings.batch)
        outcomes = list(model.run(jobs(rec, tmp_path), settings, nothing))
    assert len(outcomes) == 8 and [o.source.name for o in outcomes if o.error] == ["bad.wav"]
    same(notes(tmp_path), alone)
    assert max(tried) > 2 and sum(size > 2 for size in tried) <= 2  # it does not try again and again


def test_without_memory_for_one_window_each_recording_fails(rec, weights, tmp_path, monkeypatch) -> None:
    short_of_memory(monkeypatch, fits=0)
    settings = Settings(str(weights), "cpu", batch=4)
    model = BatchedWorker(load_transcriber(settings), settings.batch)
    outcomes = list(model.run(jobs(rec, tmp_path)[:3], settings, nothing))
    assert len(outcomes) == 3 and all("too little memory" in outcome.error for outcome in outcomes)
    assert not list(tmp_path.iterdir())


def test_a_device_that_fails_is_no_fault_of_the_recordings(rec, weights, tmp_path, monkeypatch) -> None:
    def failing(self, rows):
        raise RuntimeError("CUDA error: unspecified launch failure\nmore words")

    monkeypatch.setattr(OnnxWindows, "predict", failing)
    with pytest.raises(LoadError, match="unspecified launch failure more"):
        list(Pipeline(1).run(jobs(rec, tmp_path), Settings(str(weights), "cpu", batch=2), nothing))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_that_dies_takes_no_recording_with_it(rec, weights, alone, tmp_path) -> None:
    """It is killed while it holds several; another does them."""
    killed = []

    def kill(job, seconds: float) -> None:
        if not killed and job.source.name == "4.wav":
            import multiprocessing

            killed.append(multiprocessing.active_children()[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    running = Pipeline(1).run(jobs(rec, tmp_path), Settings(str(weights), "cpu", batch=3), kill)
    outcomes = list(running)
    assert killed and len(outcomes) == 8
    assert [outcome.source.name for outcome in outcomes if outcome.error] == ["bad.wav"]
    same(notes(tmp_path), alone)


def test_each_recording_of_a_batch_has_its_own_tuning(rec, weights, tmp_path) -> None:
    """Pianos tuned otherwise share batches."""
    settings = Settings(str(weights), "cpu", tuning="auto", batch=3)
    some = [job for job in jobs(rec, tmp_path / "batched") if job.source.stem in "023"]
    model = BatchedWorker(load_transcriber(settings), settings.batch)
    found = {o.source.name: o.found_cents for o in model.run(some, settings, nothing)}
    some = [job for job in jobs(rec, tmp_path / "alone") if job.source.stem in "023"]
    expected = {o.source.name: o.found_cents for o in OneProcess().run(some, settings, nothing)}
    assert found == expected and len(set(found.values())) > 1
    same(notes(tmp_path / "batched"), notes(tmp_path / "alone"))


def test_batched_recordings_get_pictures(rec, weights, tmp_path) -> None:
    settings = Settings(str(weights), "cpu", picture=True, batch=2)
    some = jobs(rec, tmp_path, ("mid", "png"))[:2]
    outcomes = list(Pipeline(1).run(some, settings, nothing))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.mid", "0.png", "1.mid", "1.png"]


def test_a_processor_takes_one_window_at_a_time(weights: Path) -> None:
    transcriber = load_transcriber(Settings(str(weights), "cpu"))
    assert Batcher(transcriber).size == 1
    assert not uses_batches(transcriber, Settings())
    assert uses_batches(transcriber, Settings(batch=4))
    assert not uses_batches(transcriber, Settings(batch=4, latency_ms=132))


def test_bench_says_what_bounds_it(weights: Path) -> None:
    from hppnet.commands.bench import _batches
    from hppnet.offline import bench, bench_batches

    settings = Settings(str(weights), "cpu")
    transcriber = load_transcriber(settings)
    said: list[str] = []
    figures = bench_batches.measure(transcriber, settings, bench.piano_like(2), 1, said.append)
    assert set(figures["network_x_realtime"]) == {"1", "2", "4"} and figures["batch"] == 1
    assert all(x > 0 for x in figures["network_x_realtime"].values())
    for name in ("reading_x_realtime_a_process", "decoding_x_realtime_a_process", "whole_x_realtime"):
        assert figures[name] > 0, name
    assert figures["bound_by"] == "the network" and len(said) == 3
    assert _batches(figures).row_count == 6
