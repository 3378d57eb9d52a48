"""Connects the model with sound files: ``hppnet.load``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .model.transcriber import Transcriber
from .offline.reading import OpenRecording, open_recording, open_saying


def load(
    path: str | PathLike[str] | None = None, device: str = "auto", precision: str = "auto"
) -> Transcriber:
    """The shipped checkpoint, or the one at ``path``, ready to transcribe files, samples and streams.

    ``device`` is auto, cpu, cuda or mps; ``precision`` auto, fp32 or bf16 (auto takes bf16 for whole
    recordings if the processor supports it). Raises CheckpointError for a bad checkpoint, ValueError
    for a missing device.
    """
    return Transcriber.load(path, device, precision, reader=read_sound)


def read_blocks(path: Path, channel: int | None = None) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of mono samples [n] of a sound file, and their sample rate. Raises AudioError.

    ``channel`` (from 1) selects one channel. Warnings about the file are logged, one line each.
    """
    recording, blocks = _opened(open_saying(path, channel=channel))
    return blocks, recording.sample_rate


def read_sound(
    path: Path, channel: int | None = None
) -> tuple[Iterator[np.ndarray], int, Callable[[], Sequence[str]]]:
    """As ``read_blocks``, and a function that returns the warnings after the last block. Logs nothing."""
    recording, blocks = _opened(open_recording(path, channel=channel))
    return blocks, recording.sample_rate, lambda: recording.warnings


def _opened(opening: AbstractContextManager[OpenRecording]) -> tuple[OpenRecording, Iterator[np.ndarray]]:
    """A recording and its blocks. It is closed after the last block, or when the blocks are given up."""
    parts = _recording_then_blocks(opening)
    recording = next(parts)  # starts the generator: closing it closes the recording, even without a block
    return recording, parts


def _recording_then_blocks(opening: AbstractContextManager[OpenRecording]) -> Iterator[Any]:
    with opening as recording:
        yield recording
        yield from recording.blocks()
