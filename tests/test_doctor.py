"""``hppnet doctor``: what a machine can do, what is wrong with it, and the line that mends it."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hppnet import doctor
from hppnet.cli import app
from hppnet.doctor import find_problems
from hppnet.offline import bench_machine
from hppnet.realtime import devices, latency, midi_ports
from hppnet.realtime.devices import SoundInput
from hppnet.realtime.latency import measure_pace
from hppnet.realtime.midi_ports import MidiPort

from .live_fakes import FakeModel
from .simulated_clock import SimulatedClock
from .sounds import TONE_WEIGHTS

GOOD: dict[str, Any] = {
    "missing": [],
    "extras": {"live": [], "web": [], "train": ["scipy"]},
    "load": 0.2,
    "cores": 4,
    "paces": [
        {"name": name, "follows": True, "is_steady": True, "mean_ms": 4.0} for name in ("fast", "accurate")
    ],
    "inputs": [{"name": "Mic"}],
    "ports": [{"name": "Synth"}],
    "midi_systems": ["alsa"],
    "ffmpeg": "7.1",
}
SLOW, UNSTEADY, QUICK = (
    {"name": name, "follows": follows, "is_steady": steady, "mean_ms": mean}
    for name, follows, steady, mean in (
        ("slow", False, False, 31.0),
        ("unsteady", True, False, 9.0),
        ("quick", True, True, 4.0),
    )
)


@pytest.mark.parametrize(
    ("usual_s", "now_and_then_s", "follows", "is_steady"),
    [(0.004, 0.0, True, True), (0.004, 0.1, True, False), (0.025, 0.0, False, False)],
)
def test_pace(usual_s: float, now_and_then_s: float, follows: bool, is_steady: bool) -> None:
    clock, steps = SimulatedClock(), [0]

    def compute(frames: int) -> None:
        steps[0] += 1
        clock.sleep(usual_s * frames + (now_and_then_s if steps[0] % 30 == 0 else 0))

    found = measure_pace(FakeModel(compute), 132, clock=clock)
    assert (found.follows, found.is_steady) == (follows, is_steady)
    assert found.median_ms == pytest.approx(1000 * usual_s) and 20 <= found.steps <= 300


@pytest.mark.parametrize(
    ("facts", "what", "mend", "stops_live"),
    [
        ({"missing": ["torch"]}, "torch", "pip install torch", True),
        ({"extras": {"live": ["sounddevice"]}}, "sounddevice", "pip install 'hppnet[live]'", True),
        ({"extras": {"live": ["python-rtmidi"]}}, "python-rtmidi", "pip install 'hppnet[live]'", False),
        ({"extras": {"web": ["starlette"]}}, "hppnet serve", "pip install 'hppnet[web]'", False),
        ({"network_fault": "CheckpointError: x.safetensors: cut short"}, "cut short", "--checkpoint", True),
        ({"load": 9.0}, "load 9.0 on 4 cores", "again", False),
        ({"paces": [SLOW, SLOW]}, "takes 31 ms", "hppnet transcribe", True),
        ({"paces": [QUICK, SLOW]}, "too slow", "--latency quick", False),
        ({"paces": [QUICK, UNSTEADY]}, "late now and then", "lower --latency", False),
        ({"inputs": []}, "no microphone", "--from-file", True),
        (
            {"inputs": [], "inputs_fault": "PortAudio was not found: sudo apt-get install libportaudio2"},
            "PortAudio was not found",
            "sudo apt-get install libportaudio2",
            True,
        ),
        ({"ports": [], "ports_fault": "the driver failed"}, "the driver failed", "hppnet devices", False),
        ({"ports": [], "midi_systems": []}, "no MIDI system", "--output none", False),
        ({"ports": [], "virtual_ports": True}, "no MIDI port", "--virtual hppnet", False),
        ({"ports": [], "virtual_ports": False}, "no MIDI port", "loopMIDI", False),
        ({"ffmpeg": None}, "m4a", "ffmpeg", False),
    ],
)
def test_each_thing_that_is_wrong_has_its_line(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], what: str, mend: str, stops_live: bool
) -> None:
    monkeypatch.setattr("hppnet.doctor._forbidden", lambda folder: False)
    assert find_problems(GOOD) == []
    (found,) = find_problems(GOOD | facts)
    assert what in found.what and mend in found.mend and found.stops_live == stops_live
    assert "\n" not in found.what + found.mend


def test_what_stops_live_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_problems(GOOD | {"load": 9.0, "ffmpeg": None, "inputs": []})
    assert [problem.stops_live for problem in found] == [True, False, False]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """The command on a machine with a microphone and a port, which measures briefly."""
    monkeypatch.setattr(devices, "list_inputs", lambda: [SoundInput(0, "Mic [USB]", "ALSA", 1, 48_000, True)])
    monkeypatch.setattr(devices, "sound_systems", lambda: ["ALSA"])
    monkeypatch.setattr(midi_ports, "list_ports", lambda: [MidiPort("Synth", "alsa")])
    monkeypatch.setattr(midi_ports, "midi_systems", lambda: ["alsa"])
    monkeypatch.setattr(latency, "MOST_STEPS", 20)
    monkeypatch.setattr(latency, "SHARE", 1000)  # however busy this machine is
    monkeypatch.setattr(bench_machine, "_UNIT", "import os; print(os.environ['OPENBLAS_NUM_THREADS'])")
    command = ["doctor", "--checkpoint", str(TONE_WEIGHTS)]
    return lambda *more: CliRunner().invoke(app, [*command, *more], env={"COLUMNS": "200"})


def test_a_machine_on_which_live_can_run(run) -> None:
    result = run("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["live_can_run"] and found["unit_ms"] == 1.0  # of NumPy on one thread
    assert [step["latency_ms"] for step in found["paces"]] == [52, 92, 132]
    assert all(0 < step["median_ms"] <= step["p99_ms"] and step["steps"] == 20 for step in found["paces"])
    assert found["weights"]["name"].startswith("tones.safetensors")
    assert {"python", "hppnet", "numpy", "soundfile"} <= set(found["versions"])
    shown = run()
    assert shown.exit_code == 0 and shown.stderr == ""
    assert "* Mic [USB] (ALSA)" in shown.stdout and "* Synth (alsa)" in shown.stdout
    assert "132 ms" in shown.stdout and shown.stdout.rstrip().endswith("Live can run.")


def test_what_only_older_pythons_need_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [
        'no-such-backport>=2; python_version < "3.0" and extra == "train"',
        'no-such-package>=2; python_version < "3.99" and extra == "train"',
        'python-rtmidi>=1.5.8; python_version < "3.0" and extra == "live"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: stated)
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert doctor.versions()["extras"] == {"train": ["no-such-package"], "live": ["python-rtmidi"]}


def test_without_the_extras_it_says_which_and_the_line_that_installs_them(
    run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(latency, "MOST_STEPS", 20)
    monkeypatch.setattr(bench_machine, "_UNIT", "print(1)")
    gone = {
        "sounddevice": "sounddevice",
        "python-rtmidi": "rtmidi",
        "starlette": "starlette",
        "uvicorn": "uvicorn",
    }
    version = importlib.metadata.version

    def without(name: str) -> str:
        if name in gone:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    for name in gone.values():
        monkeypatch.setitem(sys.modules, name, None)
    result = run()
    assert result.exit_code == 1, result.output
    said = " ".join(result.stdout.split())
    assert "sounddevice not installed" in said.replace("python-rtmidi, ", "")
    assert "pip install 'hppnet[live]'" in said and "pip install 'hppnet[web]'" in said
    assert said.endswith("Live cannot run.")


def test_weights_that_are_damaged_are_a_finding(run, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    result = run("--checkpoint", str(tmp_path / "bad.safetensors"))
    assert result.exit_code == 1 and "bad.safetensors" in result.stdout
    assert result.stderr == "" and "Traceback" not in result.output


def test_a_program_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_machine, "_UNIT", "raise SystemExit(3)")
    found = doctor.unit()
    assert found["unit_ms"] is None and "3" in found["unit_fault"]
