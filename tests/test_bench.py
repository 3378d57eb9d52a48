"""What ``bench`` measures with; not how fast this machine is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.checkpoint import save
from hppnet.model.config import ModelConfig, NetworkConfig
from hppnet.model.device import peak_mib
from hppnet.model.engine.onnx_engine import OnnxWindows
from hppnet.model.network import HPPNet
from hppnet.model.transcriber import Transcriber
from hppnet.offline import bench, bench_machine, bench_parts


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A network so small that nothing takes long; it has learned nothing."""
    torch.manual_seed(0)
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2))
    save(tmp_path / "small.safetensors", HPPNet(config.network), config)
    return tmp_path / "small.safetensors"


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock.now)
    return clock


class Clock:
    """Time that passes only where a function says so."""

    now = 0.0

    def takes(self, seconds: float, *inner) -> object:
        def work() -> None:
            for function in inner:
                function()
            self.now += seconds

        return work


def test_the_sound_is_busy_and_the_same_every_time():
    sound = bench.piano_like(3)
    assert sound.shape == (48_000,) and sound.dtype == np.float32
    assert np.abs(sound).max() == pytest.approx(0.5)
    assert (np.abs(sound.reshape(30, -1)).max(axis=1) > 0).all()  # something sounds in every 100 ms
    assert np.array_equal(sound, bench.piano_like(3))
    assert not np.array_equal(sound, bench.piano_like(3, seed=2))


def test_a_stream_is_fed_frame_by_frame(checkpoint, monkeypatch):
    transcriber = Transcriber.load(checkpoint, device="cpu")
    fed = []
    stream = transcriber.stream(bench.LATENCY_MS, bench.SAMPLE_RATE)
    monkeypatch.setattr(Transcriber, "stream", lambda self, **settings: stream)
    monkeypatch.setattr(stream, "feed", lambda block: fed.append(len(block)))
    assert len(bench.steps_s(transcriber, np.zeros(1000, dtype=np.float32))) == 4
    assert fed == [320, 320, 320, 40]


def test_time_counts_for_the_innermost_part_only(clock):
    watch = bench_parts.Stopwatch()
    inner = watch.watched(clock.takes(2), "inner")
    outer = watch.watched(clock.takes(5, inner, inner), "outer")
    outer()
    inner()
    watch.watched(clock.takes(1, outer), "outermost")()
    assert watch.seconds == {"inner": 10, "outer": 10, "outermost": 1}


def test_a_part_that_fails_is_still_timed(clock):
    def fails() -> None:
        clock.now += 3
        raise KeyError

    watch = bench_parts.Stopwatch()
    with pytest.raises(KeyError):
        watch.watched(fails, "part")()
    watch.watched(clock.takes(1), "part")()
    assert watch.seconds == {"part": 4}


@pytest.mark.parametrize("work", [bench.offline_s, bench.steps_s])
def test_every_part_has_its_share(checkpoint, work):
    transcriber = Transcriber.load(checkpoint, device="cpu")
    judge = OnnxWindows.predict
    shares = bench_parts.where_time_goes(lambda: work(transcriber, bench.piano_like(1)))
    assert list(shares) == ["front end and network", "decoder", "everything else"]
    assert all(share > 0 for share in shares.values()), shares
    assert sum(shares.values()) == pytest.approx(100)
    # Nothing stays watched.
    assert OnnxWindows.predict is judge


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say it in /proc")
def test_a_fresh_process_does_not_take_over_our_peak():
    held = np.ones(50_000_000)  # 381 MiB, all touched
    ours = peak_mib()
    assert ours > 381
    del held
    code = "from hppnet.model.device import peak_mib; print(peak_mib())"
    assert 5 < float(bench_machine._python("-c", code)) < ours - 200


def test_a_fresh_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no such thing"):
        bench_machine._python("-c", "raise SystemExit('much ado\\nno such thing')")


@pytest.mark.slow
def test_bench_offline(checkpoint, tmp_path):
    file = tmp_path / "bench.json"
    options = ["--seconds", "1", "--repeats", "1", "--checkpoint", str(checkpoint), "--device", "cpu"]
    result = CliRunner().invoke(app, ["bench", "offline", *options, "--json", str(file)])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    main = ("offline_x_realtime", "streaming_x_realtime", "peak_rss_mib", "startup_s")
    assert list(figures) == ["program", *main, "detail"]
    assert all(figures[name] > 0 for name in main)
    detail = figures["detail"]
    assert detail["threads"] == torch.get_num_threads() == 1
    assert 0 < detail["streaming"]["step_median_ms"] <= detail["streaming"]["step_p99_ms"]
    assert detail["machine"]["engine"].startswith("onnxruntime ") and detail["machine"]["cpu"]
    assert set(detail["where_percent"]) == {"offline", "streaming"}
    engine = detail["machine"]["engine"]
    for words in ("real time, at 132 ms", "MiB", "front end and network", engine, "small.safetensors"):
        assert words in " ".join(result.stdout.split()), words


def test_bench_offline_with_a_bad_checkpoint(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"12345678")
    result = CliRunner().invoke(app, ["bench", "offline", "--checkpoint", str(tmp_path / "bad.safetensors")])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ") and "bad.safetensors" in result.stderr
