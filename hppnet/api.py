"""Connects the model with sound files: ``hppnet.load``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from os import PathLike
from pathlib import Path

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
    opened = open_saying(path, channel=channel)
    recording = opened.__enter__()
    return _closing(opened, recording), recording.sample_rate


def read_sound(
    path: Path, channel: int | None = None
) -> tuple[Iterator[np.ndarray], int, Callable[[], Sequence[str]]]:
    """As ``read_blocks``, and a function that returns the warnings after the last block. Logs nothing."""
    opened = open_recording(path, channel=channel)
    recording = opened.__enter__()
    return _closing(opened, recording), recording.sample_rate, lambda: recording.warnings


def _closing(opened: AbstractContextManager[OpenRecording], recording: OpenRecording) -> Iterator[np.ndarray]:
    """The recording's blocks; closes it after the last one."""
    with ExitStack() as stack:
        stack.push(opened)
        yield from recording.blocks()
