"""``hppnet devices``: sound inputs, MIDI ports and what can compute."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..failure import fail
from .options import Checkpoint, FiguresFile, Force
from .reports import print_figures, write_figures

if TYPE_CHECKING:
    from rich.table import Table


def devices(
    checkpoint: Checkpoint = None,
    json_file: FiguresFile = None,
    force: Force = False,
) -> None:
    """Show microphones, MIDI ports and compute devices.

    Shows audio systems and latencies too; * marks what live takes by default.
    """
    from ..model.checkpoint import CheckpointError

    found: dict[str, Any] = {**find_inputs(), **find_ports(), "compute": _compute()}
    try:
        found["latencies"] = _latencies(checkpoint)
        write_figures(found, json_file, force)
    except (CheckpointError, OSError) as error:
        fail(str(error))
    if not print_figures(found, json_file):
        _show(found)


def find_inputs() -> dict[str, Any]:
    """Sound inputs and systems, or why they cannot be listed."""
    from ..realtime.devices import choose_input, list_inputs, sound_systems
    from ..realtime.inputs import InputFault

    try:
        inputs = list_inputs()
        systems = sound_systems()
    except InputFault as fault:
        return {"inputs": [], "sound_systems": [], "inputs_fault": str(fault)}
    taken = choose_input(None, inputs).index if inputs else None
    rows = [
        {
            "index": one.index,
            "name": one.name,
            "system": one.system,
            "channels": one.channels,
            "sample_rate": one.sample_rate,
            "taken": one.index == taken,
        }
        for one in inputs
    ]
    return {"inputs": rows, "sound_systems": systems}


def find_ports() -> dict[str, Any]:
    """MIDI ports and systems, or why they cannot be listed."""
    from ..realtime.midi_ports import PortFault, choose_port, list_ports, midi_systems, virtual_systems

    try:
        ports = list_ports()
        systems = midi_systems()
    except PortFault as fault:
        return {"ports": [], "midi_systems": [], "ports_fault": str(fault)}
    taken = choose_port(None, ports) if ports else None
    rows = [{"name": one.name, "system": one.system, "taken": one == taken} for one in ports]
    return {"ports": rows, "midi_systems": systems, "virtual_ports": bool(virtual_systems(systems))}


def _compute() -> list[dict[str, Any]]:
    from ..listening import live_device
    from ..model.device import gpus

    rows = [{"name": "cpu", "what": f"{os.cpu_count()} cores, of which live uses one"}]
    rows += [{"name": name, "what": what} for name, what in gpus().items()]
    return [{**row, "taken": row["name"] == live_device()} for row in rows]


def _latencies(checkpoint: Path | None) -> list[dict[str, Any]]:
    """The named latencies, each with the F1 that the checkpoint states for it."""
    from ..model import checkpoint as checkpoints
    from ..model.timebase import LATENCIES, latency_s
    from ..model.transcriber import DEFAULT_LATENCY_MS

    scores = checkpoints.load(checkpoint)[2].get("scores") or {}
    rows = []
    for name, look_ahead in LATENCIES.items():
        milliseconds = round(1000 * latency_s(look_ahead))
        score = scores.get(str(milliseconds)) if isinstance(scores, dict) else None
        taken = milliseconds == DEFAULT_LATENCY_MS
        rows.append({"name": name, "latency_ms": milliseconds, "onset_f1": score, "taken": taken})
    return rows


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    show = [
        ("Inputs", found["inputs"], found.get("inputs_fault") or "none; plug in a microphone"),
        ("MIDI ports", found["ports"], found.get("ports_fault") or _no_ports(found)),
        ("Compute", found["compute"], ""),
        ("Latencies", found["latencies"], ""),
    ]
    for title, rows, nothing in show:
        console.print(f"{title}:", markup=False)
        console.print(_table(rows) if rows else f"  {nothing}", markup=False)
    sound, midi = (", ".join(found[key]) or "none" for key in ("sound_systems", "midi_systems"))
    console.print(f"Systems: sound {sound}; MIDI {midi}", markup=False)


def _no_ports(found: dict[str, Any]) -> str:
    if found.get("virtual_ports"):
        return "none; start a synthesiser, or let live make one with --virtual NAME"
    return "none, and no system that lets live make one"


def _table(rows: list[dict[str, Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        cells = [_cell(key, value) for key, value in row.items() if key != "taken"]
        table.add_row(*(Text(cell) for cell in ("*" if row["taken"] else " ", *cells)))
    return table


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    units = {
        "sample_rate": "{} Hz",
        "channels": "{} channels",
        "latency_ms": "{} ms",
        "onset_f1": "{:.1f} % F1",
    }
    return units.get(key, "{}").format(value)
