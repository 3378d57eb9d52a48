"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

import enum
from typing import Annotated

import typer


class Device(str, enum.Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


Threshold = Annotated[float | None, typer.Option(min=0, max=1, help="0 to 1; default: the checkpoint's.")]


def latency_ms(latency: str | None, streaming: bool) -> float | None:
    """--latency in milliseconds, None for full context.

    Raises ValueError for a latency without --streaming and for one that is no number or name.
    """
    from ..model.timebase import LATENCIES, latency_s

    if not streaming:
        if latency is not None:
            raise ValueError("--latency needs --streaming; without it the whole recording is the context")
        return None
    latency = latency or "accurate"
    if latency in LATENCIES:
        return float(round(1000 * latency_s(LATENCIES[latency])))
    try:
        return float(latency)
    except ValueError:
        names = ", ".join(LATENCIES)
        raise ValueError(f"--latency: expected milliseconds or one of {names}, got {latency!r}") from None
