"""TensorBoard: a run's scalars and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"  #: within the run's


class Board:
    """Writes to ``FOLDER``. Raises ModuleNotFoundError where TensorBoard is not installed."""

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # What was written beyond the step is about to come again.
        self._writer: SummaryWriter = SummaryWriter(str(folder / FOLDER), purge_step=step + 1)

    def scalars(self, step: int, values: dict[str, float], group: str) -> None:
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def image(self, step: int, image: np.ndarray) -> None:
        """A picture [H, W, 3] in bytes."""
        self._writer.add_image("excerpt, onsets above frames", image, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
