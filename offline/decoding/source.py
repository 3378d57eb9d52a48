"""What every decoder offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Source(Protocol):
    """An open sound. ``sample_rate`` in Hz; ``frames`` is None where only decoding will tell."""

    sample_rate: int
    channels: int
    frames: int | None

    def chunks(self, frames: int) -> Iterator[np.ndarray]:
        """float32 [n, channels], n <= frames. To be called once."""

    def close(self) -> None:
        """May be called twice."""
