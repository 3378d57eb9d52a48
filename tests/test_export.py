"""What ``hppnet export`` writes runs by what model/ONNX.md says, and gives what hppnet gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner, Result

from hppnet.cli import app
from hppnet.model.transcriber import Transcriber

from .sounds import TONE_WEIGHTS, piano_like
from .tolerances import additions, assert_same_sums

SOUND = piano_like({0.2: 60, 0.5: 64}, 1.0)
FRAMES = 50


def export(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs") / "new"
    done = export(TONE_WEIGHTS, "-o", folder, "--latency", "92")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        str(folder / name) for name in ("step.onnx", "window.onnx")
    ]
    return folder


class Program:
    """As a program in another language would run a graph: it knows the metadata alone."""

    def __init__(self, file: Path) -> None:
        self.session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        self.about = self.session.get_modelmeta().custom_metadata_map
        self.states = json.loads(self.about["states"])
        self.state: dict[str, Any] = {
            s["name"]: np.full(s["shape"], s["start"], np.float32) for s in self.states
        }

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        names = [output.name for output in self.session.get_outputs()]
        outputs = dict(zip(names, self.session.run(names, {**inputs, **self.state}), strict=True))
        self.state = {
            s["name"]: outputs[s["source"]] if s["source"] in outputs else self.state[s["source"]]
            for s in self.states
        }
        return outputs


def wanted(transcriber: Transcriber, latency_ms: float | None) -> np.ndarray:
    found = transcriber.transcribe_blocks([SOUND], 16_000, latency_ms=latency_ms, keep_probabilities=True)
    assert found.probabilities is not None and len(found.probabilities) == FRAMES
    return found.probabilities


def test_a_stream_by_the_book(folder: Path, transcriber: Transcriber) -> None:
    step = Program(folder / "step.onnx")
    before, after, hop = (int(step.about[name]) for name in ("samples_before", "samples_after", "hop"))
    look_ahead = int(step.about["look_ahead_frames"])
    assert (look_ahead, step.about["note_ends"]) == (2, transcriber.config.note_ends)
    sound = np.pad(SOUND, (before, after + look_ahead * hop))
    found = [
        step.run(samples=sound[None, hop * i : hop * i + before + after])["probabilities"][0]
        for i in range(FRAMES + look_ahead)
    ]
    np.testing.assert_array_equal(np.stack(found[look_ahead:]), wanted(transcriber, 92))


def test_streams_side_by_side(folder: Path) -> None:
    """A batch of streams gives what each gives alone."""
    alone, batch = Program(folder / "step.onnx"), Program(folder / "step.onnx")
    for s in batch.states:
        batch.state[s["name"]] = np.concatenate([batch.state[s["name"]]] * 2, axis=s["axis"])
    sound = np.pad(SOUND, (0, 4096))[8000:]
    for i in range(6):
        samples = np.stack([np.zeros(4096, np.float32), sound[320 * i : 320 * i + 4096]])
        one = alone.run(samples=samples[1:])["probabilities"]
        assert_same_sums(batch.run(samples=samples)["probabilities"][1:], one, 4096)


def test_a_recording_by_the_book(folder: Path, transcriber: Transcriber) -> None:
    window = Program(folder / "window.onnx")
    samples = np.zeros(3776 + 2 * 8000, np.float32)
    samples[3584 : 3584 + len(SOUND)] = SOUND
    count = np.array([FRAMES])
    found = window.run(samples=samples, frames=count, predicted=count)["probabilities"]
    assert_same_sums(found, wanted(transcriber, None), additions(transcriber.network, FRAMES))


def test_nothing_is_lost_and_faults_are_named(folder: Path, tmp_path: Path) -> None:
    before = (folder / "step.onnx").read_bytes()
    done = export(TONE_WEIGHTS, "-o", folder)
    assert done.exit_code == 1 and "step.onnx: is there already; --force replaces it" in done.stderr
    assert (folder / "step.onnx").read_bytes() == before
    assert export(TONE_WEIGHTS, "-o", folder, "--force").exit_code == 0
    assert (folder / "step.onnx").read_bytes() != before  # of another latency
    done = export(TONE_WEIGHTS, "-o", tmp_path, "--latency", "100")
    assert done.exit_code == 2 and "latency must be one of" in " ".join(done.stderr.replace("│", " ").split())
    (tmp_path / "file").touch()
    done = export(TONE_WEIGHTS, "-o", tmp_path / "file")
    assert done.exit_code == 2 and "is a file" in done.stderr
