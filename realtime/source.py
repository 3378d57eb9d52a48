"""What a live session needs of the model: small enough to be replaced in a test."""

from __future__ import annotations

from typing import Any, Protocol

from ..model.notes import Event


class LiveStream(Protocol):
    """A Stream of the model: samples in, events out, times from its first sample."""

    @property
    def latency_s(self) -> float: ...

    def feed(self, block: object) -> list[Event]: ...

    def flush(self) -> list[Event]: ...

    def reset(self) -> None: ...


class LiveModel(Protocol):
    """A Transcriber: gives streams, and copies of itself for other tunings."""

    @property
    def has_pedal(self) -> bool: ...

    def stream(self, latency_ms: float, sample_rate: int, watch: Any = None) -> LiveStream: ...

    def with_tuning(self, cents: float) -> LiveModel: ...
