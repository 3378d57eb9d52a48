"""How many recordings are judged at once, and what happens where that were too many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..model.engines import Predicted, WindowEngine, window_engine
from ..model.frames import CONTEXT_FRAMES, WINDOW_FRAMES, Row
from ..model.timebase import HOP
from ..model.transcriber import Transcriber

_MOST = 128  #: recordings: more gain nothing, and wait for each other
_SHARE = 0.6  #: of the free memory; the rest is for what the allocator cannot piece together


class Batcher:
    """The network, and how many rows it is given at once: ``size``, halved when memory runs out."""

    def __init__(self, transcriber: Transcriber, size: int | None = None) -> None:
        half = transcriber.precision == "bf16"
        self.windows = window_engine(transcriber.network, transcriber.config.front_end, half)
        self.size = size or sensible_batch(self.windows, transcriber.device)

    def judge(self, rows: Sequence[Row]) -> tuple[int, Predicted]:
        """How many of the rows, from the first on, were judged; and what came of them.

        Raises MemoryError when not even one fits into the device's memory.
        """
        while True:
            count = min(self.size, len(rows))
            try:
                return count, self.windows.predict(rows[:count])
            except MemoryError:
                if count == 1:
                    raise MemoryError("the device has too little memory for a window of 20 s") from None
                self.size = count // 2


def sensible_batch(windows: WindowEngine, device: str) -> int:
    """By the free memory of a GPU; 1 on a processor, where more gain nothing (measured)."""
    if device != "cuda":
        return 1
    import torch

    free, _ = torch.cuda.mem_get_info()
    return max(1, min(_MOST, int(_SHARE * free / _bytes_a_row(windows))))


def _bytes_a_row(windows: WindowEngine) -> float:
    """What the largest window takes on a GPU, by trying. The convolutions warm up by the way."""
    import torch

    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    samples = np.zeros((WINDOW_FRAMES + CONTEXT_FRAMES - 1) * HOP + windows.span, dtype=np.float32)
    windows.predict([Row(windows.start(), samples, False)] * 2).wait()
    return max(1.0, (torch.cuda.max_memory_allocated() - before) / 2)
