"""What the outputs of a recording say of it: where it comes from, and what it was transcribed with."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from .jsonl import EventText, Tell
from .provenance import Origin, place_digest
from .jobs import Job
from .settings import Settings, describe_settings

if TYPE_CHECKING:
    from ..model.config import ModelConfig


class Described(Protocol):
    """What an output says of the model: a Transcriber, or what is left of it without the network."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def checkpoint_name(self) -> str: ...

    def computed_by(self, latency_ms: float | None) -> str: ...


def origin_for(
    job: Job, model: Described, settings: Settings, digest: str, notes: int | None = None
) -> Origin:
    """``digest``: of the recording's bytes; ``notes``: None before they are known."""
    return Origin(
        job.source.name,
        place_digest(job.source),
        digest,
        model.checkpoint_name.rsplit(" ", 1)[-1],
        describe_settings(settings),
        "+".join(sorted(job.outputs)),
        notes,
    )


def describe(
    source: str, model: Described, settings: Settings, duration_s: float | None = None
) -> dict[str, Any]:
    """What JSON says beside the notes; without a duration where it is not known yet."""
    config = model.config
    return {
        "source": source,
        **({} if duration_s is None else {"duration_s": round(float(duration_s), 6)}),
        "checkpoint": model.checkpoint_name,
        "tuning_cents": round(config.front_end.tuning_cents, 2),
        "settings": {
            "context": "full" if settings.latency_ms is None else "streaming",
            "latency_ms": settings.latency_ms,
            "tuning": settings.tuning,
            "thresholds": asdict(config.decoder),
            "offsets": settings.offsets,
        },
    }


def event_text(
    job: Job, model: Described, settings: Settings, digest: str, tell: Tell | None = None
) -> EventText | None:
    """What receives the events as they are known, where jsonl is to be written."""
    if "jsonl" not in job.outputs:
        return None
    origin = origin_for(job, model, settings, digest)
    return EventText({"origin": asdict(origin), **describe(str(job.source), model, settings)}, tell)
