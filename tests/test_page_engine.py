"""The page's engine, in Node: held to Python's by what ``page_vectors`` writes."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hppnet.model.transcriber import Transcriber

from .needs import needs
from .page_vectors import write_vectors
from .pedal_parts import saved, with_moving_pedal
from .sounds import piano_like

TESTS = Path(__file__).parent / "page"


@pytest.fixture(scope="module")
def vectors(transcriber: Transcriber, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    moving = with_moving_pedal(transcriber, piano_like({0.2: 60, 0.9: 64}, 2.0))
    decoder = replace(moving.config.decoder, onset=0.6, onset_soonest=0.06)  # each latency has its own notes
    moving = replace(moving, config=replace(moving.config, decoder=decoder))
    write_vectors(folder, saved(moving, folder / "moving.safetensors"))
    return folder


def node(file: str, vectors: Path) -> None:
    done = subprocess.run(
        ["node", "--test", str(TESTS / file)],
        env={**os.environ, "VECTORS": str(vectors)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs("node")
def test_the_parts_give_the_same_numbers_and_events(vectors: Path) -> None:
    node("parts.test.mjs", vectors)


@needs("node", "page runtime")
def test_the_engine_gives_the_same_events(vectors: Path) -> None:
    node("engine.test.mjs", vectors)


@needs("node")
def test_a_take_goes_through_faults(vectors: Path) -> None:
    node("take.test.mjs", vectors)


@needs("node")
@pytest.mark.parametrize("what", ["listening", "file"])
def test_the_page_goes_through_faults(vectors: Path, what: str) -> None:
    node(f"{what}.test.mjs", vectors)
