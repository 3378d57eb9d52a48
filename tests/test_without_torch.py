"""Which files need PyTorch; and that all that users do on a CPU goes without it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from websockets.sync.client import connect

from hppnet.model.notes import read_midi

from . import children, needs
from .sounds import TONE_WEIGHTS, piano_like
from .web_server import events_of, hello, send_sound, started

ROOT = Path(__file__).parents[1]
#: All files of the package that import PyTorch: the definition of the network and what runs it on a GPU,
#: training, and a few that ask PyTorch about GPUs where one may be there.
WITH_TORCH = {
    *("model/device.py", "model/engines.py", "model/full_context.py"),
    *("model/layers.py", "model/lstm.py", "model/network.py", "model/pedal.py", "model/spectrum.py"),
    *("model/torch_engine.py", "model/velocity.py"),
    "offline/executors/batched_worker.py",
    *("training/bench.py", "training/data/arrays.py", "training/data/dataset.py", "training/data/sources.py"),
    *("training/evaluate/peers.py", "training/kernels.py", "training/launch.py", "training/logs.py"),
    *(
        "training/loop.py",
        "training/losses.py",
        "training/releases.py",
        "training/run.py",
        "training/step.py",
    ),
    "training/teacher.py",
}
SOUND = piano_like({0.2: 60, 0.7: 64}, 1.2)


def test_only_these_files_import_pytorch() -> None:
    found = set()
    for folder in ("hppnet", "model", "offline", "realtime", "training"):
        for file in (ROOT / folder).rglob("*.py"):
            if any("torch" in name for name in _imported(file)):
                found.add(str(file.relative_to(ROOT)))
    assert found == WITH_TORCH


def _imported(file: Path) -> set[str]:
    """The libraries that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.fixture(scope="module")
def blocked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no process can import PyTorch."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text('import sys\nsys.modules["torch"] = None\n')
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", "import torch"], capture_output=True, text=True, env=environment
    )
    assert done.returncode and "ModuleNotFoundError" in done.stderr
    return environment


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("take") / "take.wav"
    soundfile.write(path, SOUND, 16_000)
    return path


def pitches(path: Path) -> list[int]:
    return [note.pitch for note in read_midi(path)]


def hppnet(environment: dict[str, str], *arguments: object) -> str:
    """What it wrote to standard output."""
    command = [*children.HPPNET, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=4 * children.PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_IN_PYTHON = """
import sys, hppnet
transcriber = hppnet.load(sys.argv[1])
notes = transcriber.transcribe(sys.argv[2])
assert [note.pitch for note in notes] == [60, 64], notes
assert transcriber.transcribe(sys.argv[2], latency_ms=132)
assert transcriber.with_tuning(5).transcribe(sys.argv[2])
stream = transcriber.without_pedal().stream(132, 16_000)
assert stream.feed([0.0] * 16_000) == [] and stream.flush() == []
assert transcriber.engine.startswith("onnxruntime") and not sys.modules["torch"]
assert hppnet.load().transcribe(sys.argv[2])
"""


def test_load_file_and_stream(blocked: dict[str, str], take: Path) -> None:
    command = [sys.executable, "-c", _IN_PYTHON, str(TONE_WEIGHTS), str(take)]
    done = subprocess.run(command, capture_output=True, text=True, env=blocked, timeout=children.PATIENCE_S)
    assert done.returncode == 0, done.stderr


def test_live_from_a_file(blocked: dict[str, str], take: Path, tmp_path: Path) -> None:
    record = tmp_path / "live.mid"
    options = ["--from-file", take, "--output", "none", "--record", record, "--checkpoint", TONE_WEIGHTS]
    hppnet(blocked, "live", *options)
    assert pitches(record) == [60, 64]


def test_serve(blocked: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", blocked["PYTHONPATH"])
    with started("--port", "0", "--checkpoint", str(TONE_WEIGHTS)) as (_, lines):
        url = lines[0].split()[1].replace("http", "ws") + "stream"
        with connect(url, max_queue=None, open_timeout=children.PATIENCE_S) as connection:
            connection.send(hello(mode="file"))
            assert json.loads(connection.recv(timeout=children.PATIENCE_S))["type"] == "ready"
            send_sound(connection, SOUND, 16_000)
            connection.send(json.dumps({"type": "end"}))
            assert [event.pitch for event in events_of(connection) if hasattr(event, "velocity")] == [60, 64]


def test_a_cluster(blocked: dict[str, str], take: Path, tmp_path: Path) -> None:
    needs.module("distributed", "cluster")
    options = ["-o", tmp_path, "--cluster", "local:2", "--checkpoint", TONE_WEIGHTS]
    hppnet(blocked, "transcribe", take, *options)
    assert pitches(tmp_path / "take.mid") == [60, 64]


def test_pictures_without_matplotlib_say_what_to_install(take: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["matplotlib"] = None\n')
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [*children.HPPNET, "transcribe", str(take), "-o", str(tmp_path / "out"), "--plot"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stderr == (
        "error: pictures need matplotlib: pip install 'hppnet[plot]'\n"
    )
    assert not (tmp_path / "out").exists()
