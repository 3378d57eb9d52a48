"""Where the model meets the files: ``hppnet.load``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from .model.transcriber import Transcriber
from .offline.reading import open_recording


def load(
    path: str | PathLike[str] | None = None, device: str = "auto", precision: str = "auto"
) -> Transcriber:
    """The shipped checkpoint, or the one at ``path``, ready to transcribe files, samples and streams.

    ``device`` is auto, cpu, cuda or mps; ``precision`` auto, fp32 or bf16 (auto takes bf16 for whole
    recordings where the processor has it). Raises CheckpointError for a bad checkpoint, ValueError for
    a device that is not there.
    """
    return Transcriber.load(path, device, precision, reader=read_sound)


def read_blocks(path: Path) -> tuple[Iterator[np.ndarray], int]:
    """Blocks of mono samples [n] of a sound file, and their sample rate. Raises AudioError."""
    blocks, sample_rate, _ = read_sound(path)
    return blocks, sample_rate


def read_sound(path: Path) -> tuple[Iterator[np.ndarray], int, Callable[[], Sequence[str]]]:
    """As ``read_blocks``, and what gives the warnings of reading, once the last block has been read."""
    opened = open_recording(path)
    recording = opened.__enter__()

    def blocks() -> Iterator[np.ndarray]:
        try:
            yield from recording.blocks()
        finally:
            opened.__exit__(None, None, None)

    return blocks(), recording.sample_rate, lambda: recording.warnings
