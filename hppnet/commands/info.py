"""``hppnet info``: a checkpoint's sizes, computing cost, training data and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..failure import fail
from .options import AsJson, CheckpointFile

if TYPE_CHECKING:
    from rich.table import Table


def info(
    checkpoint: CheckpointFile = None,
    latency: Annotated[float, typer.Option(help="Milliseconds for which multiply-adds are counted.")] = 132,
    as_json: AsJson = False,
) -> None:
    """Show what a checkpoint is.

    Prints its sizes, thresholds, multiply-adds a frame, recipe, data and figures.
    """
    from ..model.checkpoint import CheckpointError

    try:
        found = describe(checkpoint, latency)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--latency") from None
    except (CheckpointError, OSError) as error:
        fail(str(error))
    if as_json:
        import json

        print(json.dumps(found, indent=2))
    else:
        _show(found)


def describe(path: Path | None, latency_ms: float) -> dict[str, Any]:
    """All facts about a checkpoint (None: the shipped one), ready for JSON.

    Raises CheckpointError for a bad file, ValueError for a latency that does not exist.
    """
    import dataclasses

    from ..model import checkpoint
    from ..model.checkpoint import identity
    from ..model.sizes import multiply_adds
    from ..model.timebase import MAX_LOOK_AHEAD_FRAMES, frames_for_latency, latency_s

    found = checkpoint.read(path)
    config, file = found.config, found.path
    look_ahead = frames_for_latency(latency_ms, config.front_end.look_ahead)
    parts = multiply_adds(config.network, look_ahead)
    reachable = range(MAX_LOOK_AHEAD_FRAMES + 1)
    return {
        "file": str(file),
        "bytes": file.stat().st_size,
        "name": config.network.name,
        "format": checkpoint.FORMAT,
        "identity": identity(file),
        "weights": sum(weights.size for weights in found.weights.values()),
        "weights_of_releases": sum(x.size for x in found.releases.weights.values()) if found.releases else 0,
        "note_ends": config.note_ends,
        "pedal": config.has_pedal,
        "thresholds": dataclasses.asdict(config.decoder),
        "latencies_ms": [round(1000 * latency_s(r, config.front_end.look_ahead)) for r in reachable],
        "multiply_adds": {"latency_ms": latency_ms, **parts, "total": sum(parts.values())},
        "config": dataclasses.asdict(config),
        "about": found.about,
    }


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    ends = {"keys": "notes end at key releases", "sounding": "notes end when the sound ends"}
    more = f" and {n:,} for note ends of whole recordings" if (n := found["weights_of_releases"]) else ""
    lines = [
        f"{found['file']}: {found['name']}, identity {found['identity']}, format {found['format']}",
        f"{found['weights']:,} weights{more}, {found['bytes'] / 1e6:.1f} MB; {ends[found['note_ends']]}; "
        f"{'with' if found['pedal'] else 'without'} the sustain pedal",
        "Thresholds: " + ", ".join(f"{name} {value:g}" for name, value in found["thresholds"].items()),
        f"Latencies: {', '.join(map(str, found['latencies_ms']))} ms, or full context",
        f"Multiply-adds a frame at {found['multiply_adds']['latency_ms']:g} ms, in millions:",
    ]
    for line in lines:
        console.print(line, markup=False)
    console.print(_parts(found["multiply_adds"]))
    for name, value in found["about"].items():
        _tell(console.print, name, value)


def _parts(counts: dict[str, float]) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for name, count in counts.items():
        if name != "latency_ms":
            table.add_row(f"  {name}", f"{count / 1e6:.2f}")
    return table


def _tell(write: Any, name: str, value: Any, indent: str = "") -> None:
    """Writes one entry of ``about``. Tables and texts of several lines go below their names."""
    name = str(name).replace("_", " ")
    if isinstance(value, dict):
        write(f"{indent}{name}:", markup=False)
        for inner, part in value.items():
            _tell(write, inner, part, indent + "  ")
    elif isinstance(value, str) and "\n" in value.strip():
        write(f"{indent}{name}:", markup=False)
        for line in value.strip().splitlines():
            write(f"{indent}  {line}", markup=False)
    elif isinstance(value, list):
        write(f"{indent}{name}: {', '.join(map(str, value))}", markup=False)
    else:
        write(f"{indent}{name}: {value}", markup=False)
