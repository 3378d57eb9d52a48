"""Where the time goes: the share of each part of the path from samples to notes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from unittest import mock

from ..model.decoder import Decoder
from ..model.engine.onnx_engine import OnnxStreams, OnnxWindows

#: Name of the part, owner of its function, name of the function.
PARTS: list[tuple[str, object, str]] = [
    ("front end and network", OnnxStreams, "step"),
    ("front end and network", OnnxWindows, "predict"),
    ("decoder", Decoder, "feed_frames"),
]


class Stopwatch:
    """Adds up the time of watched functions. Nested calls count for the inner function only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        #: For each active watched call, the seconds spent in other watched calls.
        self._inner: list[float] = []

    def watched(self, function: Callable, part: str) -> Callable:
        def timed(*arguments, **named):
            self._inner.append(0.0)
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                took = time.perf_counter() - began
                self.seconds[part] += took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return timed


def where_time_goes(work: Callable[[], object]) -> dict[str, float]:
    """The share of each part in the time of ``work``, in percent, adding up to 100. For a CPU transcriber."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for part, owner, name in PARTS:
            function = getattr(owner, name)
            stack.enter_context(mock.patch.object(owner, name, watch.watched(function, part)))
        began = time.perf_counter()
        work()
        whole = time.perf_counter() - began
    shares = {part: 100 * watch.seconds[part] / whole for part, _, _ in PARTS}
    return {**shares, "everything else": 100 - sum(shares.values())}
